"""yodle's docker-registry-client, which reads no blobs of v2 registries."""

from docker_registry_client import DockerRegistryClient


def list_tags(registry, repository):
    return len(DockerRegistryClient(f"http://{registry}").repository(repository).tags())
