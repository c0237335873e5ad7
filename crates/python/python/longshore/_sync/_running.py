"""Waits for operations without asyncio."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Optional

from .. import _core
from .._content import Content as Content
from .._progress import Reporter

Pieces = Iterable[bytes]


def run(operation: _core.Operation, reporter: Optional[Reporter] = None) -> Any:
    """Waits for an operation without the GIL. An exception of a signal handler, such as
    `KeyboardInterrupt`, cancels it."""
    if reporter is None:
        return operation.wait()
    result = operation.wait(reporter.tick)
    reporter.tick()
    return result


def iterate(pieces: Pieces) -> Iterator[bytes]:
    """Yields the pieces of an iterable."""
    return iter(pieces)
