# Written by generate.py from ../_async/module.py. Change that file.
"""The functions of the module, which use the default client of the process."""

from __future__ import annotations

import threading
from typing import Any, List, Optional, Union

from .._values import CopySummary, Reference
from .client import Client
from .image import Image
from .repository import Repository

_lock = threading.Lock()
_default: Optional[Client] = None
_used = False


def default() -> Client:
    """Returns the client of this process. It is created on first use, with the settings of
    ``Client()``."""
    global _default, _used
    with _lock:
        if _default is None:
            _default = Client()
        _used = True
        return _default


def set_default(client: Client, *, replace: bool = False) -> None:
    """Sets the client of this process.

    Raises `RuntimeError` if the default client was used before, because a library could then
    change the credentials of another one. ``replace=True`` permits that.
    """
    global _default
    with _lock:
        if _used and not replace:
            raise RuntimeError("the default client was already used; pass replace=True")
        _default = client


def repository(name: str) -> Repository:
    """Returns a repository of the default client."""
    return default().repository(name)


def image(reference: Union[str, Reference], platform: Optional[str] = None) -> Image:
    """Returns an image, read with the default client; see `Client.image`."""
    return default().image(reference, platform)


def copy(
    source: Union[str, Reference], target: Union[str, Reference], **options: Any
) -> List[CopySummary]:
    """Copies an image with the default client; see `Client.copy`."""
    return default().copy(source, target, **options)
