"""Docker's first API, for registries that speak nothing else."""

from ._sync.v1 import Image, Registry, Repository

__all__ = ["Image", "Registry", "Repository"]
