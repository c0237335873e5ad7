"""docker-registry-client-async: the example of its README."""

import asyncio
import sys

from longshore.aio import Client


async def main() -> None:
    async with Client() as client:
        image = await client.image(f"{sys.argv[1]}/library/busybox:1.30.1")
        print(image.config.json())


if __name__ == "__main__":
    asyncio.run(main())
