"""yodle's docker-registry-client: its methods, at a v2 registry and at a v1 registry."""

import sys

from docker_registry_client import DockerRegistryClient

client = DockerRegistryClient(f"http://{sys.argv[1]}")
print(client.api_version, *client.namespaces(), *client.repositories())
repository = client.repository("repository_name", "namespace")
print(*repository.tags())
manifest, digest = repository.manifest("tag")
print(manifest, digest)
repository.delete_manifest(digest)

client = DockerRegistryClient(f"http://{sys.argv[2]}")
print(client.api_version, *client.repositories())
repository = client.repository("repository_name", "namespace")
print(*repository.tags())
print(repository.data("tag"))
image = repository.image("tag")
print(image.image_id, image.get_json(), image.get_data("parent"), image.ancestry())
repository.tag("again", image.image_id)
repository.refresh()
print(*sorted(repository.tags()))
repository.untag("again")
