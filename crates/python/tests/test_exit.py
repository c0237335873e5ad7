"""Processes end normally, whatever operations are running."""

from __future__ import annotations

import subprocess
import sys

import pytest

from longshore import Registry

# The event loop is gone before the thread that passed on the last result has left the interpreter.
ASYNCHRONOUS = """
import asyncio, sys
from longshore.aio import Registry

async def main():
    await Registry(sys.argv[1], auth=None).repository("app").push(b"content")

asyncio.run(main())
"""
# A daemon thread returns from a call while the interpreter ends.
DAEMON = """
import sys, threading
from longshore import Registry

repository = Registry(sys.argv[1], auth=None).repository("app")

def endless():
    while True:
        repository.push(b"content")

for _ in range(4):
    threading.Thread(target=endless, daemon=True).start()
repository.push(b"content")
"""
# An operation that nobody waits for, and a handler that runs after that of the package.
LATE = """
import atexit, sys
atexit.register(lambda: print(repository.push(b"content").size))
from longshore import Registry, _core

repository = Registry(sys.argv[1], auth=None).repository("app")
operation = repository._core.blob_size("sha256:" + 64 * "0")
"""


@pytest.mark.parametrize("program", [ASYNCHRONOUS, DAEMON, LATE])
def test_a_process_ends(program: str, longshore_registry: Registry) -> None:
    command = [sys.executable, "-c", program, longshore_registry.name]
    for _ in range(15):
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (result.returncode, result.stderr) == (0, "")
