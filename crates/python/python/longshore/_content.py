"""What can be sent as the content of a blob."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO, Iterable, Iterator, Optional, Tuple, Union

from . import _core

if TYPE_CHECKING:
    from typing_extensions import Buffer

    Content = Union[Buffer, BinaryIO, str, os.PathLike[str], Iterable[bytes]]
else:
    Content = Any

PIECE = 1 << 20
"""The size in bytes of the pieces in which files and buffers are read."""

Prepared = Tuple[Union[bytes, _core.File, _core.Feed], Optional[Any]]


def prepare(data: Any) -> Prepared:
    """Returns what the compiled part sends, and the pieces that Python passes to it meanwhile.

    ``bytes`` are sent without a copy. A text or path names a file, which Python does not read. The
    content of other objects is copied piece by piece, because it may change while it is sent.
    """
    if isinstance(data, bytes):
        # The exact type, because a subclass may have other methods.
        return bytes(data), None
    if isinstance(data, (str, os.PathLike)):
        return _core.File(os.fspath(data)), None
    if hasattr(data, "__aiter__"):
        return _core.Feed(), data
    return _core.Feed(), pieces(data)


def pieces(data: Any) -> Iterable[bytes]:
    """Returns the content of a buffer, a binary file or an iterable, piece by piece."""
    if isinstance(data, bytes):
        return [data]
    if hasattr(data, "read"):
        return _read(data)
    try:
        view = memoryview(data)
    except TypeError:
        if hasattr(data, "__iter__"):
            iterable: Iterable[bytes] = data
            return iterable
        raise TypeError(
            "expected bytes, a buffer, a binary file, a path or an iterable of bytes, "
            f"not {type(data).__name__}"
        ) from None
    return _slices(view.cast("B"))


def check(piece: Any) -> bytes:
    """Returns a piece of an iterable as bytes."""
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):
        raise TypeError("expected pieces of bytes, not str")
    return bytes(memoryview(piece))


def _read(file: BinaryIO) -> Iterator[bytes]:
    while True:
        piece = file.read(PIECE)
        if isinstance(piece, str):
            raise TypeError("expected a file in binary mode")
        if not piece:
            return
        yield piece


def _slices(view: memoryview) -> Iterator[bytes]:
    for start in range(0, len(view), PIECE):
        yield bytes(view[start : start + PIECE])
