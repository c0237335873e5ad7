"""A blob that is read with asyncio."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, AsyncIterator, Optional, Type, Union

from .. import _core
from .._progress import Reporter
from .._values import Descriptor
from ._running import run

if TYPE_CHECKING:
    from typing_extensions import Self


class Blob:
    """A blob that is being read. It is verified while it is read: the last piece arrives only if
    digest and size are correct. Otherwise the read raises `DigestMismatch`.

    Iterate over it to get pieces of bytes as they arrive.
    """

    def __init__(
        self,
        reader: _core.Reader,
        descriptor: Optional[Descriptor],
        reporter: Optional[Reporter] = None,
    ) -> None:
        self._reader = reader
        self._descriptor = descriptor
        self._reporter = reporter
        self._left = b""
        self._done = 0
        self._closed = False

    @property
    def descriptor(self) -> Optional[Descriptor]:
        """The descriptor of the blob, if it has one."""
        return self._descriptor

    async def read(self, size: int = -1) -> bytes:
        """Reads up to ``size`` bytes, or all bytes. Returns empty bytes at the end."""
        if size is None or size < 0:
            return b"".join([piece async for piece in self])
        piece = self._left or await self._next()
        self._left = piece[size:]
        return piece[:size]

    async def _next(self) -> bytes:
        if self._closed:
            raise ValueError("I/O operation on closed blob")
        piece: bytes = await run(self._reader.next())
        self._done += len(piece)
        if self._reporter is not None:
            self._reporter.add(self._done, self._reader.size, last=not piece)
        return piece

    async def save(self, path: Union[str, os.PathLike[str]]) -> Optional[Descriptor]:
        """Writes the rest to a file, which appears when it is complete and verified."""
        if self._closed:
            raise ValueError("I/O operation on closed blob")
        if self._done:
            raise ValueError("the blob was already read in part")
        await run(self._reader.save(os.fspath(path)))
        return self._descriptor

    def close(self) -> None:
        """Closes the connection, if the blob was not read to its end."""
        self._closed = True
        self._reader.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        piece, self._left = self._left or await self._next(), b""
        while piece:
            yield piece
            piece = await self._next()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Blob {self._descriptor.digest if self._descriptor else ''}>"
