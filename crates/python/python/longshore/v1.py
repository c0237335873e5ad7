"""Docker's first API, for registries that speak nothing else."""

from ._names import publish as _publish
from ._sync.v1 import Image, Registry, Repository

__all__ = ["Image", "Registry", "Repository"]

_publish(globals())
