"""The versions of Debian's packages with which the whole test suite last passed; `make pins` writes them down."""

from __future__ import annotations

from pathlib import Path

from ctiserver.errors import UserFault

PASSED = Path(__file__).with_name("passed.txt")


def last_passed(path: Path = PASSED) -> dict[str, str]:
    """Package → version. Raises UserFault where a line is not ``package version``."""
    versions: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.partition("#")[0].split()
        if words and len(words) != 2:
            raise UserFault("not `package version`", where=f"{path}:{number}", fix="Write it again with `make pins`")
        if words:
            versions[words[0]] = words[1]
    return versions
