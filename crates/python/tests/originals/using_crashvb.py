"""docker-registry-client-async: prints the configuration of an image."""

import asyncio
import json
import sys

from docker_registry_client_async import DockerRegistryClientAsync, FormattedSHA256, ImageName


async def get_config(drca, image_name, manifest):
    digest = FormattedSHA256.parse(manifest.get_json()["config"]["digest"])
    result = await drca.get_blob(image_name, digest)
    return json.loads(result.blob.decode("utf-8"))


async def get_manifest(drca, image_name):
    result = await drca.get_manifest(image_name)
    return result.manifest


async def main():
    image_name = ImageName.parse(f"{sys.argv[1]}/library/busybox:1.30.1")
    async with DockerRegistryClientAsync() as drca:
        manifest = await get_manifest(drca, image_name)
        print(await get_config(drca, image_name, manifest))


if __name__ == "__main__":
    asyncio.run(main())
