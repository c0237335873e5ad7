"""This package, with calls that wait."""

from longshore import Client, Registry
from work import tags


def list_tags(registry, repository):
    return len(Registry(registry, auth=None).tags(repository).all())


def pull(registry, repository, digest, path):
    return Registry(registry, auth=None).repository(repository).blob(digest).save(path).size


def push(registry, repository, path):
    return Registry(registry, auth=None).repository(repository).push(path).digest


def read_images(registry, repository, count):
    found = Registry(registry, auth=None).repository(repository)
    return len([found.image(tag).config.json()["config"]["Env"] for tag in tags(count)])


def copy_images(source, target, repository, count):
    client = Client(auth=None)
    return len(client.copy(f"{source}/{repository}", f"{target}/{repository}", all_tags=True))
