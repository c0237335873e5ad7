"""yodle's docker-registry-client: the methods of its README, at a v2 and at a v1 registry."""

import sys

from longshore import Registry, v1

client = Registry(sys.argv[1])
print(client.api_version(), *client.namespaces(), *client.repositories())
repository = client.repository("repository_name", "namespace")
print(*repository.tags())
manifest = repository.manifest("tag")
print(manifest.json(), manifest.digest)
repository.delete(manifest.digest)

client = Registry(sys.argv[2])
print(client.api_version(), *v1.Registry(client).search())
old = v1.Registry(client).repository("repository_name", "namespace")
print(*old.tags())
print(old.data("tag"))
image = old.image("tag")
print(image.id, image.json(), image.field("parent"), image.ancestry())
old.tag("again", image.id)
print(*sorted(old.tags()))
old.untag("again")
image.layer().read()  # get_layer() of the original fails
