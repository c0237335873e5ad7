"""The examples: the READMEs of earlier clients, compared with the clients themselves."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import List, Optional

import pytest

import longshore
from longshore import Registry

from .images import DOCKER, push_image, push_index
from .v1_registry import v1_registry

FOLDER = Path(__file__).parent
EXAMPLES = FOLDER.parent / "examples"
ORIGINALS = FOLDER / "originals"
NAMES = ["crashvb", "dreg", "dxf", "moby", "yodle"]
# The interpreter that has the earlier clients.
PREDECESSORS = os.environ.get("LONGSHORE_PREDECESSORS")


def run(python: str, script: Path, *arguments: str) -> str:
    environment = {**os.environ, "DRCA_DEFAULT_PROTOCOL": "http"}
    result = subprocess.run(
        [python, str(script), *arguments], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


class Place:
    """A registry with the content that a script expects, and the arguments of the script."""

    def __init__(self, stack: ExitStack, name: str, folder: Path) -> None:
        # Without users, because dxf sends no password over plain HTTP.
        self.registry: Registry = stack.enter_context(longshore.serve())
        self.arguments = [self.registry.name]
        prepare = getattr(self, f"_for_{name}")
        prepare(stack, folder)

    def _for_crashvb(self, stack: ExitStack, folder: Path) -> None:
        push_image(self.registry.repository("library/busybox"), "1.30.1", types=DOCKER)

    def _for_dreg(self, stack: ExitStack, folder: Path) -> None:
        repository = self.registry.repository("testns/testrepo")
        push_image(repository, "v1", "v2", types=DOCKER)
        self.arguments.append(repository.push(b"a blob").digest)

    def _for_yodle(self, stack: ExitStack, folder: Path) -> None:
        push_image(self.registry.repository("namespace/repository_name"), "tag")
        self.arguments.append(stack.enter_context(v1_registry()))

    def _for_moby(self, stack: ExitStack, folder: Path) -> None:
        push_image(self.registry.repository("library/python"), "latest", types=DOCKER)

    def _for_dxf(self, stack: ExitStack, folder: Path) -> None:
        log = folder / "logger.dat"
        log.write_text("21.5 °C\n", encoding="utf-8")
        self.arguments.append(str(log))


@pytest.mark.predecessors
@pytest.mark.parametrize("name", NAMES)
def test_an_example_prints_what_the_original_prints(name: str, tmp_path: Path) -> None:
    assert PREDECESSORS is not None, "`cargo xtask test python` sets LONGSHORE_PREDECESSORS"
    with ExitStack() as stack:
        theirs, ours = Place(stack, name, tmp_path), Place(stack, name, tmp_path)
        expected = run(PREDECESSORS, ORIGINALS / f"using_{name}.py", *theirs.arguments)
        printed = run(sys.executable, EXAMPLES / f"from_{name}.py", *ours.arguments)
        assert expected.strip() and printed == expected
        # Both leave the same tags behind.
        for repository in theirs.registry.catalog():
            tags = ours.registry.tags(repository).all()
            assert tags == theirs.registry.tags(repository).all(), repository


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_at_most_as_many_lines_as_the_original(name: str) -> None:
    example = lines(EXAMPLES / f"from_{name}.py")
    assert example <= lines(ORIGINALS / f"using_{name}.py")


def lines(script: Path) -> int:
    """Counts the lines with code."""
    text = script.read_text(encoding="utf-8")
    documentation: Optional[ast.stmt] = ast.parse(text).body[0]
    counted: List[str] = text.splitlines()
    if isinstance(documentation, ast.Expr):
        counted = counted[documentation.end_lineno :]
    return len([line for line in counted if line.strip() and not line.lstrip().startswith("#")])


def test_the_example_of_aysa_runs() -> None:
    # The original is not in the Python package index, so the expected lines are those that its
    # README shows, with other names.
    with longshore.serve(users={"guest": "guest"}) as registry:
        push_index(registry.repository("project/image"), "dev")
        printed = run(sys.executable, EXAMPLES / "from_aysa.py", registry.name).splitlines()
        assert printed == [
            "project/image:dev",
            "project/image:dev",
            "aysa.ad:5000 namespace/sub_namespace/image namespace/sub_namespace image tag",
        ]
