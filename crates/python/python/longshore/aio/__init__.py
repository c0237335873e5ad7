"""The package ``longshore`` for asyncio: the same names, with ``async`` and ``await``.

    async with longshore.aio.Client() as client:
        image = await client.image("busybox:1.30.1")
        async for tag in client.repository("busybox").tags():
            print(tag)

Canceling a task cancels its operation. Listings are asynchronous iterators, and blobs have
asynchronous methods.
"""

from __future__ import annotations

from . import v1
from .._core import Credential, SigningKey, __version__
from .._errors import (
    AlreadyExists,
    Canceled,
    Conflict,
    Connection,
    Denied,
    DigestMismatch,
    Error,
    FileError,
    Invalid,
    NotFound,
    PlatformNotFound,
    ProtocolError,
    RateLimited,
    RegistryError,
    Timeout,
    TooLarge,
    Unauthorized,
    Unsupported,
    Unverified,
)
from .._names import publish as _publish
from .._settings import Settings
from .._async._blob import Blob
from .._async.client import Client
from .._async.image import Image
from .._async.module import copy, default, image, repository, set_default
from .._async.pages import Pages
from .._async.registry import Registry, Reply
from .._async.repository import Repository
from .._async.serving import Server, serve
from .._async.upload import Upload
from .._values import (
    Config,
    CopySummary,
    Deleted,
    Descriptor,
    Digest,
    Manifest,
    Ping,
    Platform,
    Progress,
    Reference,
    Step,
)

__all__ = [
    "AlreadyExists",
    "Blob",
    "Canceled",
    "Client",
    "Config",
    "Conflict",
    "Connection",
    "CopySummary",
    "Credential",
    "Deleted",
    "Denied",
    "Descriptor",
    "Digest",
    "DigestMismatch",
    "Error",
    "FileError",
    "Image",
    "Invalid",
    "Manifest",
    "NotFound",
    "Pages",
    "Ping",
    "Platform",
    "PlatformNotFound",
    "Progress",
    "ProtocolError",
    "RateLimited",
    "Reference",
    "Registry",
    "RegistryError",
    "Reply",
    "Repository",
    "Server",
    "Settings",
    "SigningKey",
    "Step",
    "Timeout",
    "TooLarge",
    "Unauthorized",
    "Unsupported",
    "Unverified",
    "Upload",
    "__version__",
    "copy",
    "default",
    "image",
    "repository",
    "serve",
    "set_default",
    "v1",
]

_publish(globals())
