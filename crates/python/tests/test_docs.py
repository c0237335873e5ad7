"""The documentation: its examples run, and every public name has a text."""

from __future__ import annotations

import doctest
import inspect
import pydoc
from pathlib import Path
from typing import Any, Iterator, Tuple

import pytest

import longshore
from longshore import aio

CHAPTER = Path(__file__).parents[3] / "docs" / "src" / "python.md"
OPTIONS = doctest.ELLIPSIS


def test_the_examples_of_the_chapter_run() -> None:
    result = doctest.testfile(str(CHAPTER), module_relative=False, optionflags=OPTIONS)
    assert result.attempted > 40 and result.failed == 0


def test_the_example_of_the_module_runs() -> None:
    result = doctest.testmod(longshore, optionflags=OPTIONS)
    assert result.attempted >= 2 and result.failed == 0


def public() -> Iterator[Tuple[str, Any]]:
    """Yields all public names, and those of classes."""
    for module in (longshore, aio, longshore.v1, aio.v1):
        for name in module.__all__:
            value = getattr(module, name)
            yield f"{module.__name__}.{name}", value
            if inspect.isclass(value):
                for own, member in vars(value).items():
                    if not own.startswith("_") and (callable(member) or isinstance(member, property)):
                        yield f"{module.__name__}.{name}.{own}", member


@pytest.mark.parametrize("name, value", list(public()), ids=lambda value: str(value)[:60])
def test_a_public_name_has_a_docstring(name: str, value: Any) -> None:
    if not isinstance(value, str):
        assert inspect.getdoc(value), name


def test_help_lists_all_names() -> None:
    text = pydoc.render_doc(longshore, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
    for name in longshore.__all__:
        assert name in text or name == "__version__", name
