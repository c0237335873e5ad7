"""moby-distribution: the examples of its README."""

import sys
from io import BytesIO

from moby_distribution import (
    APIEndpoint,
    Blob,
    DockerRegistryV2Client,
    ImageRef,
    ManifestRef,
    ManifestSchema2,
    Tags,
    set_default_client,
)

endpoint = APIEndpoint(url=sys.argv[1])
client = DockerRegistryV2Client.from_api_endpoint(endpoint)

print(*Tags(repo="library/python", client=client).list())

manifest_ref = ManifestRef(repo="library/python", reference="latest", client=client)
manifest = manifest_ref.get(ManifestSchema2.content_type())
print(manifest.config.digest)

fh = BytesIO()
digest = manifest.config.digest
Blob(fileobj=fh, repo="library/python", digest=digest, client=client).download()
fh.seek(0)
print(fh.read())

fh = BytesIO(b"just a demo")
print(Blob(repo="your-username/demo", fileobj=fh, client=client).upload().digest)

ManifestRef(repo="library/python", reference="pushed", client=client).put(manifest)

image_ref = ImageRef.from_image(
    from_repo="library/python",
    from_reference="latest",
    to_reference="the-new-reference",
    client=client,
)
image_ref.push()
print(*Tags(repo="library/python", client=client).list())
set_default_client(client)
