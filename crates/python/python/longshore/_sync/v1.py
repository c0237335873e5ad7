# Written by generate.py from ../_async/v1.py. Change that file.
"""Docker's first API, for registries that speak nothing else.

Source: Docker Registry HTTP API V1.
"""

from __future__ import annotations

import json as _json
from typing import Any, Dict, List, Optional, Union

from .. import _core
from ._blob import Blob
from ._running import Content, run
from ._sending import send
from .pages import Pages
from .registry import Registry as _Registry

__all__ = ["Image", "Registry", "Repository"]


class Registry:
    """A registry that speaks the v1 API."""

    def __init__(self, registry: Union[str, _Registry]) -> None:
        made = registry if isinstance(registry, _Registry) else _Registry(registry)
        # The registry owns the client.
        self._registry = made
        self._core = _core.V1Registry(made.client._core, made.name)

    def search(self, words: str = "") -> Pages[str]:
        """Searches for repositories, and lists their names."""
        return Pages(lambda: self._core.search(words), lambda found: str(found["name"]))

    def repository(self, name: str, namespace: Optional[str] = None) -> Repository:
        """Returns a repository. The default namespace is ``library``."""
        return Repository(self._core.repository(f"{namespace}/{name}" if namespace else name))

    def image(self, id: str) -> Image:
        """Returns an image by its identifier: 64 hexadecimal digits."""
        return Image(self._core.image(id))


class Repository:
    """A repository: tags that name images."""

    def __init__(self, repository: _core.V1Repository) -> None:
        self._core = repository

    def tags(self) -> Dict[str, Optional[str]]:
        """Returns the images' identifiers by tag."""
        return {found["tag"]: found["id"] for found in run(self._core.tags())}

    def data(self, tag: str) -> Any:
        """Returns the metadata of a tag."""
        return run(self._core.data(tag))

    def image(self, tag: str) -> Image:
        """Returns the image of a tag."""
        return Image(self._core.image(run(self._core.resolve(tag))))

    def tag(self, tag: str, image_id: str) -> None:
        """Sets a tag."""
        run(self._core.set_tag(tag, image_id))

    def untag(self, tag: str) -> None:
        """Deletes a tag."""
        run(self._core.delete_tag(tag))

    def delete(self) -> None:
        """Deletes the repository."""
        run(self._core.delete())


class Image:
    """An image, which is one layer with a parent."""

    def __init__(self, image: _core.V1Image) -> None:
        self._core = image

    @property
    def id(self) -> str:
        """The identifier."""
        return self._core.id

    def json(self) -> Any:
        """Returns the metadata."""
        return run(self._core.json())

    def field(self, name: str) -> Any:
        """Returns a field of the metadata, such as ``parent`` or ``.config.Env[0]``."""
        return run(self._core.field(name))

    def ancestry(self) -> List[str]:
        """Returns the identifiers of this image and its ancestors."""
        ids: List[str] = run(self._core.ancestry())
        return ids

    def layer(self) -> Blob:
        """Opens the layer."""
        return Blob(run(self._core.layer()), None)

    def push(self, json: Union[bytes, Dict[str, Any]], layer: Content) -> str:
        """Sends the metadata and the layer, and returns the checksum."""
        document = json if isinstance(json, bytes) else _json.dumps(json).encode()
        checksum: str = send(layer, lambda content: self._core.push(document, content))
        return checksum
