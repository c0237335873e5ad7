"""Writes the package ``longshore._sync`` from ``longshore._async``.

Removes async and await, and changes the names that differ. With ``--check``, only compares, and
fails if a file is not current.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "python" / "longshore"
BY_HAND = {"_running.py", "_blob.py"}
CHANGES = [
    (r"^(\s*)# sync: ?", r"\1"),
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\bawait ", ""),
    (r"\basync for\b", "for"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"__aiter__", "__iter__"),
    (r"\bAsync(Iterator|Iterable|ContextManager)\b", r"\1"),
    (r"longshore\.aio", "longshore"),
    (r"_async\b", "_sync"),
]
HEADER = "# Written by generate.py from ../_async/{name}. Change that file.\n"


def generated(source: Path) -> str:
    lines = source.read_text().splitlines(keepends=True)
    changed = []
    for line in lines:
        for pattern, replacement in CHANGES:
            line = re.sub(pattern, replacement, line)
        changed.append(line)
    return HEADER.format(name=source.name) + "".join(changed)


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    stale = []
    for source in sorted((PACKAGE / "_async").glob("*.py")):
        if source.name in BY_HAND:
            continue
        target = PACKAGE / "_sync" / source.name
        text = generated(source)
        if not target.exists() or target.read_text() != text:
            stale.append(target.name)
            if not check:
                target.write_text(text)
    if check and stale:
        print(f"run crates/python/generate.py; not current: {', '.join(stale)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
