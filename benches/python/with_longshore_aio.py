"""This package, with asyncio."""

import asyncio

from longshore.aio import Client, Registry
from work import tags


def list_tags(registry, repository):
    async def work():
        return len(await Registry(registry, auth=None).tags(repository).all())

    return asyncio.run(work())


def pull(registry, repository, digest, path):
    async def work():
        blob = await Registry(registry, auth=None).repository(repository).blob(digest)
        return (await blob.save(path)).size

    return asyncio.run(work())


def push(registry, repository, path):
    async def work():
        found = Registry(registry, auth=None).repository(repository)
        return (await found.push(path)).digest

    return asyncio.run(work())


def read_images(registry, repository, count):
    async def work():
        found = Registry(registry, auth=None).repository(repository)
        images = await asyncio.gather(*map(found.image, tags(count)))
        return len([image.config.json()["config"]["Env"] for image in images])

    return asyncio.run(work())


def copy_images(source, target, repository, count):
    async def work():
        names = (f"{end}/{repository}" for end in (source, target))
        return len(await Client(auth=None).copy(*names, all_tags=True))

    return asyncio.run(work())
