"""docker-registry-client-async."""

import asyncio
import os

os.environ["DRCA_DEFAULT_PROTOCOL"] = "http"

from docker_registry_client_async import (  # noqa: E402
    DockerRegistryClientAsync,
    FormattedSHA256,
    ImageName,
    Manifest,
)
from work import tags  # noqa: E402


def list_tags(registry, repository):
    async def work():
        async with DockerRegistryClientAsync() as drca:
            found = await drca.get_tags(ImageName.parse(f"{registry}/{repository}"))
            return len(found.tags["tags"])

    return asyncio.run(work())


def pull(registry, repository, digest, path):
    async def work():
        name = ImageName.parse(f"{registry}/{repository}")
        async with DockerRegistryClientAsync() as drca:
            with open(path, "wb") as file:
                found = await drca.get_blob_to_disk(
                    name, FormattedSHA256.parse(digest), file, file_is_async=False
                )
            return found.size

    return asyncio.run(work())


def push(registry, repository, path):
    async def work():
        name = ImageName.parse(f"{registry}/{repository}")
        async with DockerRegistryClientAsync() as drca:
            begun = await drca.post_blob(name)
            with open(path, "rb") as file:
                sent = await drca.patch_blob_upload_from_disk(
                    begun.location, file, file_is_async=False
                )
            return (await drca.put_blob_upload(sent.location, sent.digest)).digest

    return asyncio.run(work())


def read_images(registry, repository, count):
    async def read(drca, tag):
        name = ImageName.parse(f"{registry}/{repository}:{tag}")
        manifest = (await drca.get_manifest(name)).manifest.get_json()
        digest = FormattedSHA256.parse(manifest["config"]["digest"])
        return (await drca.get_blob(name, digest)).blob

    async def work():
        async with DockerRegistryClientAsync() as drca:
            return len(await asyncio.gather(*(read(drca, tag) for tag in tags(count))))

    return asyncio.run(work())


def copy_images(source, target, repository, count):
    async def copy(drca, tag):
        here, there = (ImageName.parse(f"{end}/{repository}:{tag}") for end in (source, target))
        manifest: Manifest = (await drca.get_manifest(here)).manifest
        document = manifest.get_json()
        for blob in [document["config"], *document["layers"]]:
            digest = FormattedSHA256.parse(blob["digest"])
            content = (await drca.get_blob(here, digest)).blob
            begun = await drca.post_blob(there)
            await drca.put_blob_upload(begun.location, digest, data=content)
        await drca.put_manifest(there, manifest)

    async def work():
        async with DockerRegistryClientAsync() as drca:
            return len(await asyncio.gather(*(copy(drca, tag) for tag in tags(count))))

    return asyncio.run(work())
