"""A client and an embedded registry for container images and other OCI artifacts.

    >>> import longshore
    >>> with longshore.serve() as registry:
    ...     repository = registry.repository("notes")
    ...     blob = repository.push(b"hello")
    ...     _ = repository.set_alias("v1", blob)
    ...     list(repository.tags()), repository.blob(blob.digest).read()
    (['v1'], b'hello')

`Client` is a client of any number of registries, and `Registry` is one registry. `longshore.aio` has
the same names for asyncio. A name, such as a reference, a digest or a platform, is a string. Errors
are subclasses of `Error` and of the builtin exceptions that fit.
"""

from __future__ import annotations

from . import v1
from ._core import Credential, SigningKey, __version__
from ._errors import (
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
from ._names import publish as _publish
from ._settings import Settings
from ._sync._blob import Blob
from ._sync.client import Client
from ._sync.image import Image
from ._sync.module import copy, default, image, repository, set_default
from ._sync.pages import Pages
from ._sync.registry import Registry, Reply
from ._sync.repository import Repository
from ._sync.serving import Server, serve
from ._sync.upload import Upload
from ._values import (
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
