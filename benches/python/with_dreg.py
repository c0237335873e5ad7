"""dreg-client, which reads only. It reads a blob into memory."""

from dreg_client import Registry
from work import tags


def client(registry, repository):
    return Registry.build_with_manual_client(f"http://{registry}/v2/").repository(repository)


def list_tags(registry, repository):
    return len(client(registry, repository).tags())


def pull(registry, repository, digest, path):
    content = client(registry, repository).get_blob(digest).content
    with open(path, "wb") as file:
        return file.write(content)


def read_images(registry, repository, count):
    found = client(registry, repository)
    images = (found.get_image(tag) for tag in tags(count))
    return len(list(images))
