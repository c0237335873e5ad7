"""Waits for operations with asyncio."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterable, AsyncIterator, Iterable, Optional, Union

from .. import _core
from .._content import Content as _Content
from .._progress import INTERVAL, Reporter

Pieces = Union[Iterable[bytes], AsyncIterable[bytes]]
Content = Union[_Content, AsyncIterable[bytes]]


async def run(operation: _core.Operation, reporter: Optional[Reporter] = None) -> Any:
    """Waits for an operation. Canceling the task cancels the operation."""
    if reporter is None:
        return await operation
    task = asyncio.ensure_future(operation)
    try:
        while not (await asyncio.wait({task}, timeout=INTERVAL))[0]:
            reporter.tick()
        result = task.result()
    finally:
        task.cancel()
    reporter.tick()
    return result


async def iterate(pieces: Pieces) -> AsyncIterator[bytes]:
    """Yields the pieces of an iterable, with or without async."""
    if isinstance(pieces, AsyncIterable):
        async for piece in pieces:
            yield piece
    else:
        for piece in pieces:
            yield piece
