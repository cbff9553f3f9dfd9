"""A tree proves itself: every program and module finds its libraries in it, and every program starts.

What is missing is looked up and fetched: first among the stand-ins that the package with the hole depends on, then in
what it recommends, then under the names that Debian gives to a library's package, last in the list of all files.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.apt import Apt
from ctiserver.lab.privatepbx.debian import Program, Progress, Recipe, architecture, standard_folders, start_command
from ctiserver.lab.privatepbx.elf import Lack, Libraries, machine_folders
from ctiserver.lab.privatepbx.unpack import Package, unpack

_START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Hole:
    """Something that a tree lacks."""

    wanted: str  #: a library's name, or a path
    by: str  #: the program or module on whose behalf
    file: str  #: which needs it
    package: Package | None  #: which holds that file

    @property
    def words(self) -> str:
        if self.wanted == self.file:
            return f"{self.by} is missing ({self.wanted})"
        of = f" of the package {self.package.name}" if self.package else ""
        return f"{self.by} needs {self.wanted} (asked for by {self.file}{of})"


class Proof:
    """One tree on its way to being whole."""

    def __init__(self, recipe: Recipe, apt: Apt, tree: Path, progress: Progress) -> None:
        self._recipe = recipe
        self._apt = apt
        self._tree = tree
        self._progress = progress
        self._unpacked: set[Path] = set()
        self._asked: set[str] = set()  #: packages that were fetched for a hole
        self.packages: list[Package] = []
        self.folders: tuple[str, ...] = ()  #: of the tree in which libraries lie

    async def make(self) -> None:
        """Fetch and unpack the recipe's packages, and whatever else turns out to be needed. Raises UserFault."""
        await self._more(())
        looked_up = False
        while holes := await asyncio.to_thread(self._holes):
            names = [name for hole in holes for name in await self._candidates(hole)]
            if not names and not looked_up:
                looked_up = True
                holders = await self._apt.holders([hole.wanted for hole in holes])
                names = [name for hole in holes for name in holders[hole.wanted] if name not in self._asked]
            if not names:
                raise self._unresolved(holes[0])
            try:
                await self._more(names)
            except UserFault as fault:
                raise UserFault(
                    f"{holes[0].words}, and {' or '.join(names[:3])} can't be fetched ({fault.what})",
                    where=fault.where,
                    fix=fault.fix,
                ) from fault

    async def start_each(self) -> None:
        """Start every program once. Raises UserFault where one does not."""
        self._progress("starting each program once", 0.98)
        for program in self._recipe.programs:
            path = program.find(self._tree)
            assert path is not None
            await _start_once(program, *start_command(self._recipe, self._tree, self.folders, path))

    async def _more(self, names: Sequence[str]) -> None:
        self._apt.stand_ins.difference_update(names)
        self._asked.update(names)
        fresh = [path for path in await self._apt.fetch(sorted(self._asked)) if path not in self._unpacked]
        self.packages += await unpack(
            fresh, self._tree, lambda done: self._progress("unpacking packages", 0.7 + 0.25 * done)
        )
        self._unpacked.update(fresh)

    def _holes(self) -> list[Hole]:
        recipe, tree = self._recipe, self._tree
        standard = standard_folders()
        libraries = Libraries(tree, standard, machine_folders() if recipe.suite is None else ())
        wanted: list[tuple[str, Path]] = []
        holes: list[Hole] = []
        for program in recipe.programs:
            path = program.find(tree)
            if path is None or not path.is_file():
                holes.append(Hole(program.path, program.name, program.path, None))
            else:
                wanted.append((program.name, path))
        for module in recipe.modules:
            if (tree / module).is_file():
                wanted.append((Path(module).name, tree / module))
            else:
                holes.append(Hole(module, Path(module).name, module, None))
        for soname in recipe.libraries:
            library = libraries.find(soname)
            if library is None:
                holes.append(Hole(soname, "this machine", "a program of its own", None))
            else:
                wanted.append((soname, library))
        loader = f"{standard[0]}/{architecture().loader}"
        if recipe.suite is not None and recipe.programs and not (tree / loader).is_file():
            holes.append(Hole(loader, recipe.programs[0].name, "the loader", None))
        holes += [self._hole(lack) for lack in libraries.lacks(wanted)]
        self.folders = libraries.folders
        return holes

    def _hole(self, lack: Lack) -> Hole:
        name = os.path.relpath(lack.file, self._tree)
        owner = next((package for package in self.packages if name in package.files), None)
        return Hole(lack.soname, lack.wanted_by, lack.file.name, owner)

    async def _candidates(self, hole: Hole) -> list[str]:
        """Packages that may fill the hole and were not tried yet, the likeliest alone where there is one."""
        named = package_names(Path(hole.wanted).name)
        depends, recommends = (hole.package.depends, hole.package.recommends) if hole.package else ((), ())
        for names in (
            [name for name in named if name in self._apt.stand_ins][:1],
            [name for name in named if name in recommends][:1],
            (await self._apt.known(named))[:1],
            [name for name in depends if name in self._apt.stand_ins],
        ):
            if left := [name for name in names if name not in self._asked]:
                return left
        return []

    def _unresolved(self, hole: Hole) -> UserFault:
        withdrawn = self._apt.withdrawn
        gone = f" ({' and '.join(withdrawn)} {'is' if len(withdrawn) == 1 else 'are'} not there)" if withdrawn else ""
        return UserFault(
            f"{hole.words}, which no package of {self._apt.source} holds{gone}",
            fix="Try again tomorrow, or name another mirror with CTISERVER_DEBIAN_MIRROR",
        )


def package_names(soname: str) -> list[str]:
    """What Debian may call a library's package (policy 8.1), such as ``libx1`` or ``libx1t64`` for ``libx.so.1``."""
    parts = re.fullmatch(r"(.+?)(?:\.so(?:\.(.+))?)", soname)
    if parts is None:
        return []
    base, version = parts[1].lower().replace("_", "-"), parts[2] or ""
    joined = f"{base}-{version}" if version and base[-1].isdigit() else f"{base}{version}"
    return list(dict.fromkeys((joined, f"{joined}t64", f"{base}-{version}" if version else base, base)))


async def _start_once(program: Program, command: list[str], environment: dict[str, str]) -> None:
    command += program.version
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=os.environ | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise UserFault(
            f"{program.name} can't be started from the cache ({error.strerror})",
            where=command[0],
            fix="If the folder is mounted noexec, set XDG_CACHE_HOME to one that is not",
        ) from error
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        output = f"it did not end within {_START_TIMEOUT_S:.0f} s".encode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = output.decode("utf-8", "replace").strip()
    # By its words: some end with a status of their own after saying their version.
    if program.says not in said or (process.returncode or 0) < 0 or process.returncode == _NO_LOADER:
        last = said.splitlines()[-1][:200] if said else f"it said nothing, status {process.returncode}"
        raise UserFault(
            f"the fetched {program.name} does not start: {last}",
            fix="Try again tomorrow, or name another mirror with CTISERVER_DEBIAN_MIRROR",
        )


_NO_LOADER = 127
