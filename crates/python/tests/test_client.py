"""Clients: copies, archives, credentials, and errors."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable, List, Optional, Tuple

import pytest

import longshore
from longshore import (
    Client,
    Credential,
    Digest,
    Platform,
    Reference,
    Registry,
    Settings,
)

from .images import layer, push_image, push_index


def test_an_image_is_copied(longshore_registry: Registry) -> None:
    pushed = push_index(longshore_registry.repository("a"), "v1")
    client, name = Client(auth=None), longshore_registry.name
    (copy,) = client.copy(f"{name}/a:v1", f"{name}/b")
    assert (copy.digest, copy.tag) == (pushed.digest, "v1")
    assert copy.target == f"{name}/b:v1" and copy.mounted > 0 and copy.sent == 0
    with pytest.raises(longshore.Conflict):
        client.copy(f"{name}/a:v1", f"{name}/b:v1", if_absent=True)
    (one,) = client.copy(f"{name}/a:v1", f"{name}/c:v1", platform="linux/arm64")
    assert one.digest != pushed.digest
    assert len(client.copy(f"{name}/b", f"{name}/d", all_tags=True)) == 1


def test_images_move_through_archives(longshore_registry: Registry, tmp_path: Path) -> None:
    pushed = push_image(longshore_registry.repository("a"), "v1")
    client, name = Client(auth=None), longshore_registry.name
    client.image(f"{name}/a:v1", "linux/amd64").save(tmp_path / "image.tar")
    (loaded,) = client.load(tmp_path / "image.tar", f"{name}/loaded:v2")
    assert loaded.reference.tag == "v2" and loaded.id == client.image(f"{name}/a:v1", "linux/amd64").id
    client.copy(f"{name}/a:v1", f"oci:{tmp_path / 'layout'}:v1")
    client.copy(f"{name}/a:v1", f"oci-archive:{tmp_path / 'oci.tar'}:v1")
    for place in ("layout", "oci.tar"):
        (copy,) = client.load(tmp_path / place, f"{name}/{place}:v1")
        assert copy.manifest.digest == pushed.digest
    (tmp_path / "layer.tar").write_bytes(layer("new"))
    image = client.image(f"{name}/a:v1", "linux/amd64")
    more = image.append(tmp_path / "layer.tar", to=f"{name}/more:v1", created_by="test")
    assert len(more.layers) == len(image.layers) + 1
    assert more.config.history[-1].instruction == "test"


def test_credentials_are_sent_to_their_registry() -> None:
    with longshore.serve(users={"user": "s3cret"}) as registry:
        name = registry.name
        asked: List[Tuple[str, Optional[str]]] = []

        def ask(registry: str, repository: Optional[str]) -> Optional[Credential]:
            asked.append((registry, repository))
            return Credential.login("user", "s3cret").over_plain_http()

        for auth in (
            ("user", "s3cret"),
            {name: ("user", "s3cret")},
            {"127.*": Credential.login("user", "s3cret").over_plain_http()},
            ask,
        ):
            client = Client(auth=auth, registries={name: Settings(scheme="http")})
            client.registry(name).check_credentials()
        assert asked[0][0] == name
        for wrong in (None, {"other.example": ("user", "s3cret")}, ("user", "wrong")):
            client = Client(auth=wrong, registries={name: Settings(scheme="http")})
            with pytest.raises(PermissionError) as caught:
                client.registry(name).check_credentials()
            assert isinstance(caught.value, longshore.Unauthorized)
            assert "s3cret" not in str(caught.value) and "wrong" not in str(caught.value)
        assert "s3cret" not in repr(Credential.login("user", "s3cret"))


def test_custom_requests_are_sent(longshore_registry: Registry) -> None:
    reply = longshore_registry.request("GET", "/v2/")
    assert reply.status == 200 and reply.json() == {}
    reply = longshore_registry.request("POST", "/v2/app/blobs/uploads/", body=b"")
    assert reply.status == 202 and "location" in reply.headers
    assert longshore_registry.request("GET", "/v2/none/tags/list").status == 404
    with pytest.raises(ValueError, match="method"):
        longshore_registry.request("NO METHOD", "/")


def test_registries_are_listed(longshore_registry: Registry) -> None:
    for name in ("one", "team/two", "team/three"):
        push_image(longshore_registry.repository(name), "v1")
    assert list(longshore_registry.catalog()) == ["one", "team/three", "team/two"]
    assert longshore_registry.namespaces() == ("library", "team")
    assert list(longshore_registry.repositories("team")) == ["team/three", "team/two"]
    assert longshore_registry.repository("two", "team") == longshore_registry.repository("team/two")
    ping = longshore_registry.ping()
    assert (ping.scheme, longshore_registry.api_version()) == ("http", 2)


def test_bad_input_is_refused() -> None:
    for make, text in (
        (Reference, "UPPER"),
        (Digest, "sha256:1"),
        (Platform, "a/b/c/d"),
        (Registry, "no registry"),
    ):
        with pytest.raises(ValueError, match=text) as caught:
            make(text)
        assert isinstance(caught.value, longshore.Invalid)
    with pytest.raises(TypeError):
        Reference(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="auth"):
        Client(auth=7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="part 'tags'"):
        Reference("a").replace(tags="v1")
    with pytest.raises(ValueError, match="strict|registry"):
        Reference("busybox", strict=True)


def test_arguments_are_checked_before_anything_is_sent(longshore_registry: Registry) -> None:
    repository, client = longshore_registry.repository("app"), Client(auth=None)
    calls: "list[Callable[[], object]]" = [
        lambda: Settings(scheme="ftp"),
        lambda: Client(attempts=0),
        lambda: Client(timeout=-1),
        lambda: Client(proxies="::"),
        lambda: Client(resolve={"a": "b"}),
        lambda: Client(registries={"BAD NAME": Settings()}),
        lambda: client.copy("a", "b", parallel=0),
        lambda: client.copy("a", "b", if_digest="x"),
        lambda: client.copy("a:b:c:d", "b"),
        lambda: repository.tags(page_size=0),
        lambda: longshore_registry.catalog(page_size=-1),
        lambda: repository.blob("sha256:1"),
        lambda: repository.push(b"", media_type="no type"),
        lambda: repository.untag("a b"),
        lambda: repository.put(b"not JSON"),
        lambda: Digest.of(b"", "md5"),
        lambda: Credential.login("a:b", "c"),
        lambda: Credential.authorization("Basic s3cret\n"),
        lambda: Credential.token(""),
    ]
    for n, call in enumerate(calls):
        with pytest.raises(ValueError) as caught:
            call()
        assert isinstance(caught.value, longshore.Invalid), (n, caught.value)
        assert "s3cret" not in str(caught.value)
    wrong: "list[Callable[[], object]]" = [
        lambda: Settings(verify="no"),  # type: ignore[arg-type]
        lambda: client.copy(5, "b"),  # type: ignore[arg-type]
        lambda: client.image(5),  # type: ignore[arg-type]
        lambda: repository.blob(5),  # type: ignore[arg-type]
        lambda: repository.manifest(5),  # type: ignore[arg-type]
        lambda: repository.put(5),  # type: ignore[arg-type]
        lambda: repository.set_alias("v1", 5),  # type: ignore[arg-type]
        lambda: Digest.of("text"),  # type: ignore[arg-type]
        lambda: Client(timeout="1"),  # type: ignore[arg-type]
    ]
    for n, call in enumerate(wrong):
        with pytest.raises(TypeError):
            call()
            pytest.fail(f"call {n}")


def test_values_are_hashable_comparable_and_picklable() -> None:
    reference = Reference("busybox:1.30")
    assert str(reference) == "docker.io/library/busybox:1.30"
    assert reference.replace(tag=None, digest=Digest.of(b"")) != reference
    assert sorted([Reference("b"), Reference("a")])[0].image == "a"
    platform = Platform("linux/arm64")
    for value in (reference, Digest.of(b"a"), platform):
        assert pickle.loads(pickle.dumps(value)) == value
        assert len({value, pickle.loads(pickle.dumps(value))}) == 1


def test_files_at_fault_are_os_errors(longshore_registry: Registry, tmp_path: Path) -> None:
    repository = longshore_registry.repository("app")
    with pytest.raises(FileNotFoundError) as caught:
        repository.push(tmp_path / "missing")
    assert isinstance(caught.value, longshore.FileError)
    assert caught.value.filename == str(tmp_path / "missing")
    assert "missing" in str(caught.value)
    with pytest.raises(FileNotFoundError, match="missing"):
        Client(auth=None).load(tmp_path / "missing", f"{longshore_registry.name}/app")
    with pytest.raises(OSError, match="nowhere"):
        longshore.serve(listen="nowhere").start()


def test_a_client_is_used_by_several_threads(longshore_registry: Registry) -> None:
    repository = longshore_registry.repository("app")
    found: List[bytes] = []

    def work(n: int) -> None:
        content = str(n).encode() * 10_000
        found.append(repository.blob(repository.push(content)).read()[:2])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(10, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [str(n).encode() for n in range(10, 30)]


def test_the_gil_is_released_while_waiting() -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        registry = Registry(f"127.0.0.1:{silent.getsockname()[1]}", auth=None)

        def ping() -> None:
            # The connection breaks when the socket is closed.
            with pytest.raises(longshore.Connection):
                registry.ping()

        waiting = threading.Thread(target=ping, daemon=True)
        waiting.start()
        turns = 0
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            turns += 1
        assert turns > 1000 and waiting.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_client_works_after_a_fork(longshore_registry: Registry) -> None:
    repository = longshore_registry.repository("app")
    pushed = repository.push(b"content")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if repository.blob(pushed).read() == b"content" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert repository.blob(pushed).read() == b"content"


def test_the_default_client_is_set_before_its_first_use() -> None:
    code = (
        "import longshore\n"
        "client = longshore.Client(auth=None)\n"
        "longshore.set_default(client)\n"
        "assert longshore.default() is client\n"
        "try:\n"
        "    longshore.set_default(longshore.Client())\n"
        "except RuntimeError:\n"
        "    longshore.set_default(client, replace=True)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
