# Written by generate.py from ../_async/repository.py. Change that file.
"""Repositories of a registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, List, Mapping, Optional, Sequence, TypeVar, Union, overload

from .. import _core
from .._errors import NotFound
from .._progress import OnProgress, Reporter, meter
from .._settings import check_count
from .._values import Deleted, Descriptor, Digest, Json, Manifest, Reference
from ._blob import Blob
from ._running import Content, run
from ._sending import send
from .image import Image
from .pages import Pages
from .upload import Upload

if TYPE_CHECKING:
    from typing_extensions import Buffer, Literal

    from .client import Client

T = TypeVar("T")


class Repository:
    """A repository at a registry. Creating one sends nothing."""

    def __init__(self, client: Client, registry: str, name: str) -> None:
        self._client = client
        self._registry = registry
        self._name = name
        # Checks the name.
        self._core

    @property
    def _core(self) -> _core.Repository:
        return self._client._core.repository(self._registry, self._name)

    @property
    def registry(self) -> str:
        """The registry."""
        return self._registry

    @property
    def name(self) -> str:
        """The name at the registry, such as ``library/busybox``."""
        return self._name

    @property
    def namespace(self) -> Optional[str]:
        """The name without its last component, or ``None`` if it has only one."""
        return self._name.rpartition("/")[0] or None

    def reference(self, ref: str) -> Reference:
        """Returns the reference of a tag or digest in this repository."""
        separator = "@" if ":" in ref else ":"
        return Reference(f"{self._registry}/{self._name}{separator}{ref}", strict=True)

    def tags(self, *, after: Optional[str] = None, page_size: Optional[int] = None) -> Pages[str]:
        """Lists the tags (``GET /v2/<name>/tags/list``), in the registry's order.

        - ``after``: the tag after which the listing starts.
        - ``page_size``: the number of tags to request for each page.
        """
        check_count("page_size", page_size)
        return Pages(lambda: self._core.tags(after, page_size))

    def exists(self, ref: str) -> bool:
        """Returns true if the tag or the manifest exists (``HEAD``)."""
        return self.get(ref) is not None

    def __contains__(self, ref: str) -> bool:
        return self.exists(ref)

    @overload
    def get(self, ref: str) -> Optional[Descriptor]: ...

    @overload
    def get(self, ref: str, default: T) -> Union[Descriptor, T]: ...

    def get(self, ref: str, default: Any = None) -> Any:
        """Returns the descriptor of a manifest, or ``default`` if it does not exist."""
        try:
            return self.resolve(ref)
        except NotFound:
            return default

    def resolve(
        self, ref: str = "latest", *, accept: Optional[Sequence[str]] = None
    ) -> Descriptor:
        """Returns media type, digest and size of a manifest (``HEAD
        /v2/<name>/manifests/<ref>``).

        - ``ref``: a tag or a digest.
        - ``accept``: the media types that are accepted.

        Raises `NotFound` if it does not exist.
        """
        return Descriptor._of(run(self._core.resolve(ref, _types(accept))))

    def manifest(
        self,
        ref: str = "latest",
        *,
        accept: Union[str, Sequence[str], None] = None,
        platform: Optional[str] = None,
    ) -> Manifest:
        """Returns a manifest (``GET /v2/<name>/manifests/<ref>``), verified by its digest.

        - ``ref``: a tag or a digest.
        - ``accept``: the media types that are accepted, to get one form of several.
        - ``platform``: selects the image for this platform from an index.

        Raises `NotFound` if it does not exist, or if there is no image for the platform.
        """
        read = run(self._core.manifest(ref, _types(accept), _text(platform)))
        return Manifest._of(read)

    def put(self, manifest: Union[Manifest, Buffer, Json], *tags: str) -> Descriptor:
        """Sends a manifest (``PUT``) under each of the tags, or by its digest without tags.

        A dictionary is written as compact JSON. Raises `NotFound` if the repository does not hold
        a blob that the manifest lists.
        """
        made = manifest if isinstance(manifest, Manifest) else Manifest(manifest)
        sent = run(self._core.put(bytes(made), made.media_type, list(tags)))
        return Descriptor._of(sent)

    def tag(self, ref: str, *tags: str) -> Descriptor:
        """Adds tags to a manifest, and moves those that exist."""
        if not tags:
            raise TypeError("expected at least one tag to add")
        return Descriptor._of(run(self._core.tag(ref, list(tags))))

    def untag(self, tag: str) -> Literal["directly", "by placeholder"]:
        """Removes one tag. The manifest and its other tags stay.

        If the registry does not delete tags, the tag is moved to a placeholder, which is deleted.
        """
        way: Literal["directly", "by placeholder"] = run(self._core.untag(tag))
        return way

    def delete(self, ref: str) -> Deleted:
        """Deletes a manifest, and with it every tag that points at it. See `untag` for one tag."""
        deleted = run(self._core.delete(ref))
        return Deleted(Digest(deleted["digest"]), tuple(deleted["tags"]))

    def image(self, ref: str = "latest", platform: Optional[str] = None) -> Image:
        """Returns an image: its manifest and its configuration.

        - ``platform``: the platform to select from an index. Default: that of this machine.

        Raises `NotFound` if there is no image for the platform.
        """
        manifest, config = run(self._core.image(ref, _text(platform)))
        return Image(self, self.reference(ref), Manifest._of(manifest), config)

    def images(self, ref: str = "latest") -> List[Image]:
        """Returns the images for all platforms."""
        found = run(self._core.images(ref))
        name = self.reference(ref)
        return [Image(self, name, Manifest._of(manifest), config) for manifest, config in found]

    def blob(
        self,
        digest: Union[str, Descriptor],
        *,
        start: int = 0,
        progress: Optional[OnProgress] = None,
    ) -> Blob:
        """Opens a blob (``GET /v2/<name>/blobs/<digest>``). It is verified while it is read.

        - ``digest``: a digest, or a descriptor from a manifest, which saves a request for the size.
        - ``start``: the offset in bytes. What is read from an offset above 0 is not verified.

        Raises `NotFound` if it does not exist.
        """
        given = digest if isinstance(digest, Descriptor) else None
        size, media_type = (given.size, given.media_type) if given else (None, None)
        text: Any = given.digest if given else digest
        reader, found = run(self._core.blob(text, size, media_type, start))
        descriptor = Descriptor._of(found)
        reporter = None if progress is None else Reporter(progress, descriptor)
        return Blob(reader, descriptor, reporter)

    def blob_size(self, digest: str) -> Optional[int]:
        """Returns the size of a blob in bytes (``HEAD``), or ``None`` if it does not exist."""
        size: Optional[int] = run(self._core.blob_size(digest))
        return size

    def push(
        self,
        data: Content,
        *,
        digest: Optional[str] = None,
        media_type: str = "application/octet-stream",
        check: bool = True,
        progress: Optional[OnProgress] = None,
    ) -> Descriptor:
        """Sends a blob, and returns its descriptor.

        - ``data``: bytes or another buffer, a binary file, an iterable of bytes, or the path of a
          file as ``str`` or ``PathLike``. A file at a path can be sent again after a failure.
        - ``digest``: the expected digest. Raises `DigestMismatch` if the content has another.
        - ``check``: false to send the blob even if the repository may hold it.

        Source: distribution-spec v1.1.1, "Pushing blobs".
        """
        reporter = None if progress is None else Reporter(progress)

        def start(content: Any) -> _core.Operation:
            return self._core.push(content, media_type, digest, check, meter(reporter))

        return Descriptor._of(send(data, start, reporter))

    def mount(
        self, digest: str, source: Union[str, Repository], *, copy: bool = False
    ) -> bool:
        """Makes a blob of another repository of the same registry available here, without sending
        it. Returns false if the registry does not do this.

        - ``copy``: true to copy the blob in that case.

        Source: distribution-spec v1.1.1, "Mounting a blob from another repository" (end-11).
        """
        if isinstance(source, str):
            source = Repository(self._client, self._registry, source)
        mounted: bool = run(self._core.mount(digest, source._core, copy))
        return mounted

    def delete_blob(self, digest: str) -> None:
        """Deletes a blob (``DELETE``)."""
        run(self._core.delete_blob(digest))

    def upload(self, location: Optional[str] = None) -> Upload:
        """Begins an upload session (``POST``), or continues the session with this URL."""
        upload = run(self._core.upload(location))
        return Upload(upload, *run(upload.state()))

    def set_alias(
        self,
        tag: str,
        *blobs: Union[Descriptor, str, os.PathLike[str]],
        artifact_type: str = "application/vnd.unknown.artifact.v1",
        annotations: Optional[Mapping[str, str]] = None,
    ) -> Descriptor:
        """Sends an artifact that lists blobs, and returns its descriptor.

        - ``blobs``: digests or descriptors of blobs that the repository holds, and ``PathLike``
          objects of files to send.
        """
        parts = [
            blob.json()
            if isinstance(blob, Descriptor)
            else str(blob)
            if isinstance(blob, str)
            else _core.File(os.fspath(blob))
            for blob in blobs
        ]
        return Descriptor._of(
            run(self._core.set_alias(tag, parts, artifact_type, dict(annotations or {})))
        )

    def alias(self, tag: str) -> List[Digest]:
        """Returns the digests of the blobs that an artifact or image lists."""
        return [Digest(found["digest"]) for found in run(self._core.alias(tag))]

    def pull_files(self, tag: str, folder: Union[str, os.PathLike[str]]) -> List[str]:
        """Writes the files of an artifact to a folder, and returns their paths."""
        paths: List[str] = run(self._core.pull_files(tag, os.fspath(folder)))
        return paths

    def referrers(self, digest: str, artifact_type: Optional[str] = None) -> Pages[Descriptor]:
        """Lists the manifests whose ``subject`` is this digest, such as signatures.

        Source: distribution-spec v1.1.1, "Listing Referrers" (end-12).
        """
        return Pages(lambda: self._core.referrers(digest, artifact_type), Descriptor._of)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Repository)
            and self._client is other._client
            and (self._registry, self._name) == (other._registry, other._name)
        )

    def __hash__(self) -> int:
        return hash((self._registry, self._name))

    def __repr__(self) -> str:
        return f"<Repository {self._registry}/{self._name}>"


def _types(accept: Union[str, Sequence[str], None]) -> Optional[List[str]]:
    if accept is None:
        return None
    return [accept] if isinstance(accept, str) else list(accept)


def _text(value: Optional[object]) -> Optional[str]:
    return None if value is None else str(value)
