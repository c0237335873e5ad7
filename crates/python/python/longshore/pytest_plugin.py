"""Fixtures for pytest: an embedded registry for each test, or for the whole session."""

from __future__ import annotations

from typing import Iterator

import pytest

from . import Registry, serve


@pytest.fixture
def longshore_registry() -> Iterator[Registry]:
    """An empty registry in memory, for one test. Its ``name`` is its address."""
    with serve() as registry:
        yield registry


@pytest.fixture(scope="session")
def longshore_session_registry() -> Iterator[Registry]:
    """A registry in memory that all tests of the session share. It is empty at the beginning."""
    with serve() as registry:
        yield registry
