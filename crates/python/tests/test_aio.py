"""The same package with asyncio."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, AsyncIterator, Awaitable, Callable, List, TypeVar

import pytest

import longshore
import longshore.aio as aio
from longshore import Digest, Registry

from .images import push_image

T = TypeVar("T")


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await work()

    return asyncio.run(main())


def test_both_modules_have_the_same_names() -> None:
    assert set(aio.__all__) == set(longshore.__all__)
    for name in longshore.__all__:
        here, there = getattr(longshore, name), getattr(aio, name)
        if not inspect.isclass(here) or here is there:
            continue
        public = {n for n in vars(here) if not n.startswith("_")}
        # A file has more methods than an asynchronous reader.
        missing = public ^ {n for n in vars(there) if not n.startswith("_")}
        assert missing <= {"readable", "readinto", "readall", "read"}, (name, missing)


def test_an_image_is_read(longshore_registry: Registry) -> None:
    push_image(longshore_registry.repository("team/app"), "v1")

    async def work() -> None:
        async with aio.Client(auth=None) as client:
            image = await client.image(f"{longshore_registry.name}/team/app:v1", "linux/amd64")
            assert image.field("config.Env") == ["PATH=/bin"]
            repository = client.repository(f"{longshore_registry.name}/team/app")
            assert [tag async for tag in repository.tags()] == ["v1"]
            assert await repository.tags().first(1) == ["v1"]
            blob = await repository.blob(image.layers[0])
            pieces = [piece async for piece in blob]
            assert Digest.of(b"".join(pieces)) == image.layers[0].digest
            assert await repository.exists("v1") and not await repository.exists("v2")

    run(work)


def test_content_comes_from_async_generators(longshore_registry: Registry) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"con", b"tent"):
            await asyncio.sleep(0)
            yield piece

    async def work() -> None:
        registry = aio.Registry(longshore_registry.name, auth=None)
        repository = registry.repository("app")
        pushed = await repository.push(pieces())
        assert pushed.digest == Digest.of(b"content")
        async with await repository.upload() as upload:
            await upload.append(pieces())
            assert (await upload.finish(pushed.digest)).size == 7
        blob = await repository.blob(pushed)
        assert await blob.read(3) == b"con" and await blob.read() == b"tent"

    run(work)


def test_many_operations_run_at_the_same_time(longshore_registry: Registry) -> None:
    async def work() -> None:
        repository = aio.Registry(longshore_registry.name, auth=None).repository("app")
        contents = [str(n).encode() * 1000 for n in range(50)]
        pushed = await asyncio.gather(*map(repository.push, contents))
        blobs = await asyncio.gather(*map(repository.blob, pushed))
        assert [await blob.read() for blob in blobs] == contents

    run(work)


def test_canceling_a_task_cancels_the_operation(longshore_registry: Registry) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b"piece"

    async def work() -> None:
        repository = aio.Registry(longshore_registry.name, auth=None).repository("app")
        task = asyncio.ensure_future(repository.push(endless()))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The client still works.
        await repository.push(b"content")

    run(work)


def test_errors_are_raised_in_the_task(longshore_registry: Registry) -> None:
    async def work() -> None:
        repository = aio.Registry(longshore_registry.name, auth=None).repository("app")
        with pytest.raises(longshore.NotFound):
            await repository.manifest("v1")
        seen: List[Any] = []
        await repository.push(bytes(8 << 20), progress=seen.append)
        assert seen[-1].done == 8 << 20

    run(work)


def test_a_registry_is_served() -> None:
    async def work() -> None:
        async with aio.serve(users={"user": "password"}) as registry:
            await registry.check_credentials()
            await registry.repository("app").push(b"content")
            with pytest.raises(longshore.Unauthorized):
                other = aio.Registry(registry.name, auth=("user", "wrong"))
                await other.repository("app").push(b"content")

    run(work)
