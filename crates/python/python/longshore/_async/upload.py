"""Upload sessions."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Optional, Type

from .. import _core
from .._errors import NotFound
from .._values import Descriptor, Digest
from ._running import Content, run
from ._sending import send

if TYPE_CHECKING:
    from typing_extensions import Self


class Upload:
    """An upload session: a blob that is sent piece by piece, and is not yet visible.

    As a context manager, it cancels the session unless it was finished.

    Source: distribution-spec v1.1.1, "Pushing a blob in chunks" (end-5 and end-6).
    """

    def __init__(self, upload: _core.Upload, location: str, offset: int) -> None:
        self._core = upload
        self._location = location
        self._offset = offset
        self._finished = False

    @property
    def location(self) -> str:
        """The URL of the session, with which another process can continue it. It may contain a
        secret."""
        return self._location

    @property
    def offset(self) -> int:
        """The number of bytes that the registry has."""
        return self._offset

    async def append(self, data: Content) -> int:
        """Sends more content (``PATCH``), and returns the new offset."""
        try:
            self._offset = await send(data, self._core.append)
        finally:
            await self._update()
        return self._offset

    async def status(self) -> Optional[int]:
        """Requests the offset from the registry. Returns ``None`` if the session does not exist."""
        offset: Optional[int] = await run(self._core.status())
        await self._update()
        return offset

    async def finish(self, digest: str, data: Optional[Content] = None) -> Descriptor:
        """Ends the upload (``PUT``), after more content if it is given."""
        if data is not None:
            await self.append(data)
        checked = Digest(digest)
        size = await run(self._core.finish(checked))
        self._finished = True
        return Descriptor("application/octet-stream", checked, size)

    async def cancel(self) -> None:
        """Cancels the upload. Does nothing after its end."""
        self._finished = True
        await run(self._core.cancel())

    async def _update(self) -> None:
        self._location, self._offset = await run(self._core.state())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if not self._finished:
            try:
                await self.cancel()
            except NotFound:
                # Another process finished or canceled the session.
                pass

    def __repr__(self) -> str:
        # Without the URL, which may contain a secret.
        return f"<Upload {self._offset} bytes>"
