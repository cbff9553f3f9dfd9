"""Whether the files of changelog.d can become a changelog: `python tools/changelog.py`, part of `make check`.

towncrier leaves out a file whose kind it does not know, and a long one makes a changelog that nobody reads.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r"\+[a-z0-9]+(-[a-z0-9]+)*\.(added|changed|fixed|removed)\.md")
_LINES, _WIDTH = 3, 120


def faults(folder: Path) -> Iterator[str]:
    """A sentence for each file that is not as changelog.d/README.md says."""
    for path in sorted(folder.iterdir()):
        if path.name == "README.md":
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        if not _NAME.fullmatch(path.name):
            yield f"{folder.name}/{path.name}: name it +short-name.KIND.md, KIND one of added, changed, fixed, removed"
        if not 1 <= len(lines) <= _LINES or any(not line.strip() or len(line) > _WIDTH for line in lines):
            yield f"{folder.name}/{path.name}: write one to {_LINES} lines of at most {_WIDTH} characters"
        elif not lines[-1].endswith((".", "`")):
            yield f"{folder.name}/{path.name}: end it with a full stop"


if __name__ == "__main__":
    found = list(faults(Path(__file__).resolve().parents[1] / "changelog.d"))
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
