# Written by generate.py from ../_async/_sending.py. Change that file.
"""Sends content that Python produces while an operation runs."""

from __future__ import annotations

from typing import Any, Callable, Optional

from .. import _core
from .._content import check, prepare
from .._progress import Reporter
from ._running import iterate, run


def send(
    data: Any,
    start: Callable[[Any], _core.Operation],
    reporter: Optional[Reporter] = None,
) -> Any:
    """Starts an operation with content, passes the content to it, and returns its result."""
    content, pieces = prepare(data)
    operation = start(content)
    if pieces is None or not isinstance(content, _core.Feed):
        return run(operation, reporter)
    try:
        for piece in iterate(pieces):
            # An operation that ended early has an error to report.
            if not run(content.put(check(piece))):
                break
            if reporter is not None:
                reporter.tick()
    except BaseException:
        content.fail()
        operation.cancel()
        raise
    content.close()
    return run(operation, reporter)
