"""Fills a registry with the content of the benchmark: ``prepare.py REGISTRY TAGS IMAGES BYTES``.

- ``bench/many``: one image with TAGS tags
- ``bench/small``: IMAGES images of three layers of 20 KiB, with the tags ``t000``, ``t001`` …
- ``bench/large``: a blob of BYTES random bytes, whose digest is printed

The media types are Docker's, because some of the earlier clients support no others.
"""

import json
import os
import random
import sys

from longshore import Registry
from work import tags

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def push_image(repository, number, *names):
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": [f"NUMBER={number}"]},
        "rootfs": {"type": "layers", "diff_ids": []},
        # dreg-client requires these fields.
        "created": "2026-01-01T00:00:00Z",
        "history": [],
    }
    layers = [repository.push(random.randbytes(20 << 10), media_type=LAYER) for _ in range(3)]
    pushed = repository.push(json.dumps(config).encode(), media_type=CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": pushed.json(),
        "layers": [layer.json() for layer in layers],
    }
    repository.put(manifest, *names)


def main(name, many, images, size):
    registry = Registry(name, auth=None)
    push_image(registry.repository("bench/many"), 0, *(f"v1.0.{n}" for n in range(int(many))))
    for number, tag in enumerate(tags(images)):
        push_image(registry.repository("bench/small"), number, tag)
    piece = 1 << 20
    blob = registry.repository("bench/large").push(os.urandom(piece) for _ in range(int(size) // piece))
    print(blob.digest)


if __name__ == "__main__":
    main(*sys.argv[1:])
