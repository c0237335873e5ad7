"""The names under which users know the classes and functions."""

from __future__ import annotations

from typing import Any, Dict


def publish(namespace: Dict[str, Any]) -> None:
    """States a public module as the place of its names, where tracebacks and ``help`` show it."""
    for name in namespace["__all__"]:
        value = namespace[name]
        if getattr(value, "__module__", "").startswith("longshore._"):
            value.__module__ = namespace["__name__"]
