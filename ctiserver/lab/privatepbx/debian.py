"""Debian as a source of programs: this machine's architecture and mirror, and what a tree of packages is made of."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ctiserver.errors import UserFault

#: Called with what is going on and how much of the whole is done, 0 to 1.
Progress = Callable[[str, float], None]

#: Names a mirror where the machine's own sources name none, such as on another distribution.
MIRROR_VARIABLE = "CTISERVER_DEBIAN_MIRROR"

# Part of the cache's key: raise it when the unpacking itself changes.
_RECIPE = 2


@dataclass(frozen=True, slots=True)
class Architecture:
    """What Debian and its loader call this kind of machine."""

    debian: str
    triplet: str
    loader: str


_ARCHITECTURES = {
    "x86_64": Architecture("amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "aarch64": Architecture("arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
    "armv7l": Architecture("armhf", "arm-linux-gnueabihf", "ld-linux-armhf.so.3"),
    "riscv64": Architecture("riscv64", "riscv64-linux-gnu", "ld-linux-riscv64-lp64d.so.1"),
}


def architecture(machine: str | None = None) -> Architecture:
    """This machine's architecture. Raises UserFault where Debian has no packages that we know how to start."""
    machine = machine or platform.machine()
    found = _ARCHITECTURES.get(machine)
    if found is None:
        raise UserFault(
            f"no Debian packages are known for a {machine} machine",
            fix=f"Known are {', '.join(_ARCHITECTURES)}; install Asterisk and put it on PATH",
        )
    return found


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is started from a tree, and how to see that it starts."""

    name: str
    path: str  #: in the tree, where ``*`` matches; an absolute one is the machine's own
    version: tuple[str, ...] = ("--version",)  #: arguments that make it say its version and end
    says: str = ""  #: words that are then in its output

    def find(self, root: Path) -> Path | None:
        """Its file; None where the tree has none."""
        return next(iter(sorted(root.glob(self.path))), None) if not self.path.startswith("/") else Path(self.path)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one tree is made of, and what must work in it."""

    name: str
    #: ``a|b``: the first of them that the package list holds.
    packages: tuple[str, ...]
    suite: str | None  #: None: the machine's own sources, and the tree's programs use the machine's loader and libc
    stand_ins: tuple[str, ...] = ()  #: taken as installed, to save downloads; one that is needed after all is fetched
    programs: tuple[Program, ...] = ()
    modules: tuple[str, ...] = ()  #: files that these programs load by themselves, as paths in the tree
    libraries: tuple[str, ...] = ()  #: wanted besides, by what lies outside of the tree
    #: The version of each package that last passed the tests: taken where the mirror still has it.
    passed: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def key(self) -> str:
        """The name of its folder in the cache."""
        # The machine's own sources hold something else after an upgrade or on another mirror; the suite's do not.
        mirror = debian_mirror() if self.suite is None else ""
        parts = (_RECIPE, platform.machine(), mirror, self)
        return f"{self.name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def standard_folders() -> tuple[str, ...]:
    """Where Debian's loader looks for libraries, as paths in a tree."""
    triplet = architecture().triplet
    return (f"usr/lib/{triplet}", f"lib/{triplet}", "usr/lib", "lib")


def start_command(
    recipe: Recipe, root: Path, folders: Sequence[str], program: Path
) -> tuple[list[str], dict[str, str]]:
    """How a program of the tree at ``root`` is started, and what its environment needs besides.

    ``folders`` are those of the tree in which libraries lie.
    """
    path = ":".join(str(root / folder) for folder in folders)
    if recipe.suite is None:
        return [str(program)], {"LD_LIBRARY_PATH": path}
    loader = root / "usr/lib" / architecture().triplet / architecture().loader
    return [str(loader), "--library-path", path, "--argv0", program.name, str(program)], {}


def debian_mirror(apt: Path = Path("/etc/apt")) -> str:
    """The Debian mirror that ``CTISERVER_DEBIAN_MIRROR`` names, else the one in this machine's own apt sources.

    Raises UserFault if neither names one.
    """
    named = os.environ.get(MIRROR_VARIABLE)
    if named:
        return named.rstrip("/")
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.sources"))]
    files += sorted((apt / "sources.list.d").glob("*.list"))
    files += sorted((apt / "mirrors").glob("*.list"))  # where sources say mirror+file:, as cloud images do
    for path in files:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            if not re.match(r"\s*(deb\s|URIs:|https?:)", line):
                continue
            for word in line.split():
                if re.fullmatch(r"https?://\S+/debian/?", word):
                    return word.rstrip("/")
    raise UserFault(
        "this machine's apt sources name no Debian mirror",
        where=str(apt),
        fix=f"Set {MIRROR_VARIABLE} to the address of one, or install Asterisk yourself",
    )
