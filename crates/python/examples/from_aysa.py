"""aysa's docker-registry-client: the example of its README, and its other methods."""

import sys

from longshore import Reference, Registry

api = Registry(sys.argv[1], auth=("guest", "guest"), scheme="http")

for name in api.catalog():
    for tag in api.tags(name):
        print(f"{name}:{tag}")

for name in api.catalog().matching("project", start=True, ignore_case=True):
    for tag in api.tags(name):
        print(f"{name}:{tag}")

image = api.repository("project/image")
api.catalog(page_size=2)  # catalog(items=2)
digest = image.resolve("dev").digest  # digest('project/image', 'dev')
manifest = image.manifest("dev", platform="linux/amd64")  # manifest('project/image', 'dev')
fat = image.manifest("dev")  # manifest('project/image', 'dev', True)
image.tag("dev", "stable")  # put_tag('project/image', 'stable', 'dev')
image.untag("stable")  # delete_tag('project/image', 'stable')
image.put(manifest, "dev")  # put_manifest('project/image', 'dev', manifest)
image.delete(digest)  # delete_manifest('project/image', digest)
parts = Reference("aysa.ad:5000/namespace/sub_namespace/image:tag", strict=True)  # get_parts(...)
print(parts.registry, parts.repository, parts.namespace, parts.image, parts.tag)
