"""`make pythons`: the tests that need no PBX and no browser, with each Python that this machine has from 3.11 on.

Pythons are looked for as python3.N on PATH, in pyenv's versions, and in PYTHONS (paths, separated by blanks). Each gets
an environment of its own in .pythons/. SQLITE names a folder with another libsqlite3.so.0, which then is the one that
all of them use. Prints what ran; fails if a test fails, or if fewer than two Pythons are there.

With --besides VERSION it runs one only, the newest other than that one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".pythons"
OLDEST, NEWEST = 11, 20  #: minors of Python 3 that are looked for
TESTS = ("tests/unit", "tests/properties", "tests/protocol", "tests/flows", "tests/store")
LEFT_OUT = "not pbx and not browser and not chaos"
#: A Python that can't do this is none that can be used, such as a shim of pyenv for a version that is not chosen.
_ASKED = (
    "import json, sqlite3, sys, venv, ensurepip; "
    "print(json.dumps([list(sys.version_info[:3]), sqlite3.sqlite_version, sys._base_executable]))"
)


@dataclass(frozen=True, slots=True)
class Python:
    """A Python that works."""

    path: str
    version: tuple[int, ...]
    sqlite: str

    @property
    def minor(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def name(self) -> str:
        return ".".join(map(str, self.version))


def environment() -> dict[str, str]:
    """What the Pythons run with."""
    sqlite = os.environ.get("SQLITE")
    return os.environ | ({"LD_LIBRARY_PATH": str(Path(sqlite).resolve())} if sqlite else {})


def candidates() -> Iterator[str]:
    """Paths that may be Pythons, the most wanted first."""
    yield from os.environ.get("PYTHONS", "").split()
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        for minor in range(OLDEST, NEWEST):
            if found := shutil.which(f"python3.{minor}", path=folder):
                yield found
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
        yield from sorted(map(str, Path(root).glob("versions/*/bin/python3")), reverse=True)
    yield sys._base_executable


def asked(path: str) -> Python | None:
    """What is at this path, if it is a Python that will do."""
    try:
        done = subprocess.run(
            [path, "-c", _ASKED], capture_output=True, text=True, check=False, timeout=60, env=environment()
        )
        version, sqlite, program = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return Python(program, tuple(version), sqlite) if tuple(version[:2]) >= (3, OLDEST) else None


def found() -> list[Python]:
    """One of each minor version, the oldest first."""
    pythons: dict[str, Python] = {}
    for path in dict.fromkeys(candidates()):
        python = asked(path)
        if python is not None:
            pythons.setdefault(python.minor, python)
    return sorted(pythons.values(), key=lambda python: python.version)


def installed(python: Python) -> Path:
    """Its environment, with ctiserver and the tests' tools."""
    folder = ENVIRONMENTS / python.minor
    stamp = folder / "installed"
    wanted = f"{python.path} {python.name} {hashlib.sha256((ROOT / 'pyproject.toml').read_bytes()).hexdigest()}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return folder / "bin/python"
    print(f"Installing ctiserver for Python {python.name} into {folder.relative_to(ROOT)} (once)", flush=True)
    subprocess.run([python.path, "-m", "venv", "--clear", str(folder)], check=True, env=environment())
    install = ["-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check", "-e", ".[demo,test]"]
    subprocess.run([str(folder / "bin/python"), *install], check=True, cwd=ROOT, env=environment())
    stamp.write_text(wanted, encoding="utf-8")
    return folder / "bin/python"


def run(python: Python, workers: str, options: list[str]) -> tuple[bool, str]:
    """Run the tests; whether all passed, and the table's line about it."""
    began = time.monotonic()
    try:
        program = installed(python)
    except subprocess.CalledProcessError as error:
        return False, f"{python.name:<10}{python.sqlite:<10}not installed: {error}"
    print(f"Python {python.name} with SQLite {python.sqlite}", flush=True)
    command = [str(program), "-m", "pytest", "-p", "no:cacheprovider", "-n", workers, "--dist", "loadscope"]
    status = subprocess.run(
        [*command, "-m", LEFT_OUT, *TESTS, *options], cwd=ROOT, check=False, env=environment()
    ).returncode
    outcome = "passed" if status == 0 else f"failed (pytest says {status})"
    return status == 0, f"{python.name:<10}{python.sqlite:<10}{outcome:<26}{time.monotonic() - began:>5.0f} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="2", help="processes at a time")
    parser.add_argument("--besides", help="run one only: the newest other than this version, such as 3.11")
    parser.add_argument("options", nargs="*", help="more for pytest, after --")
    arguments = parser.parse_args()
    pythons = found()
    if len(pythons) < 2:
        there = f"only Python {pythons[0].name}" if pythons else "none"
        print(
            f"make pythons needs two Pythons from 3.{OLDEST} on with venv and found {there}: install another (Debian's "
            "packages python3.N and python3.N-venv, or pyenv install 3.N), or name it: "
            "make pythons PYTHONS=/path/to/python3.N",
            file=sys.stderr,
        )
        return 2
    if arguments.besides:
        pythons = [python for python in pythons if python.minor != arguments.besides][-1:]
    ran = [run(python, arguments.workers, arguments.options) for python in pythons]
    print(f"\n{'Python':<10}{'SQLite':<10}")
    for _, line in ran:
        print(line)
    return 0 if all(well for well, _ in ran) else 1


if __name__ == "__main__":
    sys.exit(main())
