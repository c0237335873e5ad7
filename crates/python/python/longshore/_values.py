"""The values: names, descriptors, manifests and configurations.

A value never changes. Wherever a function takes a name, it also takes its text.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, Dict, List, Mapping, Optional, Sequence, Union

from . import _core
from ._content import check, pieces
from ._core import SigningKey

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

Json = Dict[str, Any]


class Digest(str):
    """A content digest, such as ``sha256:9f86…``. It is a ``str``.

    Raises `Invalid` if the text is not a digest.

    Source: image-spec v1.1.1, "Descriptors", "Digests".
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        return super().__new__(cls, _core.parse_digest(text))

    @classmethod
    def of(
        cls,
        data: Union[Buffer, BinaryIO, os.PathLike[str]],
        algorithm: str = "sha256",
    ) -> Self:
        """Computes the digest of bytes, of an open binary file from its position, or of the file at
        a path.

        - ``algorithm``: ``sha256`` or ``sha512``.
        """
        if isinstance(data, os.PathLike):
            with open(data, "rb") as file:
                return cls.of(file, algorithm)
        hasher = _core.Hasher(algorithm)
        for piece in pieces(data):
            hasher.update(check(piece))
        return cls(hasher.digest())

    @property
    def algorithm(self) -> str:
        """The algorithm, such as ``sha256``."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The encoded part, after the colon."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first twelve characters of the encoded part, as ``docker images`` shows them."""
        return self.hex[:12]

    def __repr__(self) -> str:
        return f"Digest({str(self)!r})"


@dataclass(frozen=True, order=True)
class _Parts:
    registry: str
    repository: str
    tag: Optional[str]
    digest: Optional[Digest]


class Reference:
    """The name of an image: ``registry/repository:tag@digest``. Its text is complete.

    A short name gets Docker's defaults: ``busybox`` is ``docker.io/library/busybox``. With
    ``strict``, the text must name the registry.

    Raises `Invalid` if the text is malformed.
    """

    __slots__ = ("_parts",)
    _parts: _Parts

    def __init__(self, text: str, *, strict: bool = False) -> None:
        self._set(*_core.parse_reference(text, strict))

    @classmethod
    def _of(
        cls, registry: str, repository: str, tag: Optional[str], digest: Optional[str]
    ) -> Self:
        made = cls.__new__(cls)
        made._set(registry, repository, tag, digest)
        return made

    def _set(
        self, registry: str, repository: str, tag: Optional[str], digest: Optional[str]
    ) -> None:
        parts = _Parts(registry, repository, tag, None if digest is None else Digest(digest))
        object.__setattr__(self, "_parts", parts)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Reference does not change; use replace({name}=...)")

    @property
    def registry(self) -> str:
        """The registry: a host, and a port if it is not the default."""
        return self._parts.registry

    @property
    def repository(self) -> str:
        """The repository at the registry, such as ``library/busybox``."""
        return self._parts.repository

    @property
    def namespace(self) -> Optional[str]:
        """The repository without its last component, or ``None`` if it has only one."""
        return self.repository.rpartition("/")[0] or None

    @property
    def image(self) -> str:
        """The last component of the repository."""
        return self.repository.rpartition("/")[2]

    @property
    def tag(self) -> Optional[str]:
        """The tag, if the text has one."""
        return self._parts.tag

    @property
    def digest(self) -> Optional[Digest]:
        """The digest, if the text has one."""
        return self._parts.digest

    def replace(self, **parts: Optional[str]) -> Reference:
        """Returns a reference with other parts: ``registry``, ``repository``, ``tag``, ``digest``.
        ``None`` removes a tag or digest."""
        known = {
            "registry": self.registry,
            "repository": self.repository,
            "tag": self.tag,
            "digest": self.digest,
        }
        unknown = parts.keys() - known.keys()
        if unknown:
            raise TypeError(f"a Reference has no part {min(unknown)!r}")
        return Reference(_text(**{**known, **parts}), strict=True)

    def __str__(self) -> str:
        return _text(self.registry, self.repository, self.tag, self.digest)

    def __repr__(self) -> str:
        return f"Reference({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self._parts == other._parts

    def __lt__(self, other: Reference) -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash(self._parts)

    def __reduce__(self) -> Any:
        return (_strict_reference, (str(self),))


def text_of(name: Union[str, Reference]) -> str:
    """Returns the text of a name."""
    if isinstance(name, (str, Reference)):
        return str(name)
    raise TypeError(f"expected a str or a Reference, not {type(name).__name__}")


def _strict_reference(text: str) -> Reference:
    return Reference(text, strict=True)


def _text(
    registry: Optional[str],
    repository: Optional[str],
    tag: Optional[str],
    digest: Optional[str],
) -> str:
    text = f"{registry}/{repository}"
    if tag is not None:
        text += f":{tag}"
    if digest is not None:
        text += f"@{digest}"
    return text


@dataclass(frozen=True, init=False)
class Platform:
    """The platform of an image, such as ``linux/arm64/v8``.

    Source: image-spec v1.1.1, "Image Index", ``platform``.
    """

    os: str
    architecture: str
    variant: Optional[str] = None

    def __init__(self, text: str) -> None:
        os, architecture, variant = _core.parse_platform(text)
        object.__setattr__(self, "os", os)
        object.__setattr__(self, "architecture", architecture)
        object.__setattr__(self, "variant", variant)

    @classmethod
    def _of(cls, document: Json) -> Self:
        made = cls.__new__(cls)
        for name in ("os", "architecture", "variant"):
            object.__setattr__(made, name, document.get(name))
        return made

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def __repr__(self) -> str:
        return f"Platform({str(self)!r})"


@dataclass(frozen=True)
class Descriptor:
    """A reference to content: its media type, digest and size in bytes.

    Source: image-spec v1.1.1, "OCI Content Descriptors".
    """

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: Optional[str] = None
    platform: Optional[Platform] = None
    urls: Sequence[str] = ()

    @classmethod
    def _of(cls, document: Json) -> Self:
        platform = document.get("platform")
        return cls(
            media_type=document["mediaType"],
            digest=Digest(document["digest"]),
            size=document["size"],
            annotations=MappingProxyType(document.get("annotations", {})),
            artifact_type=document.get("artifactType"),
            platform=None if platform is None else Platform._of(platform),
            urls=tuple(document.get("urls", ())),
        )

    def json(self) -> Json:
        """Returns the descriptor as a manifest lists it."""
        document: Json = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.urls:
            document["urls"] = list(self.urls)
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        if self.artifact_type is not None:
            document["artifactType"] = self.artifact_type
        if self.platform is not None:
            parts = {
                "os": self.platform.os,
                "architecture": self.platform.architecture,
                "variant": self.platform.variant,
            }
            document["platform"] = {k: v for k, v in parts.items() if v is not None}
        return document


class Manifest(bytes):
    """A manifest: its exact bytes, so ``hashlib.sha256(manifest)`` is its digest.

    A document is written as compact JSON. Without ``media_type``, the document states the type or
    has a known form.

    Raises `Invalid` if the content is not a JSON object.

    Source: image-spec v1.1.1, "OCI Image Manifest" and "OCI Image Index".
    """

    _media_type: Optional[str]
    _described: Optional[Json]

    def __new__(cls, data: Union[Buffer, Json], media_type: Optional[str] = None) -> Self:
        if isinstance(data, dict):
            data = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
        # Not `data` itself, because a number would become that many zeros.
        made = super().__new__(cls, memoryview(data))
        made._media_type = media_type
        made._described = None
        made._describe()
        return made

    @classmethod
    def _of(cls, read: tuple[bytes, str]) -> Self:
        """Returns a manifest that the compiled part has read."""
        made = super().__new__(cls, read[0])
        made._media_type = read[1]
        made._described = None
        return made

    def _describe(self) -> Json:
        if self._described is None:
            described: Json = _core.describe(self, self._media_type)
            self._described = described
            return described
        return self._described

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the manifest itself."""
        return Descriptor._of(self._describe()["descriptor"])

    @property
    def digest(self) -> Digest:
        """The digest. The digest of a signed schema 1 manifest is that of its payload."""
        return self.descriptor.digest

    @property
    def media_type(self) -> str:
        """The media type."""
        return self.descriptor.media_type

    @property
    def config(self) -> Descriptor:
        """The descriptor of the configuration. Raises `Unsupported` if this is not the manifest of
        an image."""
        config = self._describe()["config"]
        if config is None:
            from ._errors import Unsupported

            raise Unsupported(f"a manifest of type {self.media_type} has no config")
        return Descriptor._of(config)

    @property
    def layers(self) -> Sequence[Descriptor]:
        """The layers of an image, or the files of an artifact. Empty for an index."""
        return tuple(map(Descriptor._of, self._describe()["layers"]))

    @property
    def manifests(self) -> Sequence[Descriptor]:
        """The manifests that an index lists. Empty for an image."""
        return tuple(map(Descriptor._of, self._describe()["manifests"]))

    @property
    def platforms(self) -> Sequence[Platform]:
        """The platforms of the manifests that an index lists."""
        return tuple(d.platform for d in self.manifests if d.platform is not None)

    def json(self) -> Json:
        """Returns the document."""
        document: Json = json.loads(bytes(self))
        return document

    def edited(self, document: Json) -> Manifest:
        """Returns a manifest of the same type with another document."""
        return Manifest(document, document.get("mediaType", self.media_type))

    def sign(self, key: Optional[SigningKey] = None) -> Manifest:
        """Signs a schema 1 manifest, with a new key by default."""
        return Manifest._of(_core.sign(self, self._media_type, key or SigningKey.generate()))

    def verify(self) -> Sequence[str]:
        """Verifies the signatures of a schema 1 manifest, and returns the identifiers of the keys
        that signed it. Raises `Unverified`."""
        return tuple(_core.verify(self, self._media_type))

    def __getitem__(self, key: Any) -> Any:
        """Returns a field of the document. With a number or a slice: the bytes."""
        return self.json()[key] if isinstance(key, str) else super().__getitem__(key)

    def __repr__(self) -> str:
        return f"<Manifest {self.digest} {self.media_type} {len(self)} bytes>"

    def __reduce__(self) -> Any:
        return (Manifest, (bytes(self), self._media_type))


@dataclass(frozen=True)
class Step:
    """A step of an image's history."""

    created: Optional[datetime]
    instruction: str
    """The instruction of the Dockerfile, without the shell that Docker adds."""
    layer: Optional[Descriptor]
    """The layer that the step created, if any."""
    comment: Optional[str] = None


class Config(bytes):
    """The configuration of an image: its exact bytes.

    Source: image-spec v1.1.1, "OCI Image Configuration".
    """

    _layers: Sequence[Descriptor]
    _parsed: Json

    @classmethod
    def _of(cls, content: bytes, layers: Sequence[Descriptor]) -> Self:
        made = super().__new__(cls, content)
        made._layers = layers
        made._parsed = _core.parse_config(content)
        return made

    def json(self) -> Json:
        """Returns the document."""
        document: Json = json.loads(bytes(self))
        return document

    @property
    def created(self) -> Optional[datetime]:
        """The time of creation, or ``None`` if it is missing or malformed."""
        return _time(self._parsed["created"])

    @property
    def platform(self) -> Platform:
        """The platform."""
        return Platform._of(self._parsed["platform"])

    @property
    def diff_ids(self) -> Sequence[Digest]:
        """The digests of the layers' uncompressed content."""
        return tuple(map(Digest, self._parsed["diff_ids"]))

    @property
    def chain_ids(self) -> Sequence[Digest]:
        """The digests of the layers together with those below."""
        return tuple(map(Digest, self._parsed["chain_ids"]))

    @property
    def history(self) -> Sequence[Step]:
        """The steps, from the oldest to the newest."""
        layers = iter(self._layers)
        steps: List[Step] = []
        for entry, instruction in zip(self._parsed["history"], self._parsed["instructions"]):
            layer = None if entry.get("empty_layer") else next(layers, None)
            created, comment = _time(entry.get("created")), entry.get("comment")
            steps.append(Step(created, instruction or "", layer, comment))
        return tuple(steps)

    def __repr__(self) -> str:
        return f"<Config {self.platform} {len(self)} bytes>"

    def __reduce__(self) -> Any:
        return (_config, (bytes(self), self._layers))


def _config(content: bytes, layers: Sequence[Descriptor]) -> Config:
    return Config._of(content, layers)


def _time(text: Optional[str]) -> Optional[datetime]:
    """Parses a time of RFC 3339. Fractions of microseconds are cut off."""
    if text is None:
        return None
    head, _, fraction = text.partition(".")
    digits = len(fraction) - len(fraction.lstrip("0123456789"))
    zone = fraction[digits:] if fraction else ""
    if head.endswith("Z"):
        head, zone = head[:-1], "Z"
    micros = fraction[:digits][:6].ljust(6, "0")
    try:
        text = f"{head}.{micros}{zone}" if fraction else head + zone
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


@dataclass(frozen=True)
class Deleted:
    """A manifest that was deleted, and the tags that were deleted with it."""

    digest: Digest
    tags: Sequence[str]


@dataclass(frozen=True)
class Ping:
    """The description of a registry."""

    scheme: str
    """``http`` or ``https``."""
    verified: bool
    """False if the registry's certificate is not checked."""
    detected: bool
    """True if the scheme was detected."""
    server: Optional[str]
    """The API version that the registry states."""
    authentication: Sequence[str] = ()
    """The challenges that the registry sends to clients without credentials."""


@dataclass(frozen=True)
class CopySummary:
    """The result of a copy of one image."""

    digest: Digest
    tag: Optional[str]
    target: str
    """The location of the copy."""
    sent: int
    """Bytes of blobs that were sent."""
    mounted: int
    """Bytes of blobs that the registry mounted from another repository."""
    held: int
    """Bytes of blobs that the target already had."""
    report: Json = field(default_factory=dict, hash=False, repr=False)
    """All fields that ``longshore copy --json`` prints."""

    @classmethod
    def _of(cls, document: Json) -> Self:
        return cls(
            digest=Digest(document["root"]["digest"]),
            tag=document.get("tag"),
            target=document["target"],
            sent=document["bytes_sent"],
            mounted=document["bytes_mounted"],
            held=document["bytes_held"],
            report=document,
        )


@dataclass(frozen=True)
class Progress:
    """The progress of a transfer."""

    done: int
    """Bytes transferred so far."""
    total: Optional[int]
    """All bytes, as far as they are known."""
    piece: int
    """Bytes since the last report."""
    what: Optional[Descriptor] = None
    """The blob, if the transfer is of a single one."""
