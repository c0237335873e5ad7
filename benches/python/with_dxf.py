"""python-dxf. It reads 1 MiB at a time, because its default of 8 KiB is slow."""

import json

from dxf import DXF
from work import tags

PIECE = 1 << 20


def client(registry, repository):
    return DXF(registry, repository, insecure=True)


def list_tags(registry, repository):
    return len(client(registry, repository).list_aliases())


def pull(registry, repository, digest, path):
    with open(path, "wb") as file:
        for piece in client(registry, repository).pull_blob(digest, chunk_size=PIECE):
            file.write(piece)
        return file.tell()


def push(registry, repository, path):
    return client(registry, repository).push_blob(path)


def read_images(registry, repository, count):
    with client(registry, repository) as dxf:
        return len([read(dxf, tag)["config"]["Env"] for tag in tags(count)])


def read(dxf, tag):
    manifest = json.loads(dxf.get_manifest(tag))
    return json.loads(b"".join(dxf.pull_blob(manifest["config"]["digest"])))


def copy_images(source, target, repository, count):
    with client(source, repository) as here, client(target, repository) as there:
        return len([copy(here, there, tag) for tag in tags(count)])


def copy(here, there, tag):
    text = here.get_manifest(tag)
    manifest = json.loads(text)
    for blob in [manifest["config"], *manifest["layers"]]:
        there.push_blob(data=here.pull_blob(blob["digest"], chunk_size=PIECE), digest=blob["digest"])
    there.set_manifest(tag, text)
