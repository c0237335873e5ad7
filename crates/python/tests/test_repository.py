"""Repositories: manifests, tags, images and blobs."""

from __future__ import annotations

import hashlib
import http.server
import io
import mmap
import tarfile
import threading
from pathlib import Path
from typing import Iterator, List

import pytest

import longshore
from longshore import Digest, Manifest, NotFound, Progress, Registry, Repository

from .images import LAYER, push_image, push_index


def test_a_manifest_is_its_bytes(repository: Repository) -> None:
    pushed = push_image(repository, "v1")
    manifest = repository.manifest("v1")
    assert "sha256:" + hashlib.sha256(manifest).hexdigest() == manifest.digest == pushed.digest
    assert manifest["layers"][0]["mediaType"] == LAYER == manifest.layers[0].media_type
    assert bytes(memoryview(manifest)[:1]) == b"{" and manifest[0] == ord("{")
    assert manifest.config.size == len(repository.blob(manifest.config).read())
    assert repository.put(manifest, "v2") == pushed


def test_tags_are_listed_in_pages_and_filtered(repository: Repository) -> None:
    pushed = push_image(repository)
    names = [f"v{i}" for i in range(10)]
    repository.tag(pushed.digest, *names)
    assert list(repository.tags()) == names
    assert [len(page) for page in repository.tags(page_size=4).pages()] == [4, 4, 2]
    assert repository.tags(after="v7").all() == ["v8", "v9"]
    assert repository.tags().first(2) == ["v0", "v1"]
    assert repository.tags().first(0) == []
    assert list(repository.tags().matching("[89]")) == ["v8", "v9"]
    assert list(repository.tags().matching("V1", start=True, ignore_case=True)) == ["v1"]
    listing = repository.tags()
    assert list(listing) == list(listing)


def test_a_removed_tag_spares_its_siblings(repository: Repository) -> None:
    pushed = push_image(repository, "v1", "v2")
    assert repository.untag("v1") == "directly"
    assert list(repository.tags()) == ["v2"]
    assert repository.delete("v2") == longshore.Deleted(pushed.digest, ("v2",))
    assert "v2" not in repository and not repository.exists(pushed.digest)


def test_what_does_not_exist_is_not_found(repository: Repository) -> None:
    with pytest.raises(NotFound) as caught:
        repository.manifest("v1")
    assert isinstance(caught.value, LookupError)
    assert caught.value.status == 404
    assert {error.code for error in caught.value.errors} <= {"MANIFEST_UNKNOWN", "NAME_UNKNOWN"}
    assert repository.get("v1") is None and repository.get("v1", 7) == 7
    missing = Digest.of(b"missing")
    assert repository.blob_size(missing) is None
    with pytest.raises(LookupError):
        repository.blob(missing)


def test_an_image_has_its_configuration(repository: Repository) -> None:
    push_image(repository, "v1")
    image = repository.image("v1", "linux/amd64")
    assert str(image.platform) == "linux/amd64"
    assert image.field("config.Env[0]") == "PATH=/bin"
    assert image.config.created is not None and image.config.created.microsecond == 123456
    assert [step.instruction for step in image.config.history] == ["ENV PATH=/bin", "RUN echo"]
    assert [step.layer for step in image.config.history] == [None, image.layers[0]]
    assert image.config.chain_ids == image.config.diff_ids
    assert image.id == "sha256:" + hashlib.sha256(image.config).hexdigest()
    assert image.size == image.layers[0].size
    with pytest.raises(LookupError, match="config.Nothing"):
        image.field("config.Nothing")


def test_an_index_selects_images_by_platform(repository: Repository) -> None:
    push_index(repository, "v1")
    assert [str(p) for p in repository.manifest("v1").platforms] == ["linux/amd64", "linux/arm64"]
    assert [str(i.platform) for i in repository.images("v1")] == ["linux/amd64", "linux/arm64"]
    assert str(repository.image("v1", "linux/arm64").platform) == "linux/arm64"
    arm = repository.manifest("v1", platform="linux/arm64")
    assert arm.digest == repository.manifest("v1").manifests[1].digest
    with pytest.raises(longshore.PlatformNotFound, match="linux/s390x") as raised:
        repository.image("v1", "linux/s390x")
    assert [str(p) for p in raised.value.platforms] == ["linux/amd64", "linux/arm64"]


CONTENT = bytes(range(256)) * 20_000


def sources(folder: Path) -> Iterator[object]:
    path = folder / "content"
    path.write_bytes(CONTENT)
    yield CONTENT
    yield bytearray(CONTENT)
    yield memoryview(CONTENT)
    yield path
    yield str(path)
    yield io.BytesIO(CONTENT)
    yield (CONTENT[i : i + 70_000] for i in range(0, len(CONTENT), 70_000))
    yield [CONTENT]
    with open(path, "rb") as file:
        yield file
        yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def test_every_kind_of_content_is_sent(repository: Repository, tmp_path: Path) -> None:
    digest = Digest.of(CONTENT)
    for content in sources(tmp_path):
        if repository.blob_size(digest) is not None:
            repository.delete_blob(digest)
        pushed = repository.push(content, media_type="text/plain")  # type: ignore[arg-type]
        assert (pushed.digest, pushed.size, pushed.media_type) == (digest, len(CONTENT), "text/plain")
        assert repository.blob(pushed).read() == CONTENT


def test_content_with_another_digest_is_refused(repository: Repository) -> None:
    wrong = Digest.of(b"other")
    for content in (b"content", iter([b"con", b"tent"])):
        with pytest.raises(longshore.DigestMismatch) as raised:
            repository.push(content, digest=wrong)
        assert (raised.value.expected, raised.value.got) == (wrong, Digest.of(b"content"))
    assert repository.blob_size(wrong) is None
    assert repository.blob_size(Digest.of(b"content")) is None


def test_an_iterable_that_fails_sends_nothing(repository: Repository) -> None:
    def failing() -> Iterator[bytes]:
        yield b"part"
        raise KeyError("source")

    with pytest.raises(KeyError, match="source"):
        repository.push(failing())
    assert repository.blob_size(Digest.of(b"part")) is None
    with pytest.raises(TypeError, match="bytes"):
        repository.push(["text"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="path"):
        repository.push(7)  # type: ignore[arg-type]


def test_a_blob_is_a_file(repository: Repository, tmp_path: Path) -> None:
    pushed = repository.push(CONTENT)
    with repository.blob(pushed.digest) as blob:
        assert blob.descriptor is not None and blob.descriptor.size == len(CONTENT)
        assert blob.read(10) == CONTENT[:10]
        buffer = bytearray(5)
        assert blob.readinto(buffer) == 5 and buffer == CONTENT[10:15]
        assert b"".join(blob) == CONTENT[15:]
        assert blob.read() == b"" and blob.readinto(buffer) == 0
    with pytest.raises(ValueError, match="closed"):
        blob.read()
    assert repository.blob(pushed, start=len(CONTENT) - 3).read() == CONTENT[-3:]
    repository.blob(pushed).save(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == CONTENT
    with repository.blob(pushed) as blob:
        blob.read(1)
        with pytest.raises(ValueError, match="in part"):
            blob.save(tmp_path / "other")


def test_a_layer_is_read_as_an_archive(repository: Repository) -> None:
    push_image(repository, "v1", text=b"hello")
    layer = repository.image("v1", "linux/amd64").layers[0]
    with tarfile.open(fileobj=repository.blob(layer), mode="r|*") as tar:
        for entry in tar:
            file = tar.extractfile(entry)
            assert file is not None and file.read() == b"hello"


class Wrong(http.server.BaseHTTPRequestHandler):
    """A registry whose blobs have other content than their digests state."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"changed")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_blob_that_changed_is_not_returned(tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Wrong) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        repository = Registry(f"127.0.0.1:{server.server_port}", auth=None).repository("app")
        digest = Digest.of(b"content")
        with pytest.raises(longshore.DigestMismatch) as raised, repository.blob(digest) as blob:
            blob.read()
        assert raised.value.expected == digest != raised.value.got
        with pytest.raises(longshore.DigestMismatch):
            repository.blob(digest).save(tmp_path / "saved")
        assert not (tmp_path / "saved").exists()
        server.shutdown()


def test_progress_is_reported_and_can_cancel(repository: Repository) -> None:
    seen: List[Progress] = []
    pushed = repository.push(CONTENT, progress=seen.append)
    assert seen[-1].done == len(CONTENT) == sum(report.piece for report in seen)
    seen.clear()
    repository.blob(pushed, progress=seen.append).read()
    assert seen[-1].done == seen[-1].total == len(CONTENT)
    assert seen[-1].what == longshore.Descriptor(
        "application/octet-stream", pushed.digest, pushed.size
    )

    def stop(progress: Progress) -> None:
        raise KeyError("stopped")

    with pytest.raises(KeyError, match="stopped"):
        repository.push(iter([bytes(1 << 20)] * 20), progress=stop)


def test_an_upload_is_sent_in_steps(repository: Repository) -> None:
    with repository.upload() as upload:
        assert upload.append(b"con") == 3
        assert upload.status() == 3
        again = repository.upload(upload.location)
        assert again.append(b"tent") == 7
        pushed = again.finish(Digest.of(b"content"))
    assert repository.blob(pushed).read() == b"content"
    with repository.upload() as upload:
        upload.append(b"con")
    with pytest.raises(longshore.Invalid):
        upload.append(b"tent")


def test_an_artifact_lists_files(repository: Repository, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("hello")
    blob = repository.push(b"blob")
    repository.set_alias("v1", notes, blob, blob.digest, annotations={"key": "value"})
    assert repository.alias("v1") == [Digest.of(b"hello"), blob.digest, blob.digest]
    assert repository.manifest("v1")["annotations"] == {"key": "value"}
    repository.set_alias("v2", notes)
    assert repository.pull_files("v2", tmp_path / "out") == [str(tmp_path / "out" / "notes.txt")]
    assert (tmp_path / "out" / "notes.txt").read_text() == "hello"


def test_a_blob_is_mounted(longshore_registry: Registry, repository: Repository) -> None:
    other = longshore_registry.repository("other")
    pushed = other.push(b"content")
    assert repository.mount(pushed.digest, "other")
    assert repository.blob(pushed).read() == b"content"
    assert repository.mount(other.push(b"more").digest, other, copy=True)


def test_referrers_are_listed(repository: Repository) -> None:
    subject = push_image(repository, "v1")
    empty = repository.push(b"{}", media_type="application/vnd.oci.empty.v1+json")
    referrer = repository.put(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.example.signature",
            "config": empty.json(),
            "layers": [],
            "subject": subject.json(),
        }
    )
    (found,) = repository.referrers(subject.digest)
    assert (found.digest, found.artifact_type) == (
        referrer.digest,
        "application/vnd.example.signature",
    )
    assert list(repository.referrers(subject.digest, "application/vnd.other")) == []


def test_schema_1_is_signed_and_verified() -> None:
    document = {
        "schemaVersion": 1,
        "name": "app",
        "tag": "v1",
        "architecture": "amd64",
        "fsLayers": [{"blobSum": Digest.of(b"")}],
        "history": [{"v1Compatibility": "{}"}],
    }
    key = longshore.SigningKey.generate()
    signed = Manifest(document).sign(key)
    assert signed.verify() == (key.id,)
    with pytest.raises(longshore.Unverified):
        Manifest(document).verify()


@pytest.mark.parametrize("n", range(2))
def test_the_registry_of_the_session_is_kept(longshore_session_registry: Registry, n: int) -> None:
    repository = longshore_session_registry.repository("app")
    assert (repository.blob_size(Digest.of(b"0")) is not None) == (n == 1)
    repository.push(str(n).encode())
