"""`make pythons` finds the Pythons that work, one of each version, and says what is needed where there is one only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parent.parent.parent / "tools/pythons.py"
#: Prints what the tool would run with, and runs nothing.
_SHOW = f"""
import sys; sys.path.insert(0, {str(TOOL.parent)!r})
import pythons
for one in pythons.found(): print(one.name, one.sqlite, one.path)
"""


def _python(folder: Path, name: str, version: list[int] | None) -> Path:
    """A program that answers as that Python would, or as pyenv's shim for one that is not chosen."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    answer = (
        f"echo '{json.dumps([version, '3.50.0', str(path)])}'" if version else "echo 'command not found' >&2; exit 127"
    )
    path.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def _run(*words: str, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONS", "SQLITE")}
    return subprocess.run(
        [sys.executable, *words],
        env=kept | {"PATH": str(path)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_one_of_each_version_that_works(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    _python(first, "python3.18", None)
    _python(second, "python3.18", [3, 18, 2])
    _python(second, "python3.17", [3, 17, 4])
    named = _python(tmp_path / "named", "python", [3, 17, 9])
    old = _python(tmp_path / "named", "old", [3, 10, 1])
    path = Path(f"{first}{os.pathsep}{second}")
    lines = _run("-c", _SHOW, path=path, PYTHONS=f"{named} {old}").stdout.splitlines()
    own = ".".join(map(str, sys.version_info[:3]))
    assert [line.split()[0] for line in lines] == [own, "3.17.9", "3.18.2"]
    assert lines[1] == f"3.17.9 3.50.0 {named}"


@pytest.mark.parametrize("words", [[], ["--besides", "3.11"]])
def test_one_alone_is_one_sentence_and_status_2(tmp_path: Path, words: list[str]) -> None:
    done = _run(str(TOOL), *words, path=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("make pythons needs two Pythons from 3.11 on with venv and found only Python 3.")
    assert "make pythons PYTHONS=/path/to/python3.N" in line
