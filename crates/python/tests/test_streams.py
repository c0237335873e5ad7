"""Streams: large content takes bounded memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

import longshore
from longshore import Registry

if sys.platform == "win32":
    pytest.skip("the peak memory is not known on Windows", allow_module_level=True)

SIZE = 192 << 20
LIMIT = 48 << 20
PROGRAM = """
import asyncio, resource, sys
import longshore
from longshore import aio

PIECE, SIZE = 1 << 20, {size}

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

def pieces():
    for n in range(SIZE // PIECE):
        yield n.to_bytes(4, "big") * (PIECE // 4)

async def async_pieces():
    for piece in pieces():
        yield piece

class File:
    def __init__(self):
        self.pieces = pieces()
    def read(self, size):
        return next(self.pieces, b"")

registry, name = sys.argv[1:]
here = longshore.Registry(registry, auth=None).repository(name)
there = aio.Registry(registry, auth=None).repository(name)

async def read_async(digest):
    return sum([len(piece) async for piece in await there.blob(digest)])

here.push(b"warm up")
asyncio.run(there.push(b"warm up"))
before = peak()
{work}
assert pushed is None or pushed.size == SIZE
print(peak() - before)
"""
PUSHES = {
    "a generator": "pushed = here.push(pieces())",
    "an asynchronous generator": "pushed = asyncio.run(there.push(async_pieces()))",
    "a file-like object": "pushed = here.push(File())",
}
READS = {
    "a loop": "assert sum(map(len, here.blob({digest!r}))) == SIZE",
    "an asynchronous loop": "assert asyncio.run(read_async({digest!r})) == SIZE",
    "save": "here.blob({digest!r}).save('saved')",
}


def growth(registry: Registry, work: str, folder: Path) -> int:
    """Returns the number of bytes by which the peak memory of a process grows."""
    program = PROGRAM.format(size=SIZE, work=work)
    command = [sys.executable, "-c", program, registry.name, "app"]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=folder).stdout)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with longshore.serve(root=tmp_path_factory.mktemp("root")) as registry:
        yield registry


@pytest.mark.parametrize("source", PUSHES)
def test_content_streams_from(source: str, registry: Registry, tmp_path: Path) -> None:
    repository = registry.repository("app")
    assert growth(registry, PUSHES[source], tmp_path) < LIMIT
    # The next source sends the content again.
    repository.delete_blob(digest())


@pytest.mark.parametrize("reader", READS)
def test_a_blob_streams_to(reader: str, registry: Registry, tmp_path: Path) -> None:
    registry.repository("app").push(pieces())
    work = "pushed = None\n" + READS[reader].format(digest=digest())
    assert growth(registry, work, tmp_path) < LIMIT


def pieces() -> Iterator[bytes]:
    for n in range(SIZE >> 20):
        yield n.to_bytes(4, "big") * (1 << 18)


def digest() -> str:
    import hashlib

    hashed = hashlib.sha256()
    for piece in pieces():
        hashed.update(piece)
    return f"sha256:{hashed.hexdigest()}"
