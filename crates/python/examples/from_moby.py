"""moby-distribution: the examples of its README."""

import sys

import longshore
from longshore import Client, Settings

client = Client(registries={sys.argv[1]: Settings(scheme="detect")})
python = client.repository(f"{sys.argv[1]}/library/python")

print(*python.tags())

manifest = python.manifest(accept="application/vnd.docker.distribution.manifest.v2+json")
print(manifest.config.digest)

print(bytes(python.image().config))

demo = client.repository(f"{sys.argv[1]}/your-username/demo")
print(demo.push(b"just a demo").digest)

python.put(manifest, "pushed")

client.copy(python.reference("latest"), python.reference("the-new-reference"))
print(*python.tags())
longshore.set_default(client)
