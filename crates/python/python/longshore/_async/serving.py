"""The embedded registry."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Mapping, Optional, Type, Union

from .. import _core
from ._running import run
from .registry import Registry


class Server:
    """An embedded registry, as a context manager. It starts at the beginning of the block, and
    stops at its end."""

    def __init__(
        self,
        root: Optional[str],
        listen: str,
        public_url: Optional[str],
        users: Mapping[str, str],
    ) -> None:
        self._start = (root, listen, public_url, list(users.items()))
        self._core: Optional[_core.Server] = None

    @property
    def name(self) -> str:
        """The address, which is the registry's name in references."""
        if self._core is None:
            raise RuntimeError("the registry has not started; use `with longshore.serve() as r:`")
        return self._core.name

    async def start(self) -> Registry:
        """Starts the registry, and returns a `Registry` with the first user's credentials."""
        started: _core.Server = await run(_core.serve(*self._start))
        self._core, users = started, self._start[3]
        return Registry(started.name, auth=users[0] if users else None)

    async def stop(self) -> None:
        """Stops the registry, and waits up to 10 s for its requests."""
        if self._core is not None:
            await run(self._core.stop())

    async def __aenter__(self) -> Registry:
        return await self.start()

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.stop()


def serve(
    *,
    root: Union[str, os.PathLike[str], None] = None,
    listen: str = "127.0.0.1:0",
    public_url: Optional[str] = None,
    users: Optional[Mapping[str, str]] = None,
) -> Server:
    """Returns an embedded registry, which the block of a ``with`` statement starts.

    - ``root``: the folder of its content. Default: in memory.
    - ``listen``: the address. Port 0 is a free port.
    - ``public_url``: the start of its ``Location`` headers.
    - ``users``: passwords by user name. Without users, everyone has full access.
    """
    folder = None if root is None else os.fspath(root)
    return Server(folder, listen, public_url, users or {})
