"""Take each guard out, in a copy of the tree, and see its test fail: `make guards`.

A patch here begins with ``Guard:``, what is taken out, and ``Test:``, the test that must notice. A test that passes
without its guard guards nothing, and one that fails with it says nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
TREE = FOLDER.parents[2]
_COPIED = ("ctiserver", "config", "dialplan", "ivr_flows", "tests", "pyproject.toml", "Dockerfile")
_PASSED, _FAILED = 0, 1  # pytest's own: others are not a verdict


@dataclass(frozen=True)
class Guard:
    """One patch."""

    path: Path
    what: str
    test: str

    @classmethod
    def read(cls, path: Path) -> Guard:
        """Raises ValueError where it does not say what it is."""
        head = dict(line.split(": ", 1) for line in path.read_text(encoding="utf-8").splitlines()[:2] if ": " in line)
        if set(head) != {"Guard", "Test"}:
            raise ValueError(f"{path.name} does not begin with Guard: and Test:")
        return cls(path, head["Guard"], head["Test"])

    @property
    def name(self) -> str:
        return self.path.stem


def guards() -> list[Guard]:
    """All of them, by name."""
    return [Guard.read(path) for path in sorted(FOLDER.glob("*.patch"))]


def copy_tree(to: Path, tree: Path = TREE) -> None:
    """What tests need, without what they leave."""
    to.mkdir()
    for name in _COPIED:
        source = tree / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(source, to / name)


def apply(guard: Guard, tree: Path, *options: str) -> None:
    """Take the guard out of ``tree``. Raises CalledProcessError where the patch does not fit any more."""
    subprocess.run(
        # A ceiling, so that a repository around the copy is not taken for it.
        ["git", "apply", *options, str(guard.path)],
        cwd=tree,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)},
    )


def verdict(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit status, and the end of what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", "-q", "-o", "timeout=60", *tests],
        cwd=tree,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return done.returncode, "\n".join(done.stdout.splitlines()[-15:])


def main(names: Sequence[str]) -> int:
    """How many guards are none."""
    chosen = [guard for guard in guards() if not names or guard.name in names]
    bad = 0
    with tempfile.TemporaryDirectory(prefix="ctiserver-guards-") as folder:
        whole = Path(folder) / "whole"
        copy_tree(whole)
        tests = sorted({guard.test for guard in chosen})
        status, said = verdict(whole, tests)
        if status != _PASSED:  # another program may have been quicker to take a port
            status, said = verdict(whole, tests)
        if status != _PASSED:
            print(f"The tests do not pass with every guard in place:\n{said}")  # noqa: T201
            return len(chosen)
        for guard in chosen:
            tree = Path(folder) / guard.name
            copy_tree(tree, whole)
            try:
                apply(guard, tree)
                status, said = verdict(tree, [guard.test])
            except subprocess.CalledProcessError as error:
                status, said = _PASSED, f"the patch does not fit any more: {error.stderr}"
            noticed = status == _FAILED
            bad += not noticed
            print(f"{'noticed' if noticed else 'NOT NOTICED'}  {guard.name}: {guard.what}", flush=True)  # noqa: T201
            if not noticed:
                print(said)  # noqa: T201
            shutil.rmtree(tree)
    return bad


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
