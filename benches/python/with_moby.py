"""moby-distribution."""

from io import BytesIO

from moby_distribution import APIEndpoint, Blob, DockerRegistryV2Client, ManifestRef, Tags
from work import tags


def client(registry):
    return DockerRegistryV2Client.from_api_endpoint(APIEndpoint(url=registry))


def list_tags(registry, repository):
    return len(Tags(repository, client=client(registry)).list())


def pull(registry, repository, digest, path):
    Blob(repository, digest, local_path=path, client=client(registry)).download()
    with open(path, "rb") as file:
        return file.seek(0, 2)


def push(registry, repository, path):
    return Blob(repository, local_path=path, client=client(registry)).upload().digest


def read_images(registry, repository, count):
    found = client(registry)
    return len([config(found, repository, tag) for tag in tags(count)])


def config(found, repository, tag):
    manifest = ManifestRef(repository, tag, client=found).get()
    return content(found, repository, manifest.config.digest)


def content(found, repository, digest):
    buffer = BytesIO()
    Blob(repository, digest, fileobj=buffer, client=found).download()
    buffer.seek(0)
    return buffer


def copy_images(source, target, repository, count):
    here, there = client(source), client(target)
    return len([copy(here, there, repository, tag) for tag in tags(count)])


def copy(here, there, repository, tag):
    manifest = ManifestRef(repository, tag, client=here).get()
    for blob in [manifest.config, *manifest.layers]:
        sent = content(here, repository, blob.digest)
        Blob(repository, fileobj=sent, client=there).upload_at_one_time()
    ManifestRef(repository, tag, client=there).put(manifest)
