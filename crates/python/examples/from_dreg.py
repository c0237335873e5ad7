"""dreg-client: the usage of its README."""

import sys

from longshore import Manifest, Registry, Repository

registry = Registry(sys.argv[1])

namespaces = registry.namespaces()  # a tuple of strings
repositories = registry.repositories()  # a mapping of names to Repository objects
ns_repositories = registry.repositories("testns")  # only those in the namespace "testns"
print(*namespaces, *repositories, *ns_repositories)
test_repo = registry.repository("testrepo", "testns")  # a Repository object
test_repo = registry.repository("testns/testrepo")  # an equal Repository object

assert isinstance(test_repo, Repository)
assert test_repo.name == "testns/testrepo"

tags = test_repo.tags().all()  # all of them, page by page
print(*tags)

manifest = test_repo.manifest(tags[0])  # a Manifest object
assert isinstance(manifest, Manifest)
print(manifest.digest)

test_repo.delete(manifest.digest)  # or test_repo.untag(tags[0]), which spares its siblings

print(test_repo.blob(sys.argv[2]).read())
test_repo.delete_blob(sys.argv[2])
