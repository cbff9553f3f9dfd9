"""The search for dead code finds what is planted in a copy of the package, and an exception that has become needless."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_FUNCTION = "\n\ndef planted_function() -> None:\n    pass\n"
_CLASS = "\n\nclass PlantedClass:\n    def planted_method(self) -> None:\n        pass\n"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("dead") / "ctiserver"
    shutil.copytree(_ROOT / "ctiserver", copy, ignore=shutil.ignore_patterns("__pycache__", "static", "_data"))
    return copy


def _search(package: Path) -> tuple[int, str]:
    command = [sys.executable, str(_ROOT / "tools/dead_code.py"), str(package)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_planted_dead_code_is_found(package: Path) -> None:
    module = package / "clock.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(text + _FUNCTION + _CLASS, encoding="utf-8")
    try:
        status, said = _search(package)
    finally:
        module.write_text(text, encoding="utf-8")
    assert status == 1
    assert [line.split(":")[2].split(" is unused")[0] for line in said.splitlines()] == [
        " class PlantedClass",
        " function planted_function",
        " method planted_method",
    ]


def test_an_exception_that_is_no_longer_needed_is_reported(package: Path) -> None:
    module = package / "lab/drill/finding.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(text.replace("def of_json(", "def of_text("), encoding="utf-8")
    try:
        status, said = _search(package)
    finally:
        module.write_text(text, encoding="utf-8")
    assert status == 1
    assert "lab/drill/finding.py of_json is used, or gone" in said
