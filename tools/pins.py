"""Write down the versions of Debian's packages with which the suite just passed: `make pins`, after `make test`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from ctiserver.lab.privatepbx.cache import cache_root
from ctiserver.lab.privatepbx.debian import architecture
from ctiserver.lab.privatepbx.lifecycle import silent
from ctiserver.lab.privatepbx.passed import PASSED, last_passed
from ctiserver.lab.privatepbx.tree import ASTERISK, SUITE, asterisk_tree


def write(versions: Mapping[str, str], heading: str, path: Path) -> None:
    """One line for each package, below the heading."""
    lines = "".join(f"{name} {version}\n" for name, version in sorted(versions.items()))
    path.write_text(f"# {heading}\n{lines}", encoding="utf-8")


def main(path: Path) -> int:
    asyncio.run(asterisk_tree(silent))  # the one that the tests used: it is kept in the cache
    versions = json.loads((cache_root() / ASTERISK.key() / "TREE.json").read_text(encoding="utf-8"))["packages"]
    before = last_passed(path) if path.exists() else {}
    write(versions, f"{SUITE} {architecture().debian}, {time.strftime('%Y-%m-%d')}", path)
    changed = sum(before.get(name) != version for name, version in versions.items())
    print(f"{path.name}: {len(versions)} packages, {changed} of them changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else PASSED))
