"""Looks up fields of JSON documents."""

from __future__ import annotations

import re
from typing import Any

from ._errors import Invalid, NotFound

_PART = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def look_up(document: Any, path: str) -> Any:
    """Returns the field at a path such as ``config.Env[0]``."""
    end = 0
    for part in _PART.finditer(path):
        if part.start() != end:
            break
        end = part.end()
        name, position = part.groups()
        try:
            document = document[name if position is None else int(position)]
        except (LookupError, TypeError):
            raise NotFound(f"not found: the field {path[:end]}") from None
    if end != len(path) or not path:
        raise Invalid(f'invalid field "{path}": expected a path such as config.Env[0]')
    return document
