"""Fixtures: the registry comes from the plug-in of the package."""

from __future__ import annotations

from typing import Iterator

import pytest

from longshore import Registry, Repository


@pytest.fixture
def repository(longshore_registry: Registry) -> Repository:
    """An empty repository."""
    return longshore_registry.repository("team/app")


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the tests away from the user's credentials, caches and records."""
    home = tmp_path_factory.mktemp("home")
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
