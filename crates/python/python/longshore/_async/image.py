"""Images: a manifest, and the configuration that belongs to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Optional, Sequence, Union

from .._progress import OnProgress
from .._values import Config, Descriptor, Digest, Manifest, Platform, Reference, text_of

if TYPE_CHECKING:
    from .repository import Repository


class Image:
    """An image for one platform, as it was read. It does not change."""

    def __init__(
        self, repository: Repository, reference: Reference, manifest: Manifest, config: bytes
    ) -> None:
        self._repository = repository
        self._reference = reference
        self._manifest = manifest
        self._config = Config._of(config, manifest.layers)

    @property
    def reference(self) -> Reference:
        """The name with which the image was read."""
        return self._reference

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        return self._manifest

    @property
    def config(self) -> Config:
        """The configuration."""
        return self._config

    @property
    def platform(self) -> Platform:
        """The platform."""
        return self._config.platform

    @property
    def layers(self) -> Sequence[Descriptor]:
        """The layers, from the lowest to the highest."""
        return self._manifest.layers

    @property
    def id(self) -> Digest:
        """The digest of the configuration, which ``docker images`` shows as the image's ID."""
        return self._manifest.config.digest

    @property
    def size(self) -> int:
        """The compressed size of all layers, in bytes."""
        return sum(layer.size for layer in self.layers)

    def field(self, name: str) -> Any:
        """Returns a field of the configuration: a path such as ``config.Env`` or
        ``history[0].created``. Raises `NotFound`."""
        from .._fields import look_up

        return look_up(self._config.json(), name)

    async def save(
        self, path: Union[str, os.PathLike[str]], *, progress: Optional[OnProgress] = None
    ) -> None:
        """Writes the image to a tar file, as ``docker save`` does. The file replaces an existing
        one when it is complete."""
        target = f"docker-archive:{os.fspath(path)}:{self._reference.repository}"
        if self._reference.tag is not None:
            target += f":{self._reference.tag}"
        await self._copy(target, progress)

    async def copy(
        self, to: Union[str, Reference], *, progress: Optional[OnProgress] = None
    ) -> Image:
        """Copies the image to another repository, and returns the copy."""
        await self._copy(text_of(to), progress)
        return await self._repository._client.image(to)

    async def _copy(self, target: str, progress: Optional[OnProgress]) -> None:
        source = self._reference.replace(tag=None, digest=self._manifest.digest)
        await self._repository._client.copy(source, target, progress=progress)

    async def append(
        self,
        *layers: Union[str, os.PathLike[str]],
        to: Union[str, Reference, None] = None,
        created_by: Optional[str] = None,
        comment: Optional[str] = None,
    ) -> Image:
        """Adds layers from files, compressed or not, and sends the new image to ``to``, or under
        this image's own tag."""
        target = to if to is not None else self._reference.replace(digest=None)
        client = self._repository._client
        await client._append(self, [os.fspath(layer) for layer in layers], text_of(target), created_by, comment)
        return await client.image(target)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and self._manifest == other._manifest

    def __hash__(self) -> int:
        return hash(self._manifest)

    def __repr__(self) -> str:
        return f"<Image {self._reference} {self.platform}>"
