"""Images that tests send."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import Any, Dict, List, NamedTuple

from longshore import Descriptor, Repository

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
INDEX = "application/vnd.oci.image.index.v1+json"


class Types(NamedTuple):
    """The media types of an image."""

    manifest: str
    config: str
    layer: str


OCI = Types(
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.config.v1+json",
    LAYER,
)
DOCKER = Types(
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)


def layer(name: str, content: bytes = b"content") -> bytes:
    """Returns a plain tar with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def push_image(
    repository: Repository,
    *tags: str,
    architecture: str = "amd64",
    text: bytes = b"content",
    types: Types = OCI,
) -> Descriptor:
    """Sends an image with one layer, and returns the descriptor of its manifest."""
    plain = layer("etc/motd", text)
    packed = repository.push(gzip.compress(plain, mtime=0), media_type=types.layer)
    config = repository.push(
        json.dumps(
            {
                "created": "2024-05-06T07:08:09.123456789Z",
                "os": "linux",
                "architecture": architecture,
                "config": {"Env": ["PATH=/bin"]},
                "rootfs": {
                    "type": "layers",
                    "diff_ids": ["sha256:" + hashlib.sha256(plain).hexdigest()],
                },
                "history": [
                    {"created_by": "/bin/sh -c #(nop)  ENV PATH=/bin", "empty_layer": True},
                    {"created_by": "/bin/sh -c echo", "created": "2024-05-06T07:08:09Z"},
                ],
            }
        ).encode(),
        media_type=types.config,
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": types.manifest,
        "config": config.json(),
        "layers": [packed.json()],
    }
    return repository.put(manifest, *tags)


def push_index(repository: Repository, *tags: str) -> Descriptor:
    """Sends an index of two images."""
    listed: List[Dict[str, Any]] = []
    for architecture in ("amd64", "arm64"):
        image = push_image(repository, architecture=architecture).json()
        image["platform"] = {"os": "linux", "architecture": architecture}
        listed.append(image)
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
    return repository.put(index, *tags)
