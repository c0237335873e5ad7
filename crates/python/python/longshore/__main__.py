"""The program ``longshore``, which the wheel brings along: also ``python -m longshore``."""

from __future__ import annotations

import signal
import sys

from ._core import run_program


def main() -> int:
    """Runs the program with the arguments of this process, and returns its exit code."""
    # The program handles Ctrl-C itself. Python would raise `KeyboardInterrupt` after it has ended.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return run_program(["longshore", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
