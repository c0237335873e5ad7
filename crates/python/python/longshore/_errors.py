"""The exceptions: one class for each kind of error."""

from __future__ import annotations

import errno as _errno
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple, Type

from ._values import Digest, Platform


@dataclass(frozen=True)
class RegistryError:
    """An error that a registry reported in its reply.

    Source: distribution-spec v1.1.1, "Error Codes".
    """

    code: str
    message: str
    detail: Any = None


class Error(Exception):
    """The base class of all errors of longshore.

    Each subclass is also the builtin exception that Python programs catch for its case. No message
    contains a secret.
    """

    kind: str = "Error"
    """The kind, such as ``"NotFound"``."""
    status: Optional[int] = None
    """The HTTP status of the reply, if the error is a reply."""
    errors: Sequence[RegistryError] = ()
    """The errors that the registry reported."""
    thing: Optional[str] = None
    """What the error is about, such as ``ghcr.io/a/b:v1`` or the path of a file."""
    url: Optional[str] = None
    """The URL of the request without secrets, if the error is about a request."""
    hint: Optional[str] = None
    """What the user can do, in one sentence."""
    retry_after: Optional[float] = None
    """The wait in seconds that the registry requests."""


class AlreadyExists(Error, FileExistsError):
    """The object to be created already exists."""


class Canceled(Error):
    """The operation was stopped before its end."""


class Conflict(Error):
    """Another client changed the state, or the name is ambiguous."""


class Denied(Error, PermissionError):
    """The operation is not allowed with these credentials."""


class Unauthorized(Error, PermissionError):
    """Credentials are missing or wrong."""


class Invalid(Error, ValueError):
    """A name, a document or an argument is malformed."""


class NotFound(Error, LookupError):
    """The repository, manifest, tag or blob does not exist."""


class PlatformNotFound(NotFound):
    """The image does not exist for the platform."""

    platforms: Sequence[Platform] = ()
    """The platforms for which the image exists."""


class ProtocolError(Error):
    """The registry sent something that the specification does not allow."""


class RateLimited(Error):
    """The registry refused the request because it received too many."""


class DigestMismatch(Error):
    """The content does not have the expected digest or size."""

    expected: Optional[Digest] = None
    """The expected digest. ``None`` if the size differs, or if the registry compared the digests."""
    got: Optional[Digest] = None
    """The digest of the content, if ``expected`` is set."""


class Connection(Error, ConnectionError):
    """The connection was not established, or broke."""


class Timeout(Error, TimeoutError):
    """The registry did not reply in time."""


class TooLarge(Error):
    """A size or a count exceeds a limit."""


class Unsupported(Error):
    """The registry, or this kind of object, does not support the operation."""


class Unverified(Error):
    """A signature is missing or wrong."""


class FileError(Error, OSError):
    """A local file, folder or address cannot be used. ``filename`` is set, and ``errno`` if the system
    refused."""

    def __str__(self) -> str:
        return str(self.args[0])


class _FileNotFound(FileError, FileNotFoundError):
    pass


class _FileDenied(FileError, PermissionError):
    pass


class _FileIsFolder(FileError, IsADirectoryError):
    pass


_FILE_ERRORS: Dict[Optional[int], Type[FileError]] = {
    _errno.ENOENT: _FileNotFound,
    _errno.EACCES: _FileDenied,
    _errno.EPERM: _FileDenied,
    _errno.EISDIR: _FileIsFolder,
}
for _class in set(_FILE_ERRORS.values()):
    # Programs and users see one class. The subclasses only add the builtin exception.
    _class.__name__ = _class.__qualname__ = FileError.__name__

_BY_KIND: Dict[str, Type[Error]] = {
    "SizeMismatch": DigestMismatch,
    "Protocol": ProtocolError,
    "Transport": Connection,
    **{
        error.__name__: error
        for error in (
            AlreadyExists,
            Canceled,
            Conflict,
            Denied,
            DigestMismatch,
            Invalid,
            NotFound,
            RateLimited,
            Timeout,
            TooLarge,
            Unauthorized,
            Unsupported,
            Unverified,
        )
    },
}


def _of(
    *,
    kind: str,
    message: str,
    status: Optional[int],
    hint: Optional[str],
    thing: Optional[str],
    url: Optional[str],
    digests: Optional[Tuple[str, str]],
    platforms: Optional[List[str]],
    retry_after: Optional[float],
    errno: Optional[int],
    errors: List[Tuple[str, str, Any]],
) -> Error:
    """Creates the exception for an error. The compiled part calls this function."""
    error: Error
    if kind == "Io":
        error = _FILE_ERRORS.get(errno, FileError)(message)
        if isinstance(error, OSError):
            error.errno = errno
            error.filename = thing
    elif platforms is not None:
        error = PlatformNotFound(message)
        error.platforms = tuple(map(Platform, platforms))
    else:
        error = _BY_KIND.get(kind, Error)(message)
    if isinstance(error, DigestMismatch) and digests is not None:
        error.expected, error.got = map(Digest, digests)
    error.kind = kind
    error.status = status
    error.url = url
    error.hint = hint
    error.thing = thing
    error.retry_after = retry_after
    error.errors = tuple(RegistryError(*fields) for fields in errors)
    return error
