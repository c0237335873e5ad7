"""dreg-client: lists repositories and tags, and reads and deletes a manifest and a blob."""

import sys

from dreg_client import Manifest, Registry, Repository

registry = Registry.build_with_manual_client(f"http://{sys.argv[1]}/v2/")

namespaces = registry.namespaces()
repositories = registry.repositories()
ns_repositories = registry.repositories("testns")
print(*namespaces, *repositories, *ns_repositories)
test_repo = registry.repository("testrepo", "testns")
test_repo = registry.repository("testns/testrepo")

assert isinstance(test_repo, Repository)
assert test_repo.name == "testns/testrepo"

tags = test_repo.tags()
print(*tags)

manifest = test_repo.get_manifest(tags[0])
assert isinstance(manifest, Manifest)
print(manifest.digest)

test_repo.delete_manifest(manifest.digest)

get_blob_response = test_repo.get_blob(sys.argv[2])
print(get_blob_response.content)
delete_blob_response = test_repo.delete_blob(sys.argv[2])
