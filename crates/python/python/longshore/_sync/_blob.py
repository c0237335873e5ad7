"""A blob that is read as a file."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Iterator, Optional, Union

from .. import _core
from .._progress import Reporter
from .._values import Descriptor
from ._running import run

if TYPE_CHECKING:
    from typing_extensions import Self


class Blob(io.RawIOBase):
    """A blob that is being read, as a binary file. It is verified while it is read: the last piece
    arrives only if digest and size are correct. Otherwise the read raises `DigestMismatch`.

    Iterate over it to get pieces of bytes as they arrive, which are not lines. It works with
    ``shutil.copyfileobj``, ``tarfile.open(fileobj=..., mode="r|*")`` and ``gzip.GzipFile``.
    """

    def __init__(
        self,
        reader: _core.Reader,
        descriptor: Optional[Descriptor],
        reporter: Optional[Reporter] = None,
    ) -> None:
        super().__init__()
        self._reader = reader
        self._descriptor = descriptor
        self._reporter = reporter
        self._left = memoryview(b"")
        self._done = 0

    @property
    def descriptor(self) -> Optional[Descriptor]:
        """The descriptor of the blob, if it has one."""
        return self._descriptor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads into a writable buffer, and returns the number of bytes. 0 is the end."""
        target = memoryview(buffer).cast("B")
        if not self._left:
            self._left = memoryview(self._next())
        size = min(len(target), len(self._left))
        target[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def readall(self) -> bytes:
        """Reads all bytes."""
        return b"".join(self)

    def _next(self) -> bytes:
        if self.closed:
            raise ValueError("I/O operation on closed blob")
        piece: bytes = run(self._reader.next())
        self._done += len(piece)
        if self._reporter is not None:
            self._reporter.add(self._done, self._reader.size, last=not piece)
        return piece

    def save(self, path: Union[str, os.PathLike[str]]) -> Optional[Descriptor]:
        """Writes the rest to a file, which appears when it is complete and verified."""
        if self.closed:
            raise ValueError("I/O operation on closed blob")
        if self._done:
            raise ValueError("the blob was already read in part")
        run(self._reader.save(os.fspath(path)))
        return self._descriptor

    def close(self) -> None:
        """Closes the connection, if the blob was not read to its end."""
        if not self.closed:
            self._reader.close()
        super().close()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = bytes(self._left) or self._next()
        self._left = memoryview(b"")
        if not piece:
            raise StopIteration
        return piece

    def __enter__(self) -> Self:
        return super().__enter__()

    def __repr__(self) -> str:
        return f"<Blob {self._descriptor.digest if self._descriptor else ''}>"
