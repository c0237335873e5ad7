"""Reports of progress."""

from __future__ import annotations

import time
from typing import Callable, Optional

from . import _core
from ._values import Descriptor, Progress

OnProgress = Callable[[Progress], object]

INTERVAL = 0.05
"""Seconds between two reports: at most 20 a second, because each needs the GIL."""


class Reporter:
    """Calls a function with the progress of one operation."""

    def __init__(self, call: OnProgress, what: Optional[Descriptor] = None) -> None:
        self.meter = _core.Meter()
        self._call = call
        self._what = what
        self._done = 0
        self._next = 0.0

    def tick(self) -> None:
        """Reports what the compiled part counted, if it counted anything new."""
        done, total = self.meter.read()
        self._report(done, total or None)

    def add(self, size: int, total: Optional[int], *, last: bool) -> None:
        """Reports bytes that Python read. Reports that follow too soon are left out."""
        now = time.monotonic()
        if last or now >= self._next:
            self._next = now + INTERVAL
            self._report(size, total)

    def _report(self, done: int, total: Optional[int]) -> None:
        if done != self._done:
            piece, self._done = done - self._done, done
            self._call(Progress(done, total, piece, self._what))


def meter(reporter: Optional[Reporter]) -> Optional[_core.Meter]:
    """Returns the counters of a reporter."""
    return None if reporter is None else reporter.meter
