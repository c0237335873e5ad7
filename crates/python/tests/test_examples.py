"""The examples: the READMEs of earlier clients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import longshore
from longshore import Registry

from .images import push_image, push_index

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_example_of_dreg_runs(longshore_registry: Registry) -> None:
    repository = longshore_registry.repository("testns/testrepo")
    push_image(repository, "v1")
    run("from_dreg.py", longshore_registry.name)
    assert list(repository.tags()) == []


def test_the_example_of_aysa_runs() -> None:
    with longshore.serve(users={"guest": "guest"}) as registry:
        push_index(registry.repository("project/image"), "dev")
        printed = run("from_aysa.py", registry.name).splitlines()
        assert printed == [
            "project/image:dev",
            "project/image:dev",
            "aysa.ad:5000 namespace/sub_namespace/image namespace/sub_namespace image tag",
        ]


def test_the_example_of_dxf_runs(tmp_path: Path) -> None:
    log = tmp_path / "logger.dat"
    log.write_text("21.5 °C\n")
    with longshore.serve(users={"fred": "somepassword"}) as registry:
        assert run("from_dxf.py", registry.name, str(log)) == "21.5 °C\n"


@pytest.mark.parametrize("name", [path.name for path in EXAMPLES.glob("*.py")])
def test_each_example_compiles(name: str) -> None:
    compile((EXAMPLES / name).read_text(), name, "exec")
