"""The house's sizes and names: a planted breach is found, a listed one is let through, a needless exception is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.house import FUNCTION_LINES, MODULE_LINES, PACKAGE_MODULES, Exceptions, complaints

_ROOT = Path(__file__).parents[3]

_FULL_PACKAGE = {f"store/m{number}.py": "" for number in range(PACKAGE_MODULES)} | {"store/__init__.py": ""}
_FULL_MODULE = "x = 1\n" * MODULE_LINES
_FULL_FUNCTION = "async def answer() -> None:\n" + "    pass\n" * (FUNCTION_LINES - 1)

#: Each is at the limit of every rule.
_SOUND = _FULL_PACKAGE | {
    "bus.py": _FULL_MODULE,
    "clock.py": _FULL_FUNCTION,
    "agi.py": "class Session:\n    pass\n",
    "pbx.py": "class _Session:\n    class Session:\n        pass\n",
}

#: What is added, what is then reported, and the exception that lets it through.
_BREACHES = {
    "package": (
        {"store/one_more.py": ""},
        "store: 21 modules, more than 20: group them in packages",
        Exceptions(packages={"store": "why"}),
        "the exception for package store",
    ),
    "module": (
        {"bus.py": _FULL_MODULE + "x = 1\n"},
        "bus.py: 501 lines, more than 500: split it where two reasons to change meet",
        Exceptions(modules={"bus.py": "why"}),
        "the exception for module bus.py",
    ),
    "function": (
        {"clock.py": _FULL_FUNCTION + "    pass\n"},
        "clock.py:1: answer has 101 lines, more than 100: split it",
        Exceptions(functions={("clock.py", "answer"): "why"}),
        "the exception for function clock.py answer",
    ),
    "class": (
        {"web.py": "class Session:\n    pass\n"},
        "Session is defined in agi.py, web.py: name the noun that each one is, such as QueueVisit",
        Exceptions(names={"Session": (2, "why")}),
        "the exception for name Session in 2 modules",
    ),
    "NewType": (
        {"web.py": "Session = NewType('Session', str)\n"},
        "Session is defined in agi.py, web.py: name the noun that each one is, such as QueueVisit",
        Exceptions(names={"Session": (None, "why")}),
        "the exception for name Session in several modules",
    ),
    "TypeAlias": (
        {"web.py": "Session: TypeAlias = str\n"},
        "Session is defined in agi.py, web.py: name the noun that each one is, such as QueueVisit",
        Exceptions(names={"Session": (2, "why")}),
        "the exception for name Session in 2 modules",
    ),
}


def _package(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_what_is_at_the_limit_is_let_through(tmp_path: Path) -> None:
    assert list(complaints(_package(tmp_path, _SOUND), Exceptions())) == []


@pytest.mark.parametrize("rule", _BREACHES)
def test_a_planted_breach_is_found_unless_it_is_listed(tmp_path: Path, rule: str) -> None:
    added, said, listed, _ = _BREACHES[rule]
    package = _package(tmp_path, _SOUND | added)
    assert list(complaints(package, Exceptions())) == [said]
    assert list(complaints(package, listed)) == []


@pytest.mark.parametrize("rule", _BREACHES)
def test_an_exception_that_is_not_needed_is_found(tmp_path: Path, rule: str) -> None:
    _, _, listed, said = _BREACHES[rule]
    [line] = complaints(_package(tmp_path, _SOUND), listed)
    assert said in line


def test_a_listed_name_may_not_be_defined_once_more(tmp_path: Path) -> None:
    more = {"web.py": "class Session:\n    pass\n", "store/m0.py": "class Session:\n    pass\n"}
    [line] = complaints(_package(tmp_path, _SOUND | more), Exceptions(names={"Session": (2, "why")}))
    assert "Session is defined in agi.py, store/m0.py, web.py" in line


def test_the_command_fails_with_a_line_a_breach(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(_ROOT / "tools/house.py"),
        str(_package(tmp_path, {"bus.py": _FULL_MODULE + "x = 1\n"})),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    assert "bus.py: 501 lines" in done.stdout


def test_make_check_runs_it() -> None:
    recipe = (_ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    assert "tools/house.py" in recipe
