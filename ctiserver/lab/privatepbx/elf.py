"""Which shared libraries programs and modules need, resolved inside an unpacked tree as its loader would do it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from ctiserver.errors import UserFault

#: Variants of a library for certain processors; the loader looks there by itself.
_VARIANTS = "glibc-hwcaps"


@dataclass(frozen=True, slots=True)
class Dynamic:
    """What one ELF file asks of the loader."""

    machine: str
    needed: tuple[str, ...] = ()
    before: tuple[str, ...] = ()  #: folders that are looked in before the library path (DT_RPATH)
    after: tuple[str, ...] = ()  #: and after it (DT_RUNPATH)


@dataclass(frozen=True, slots=True)
class Lack:
    """A library that nothing in the tree (or on the machine, where that counts) provides."""

    soname: str
    file: Path  #: what needs it
    wanted_by: str  #: the program or module on whose behalf


def read_dynamic(path: Path) -> Dynamic | None:
    """What ``path`` needs; None if it is not an ELF file. Raises UserFault if it is a broken one."""
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return None
        try:
            elf = ELFFile(file)
            found: dict[str, list[str]] = {"needed": [], "rpath": [], "runpath": []}
            segments = [segment for segment in elf.iter_segments() if isinstance(segment, DynamicSegment)]
            for tag in (tag for segment in segments for tag in segment.iter_tags()):
                kind = str(tag.entry.d_tag).removeprefix("DT_").lower()
                if kind in found:
                    found[kind].append(getattr(tag, kind))
            machine = str(elf["e_machine"])
        except (ELFError, UnicodeDecodeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise UserFault(
                f"{path.name} is a broken program file ({error})", fix="Try again tomorrow, or name another mirror"
            ) from error
    before = _split(found["rpath"]) if not found["runpath"] else ()
    return Dynamic(machine, tuple(found["needed"]), before, _split(found["runpath"]))


def _split(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(folder for path in paths for folder in path.split(":") if folder)


class Libraries:
    """The libraries of one tree, of the machine (where the tree's programs use the machine's libc), or of both."""

    def __init__(self, root: Path | None, standard: Sequence[str], machine: Sequence[Path] = ()) -> None:
        self._root = root
        self._standard: list[Path] = [root / folder for folder in standard] if root else []
        self._machine = list(machine)
        self._found: list[Path] = []
        self._read: dict[Path, Dynamic | None] = {}
        self._elsewhere: dict[str, list[Path]] = _index(root) if root else {}

    @property
    def folders(self) -> tuple[str, ...]:
        """The tree's folders for the loader's library path: the standard ones, then others that were needed."""
        folders = [folder for folder in self._standard if _holds_libraries(folder)] + self._found
        return tuple(folder.relative_to(self._root).as_posix() for folder in folders) if self._root else ()

    def find(self, soname: str) -> Path | None:
        """A library of the tree, for whatever lies outside of it; its folder then is among :attr:`folders`."""
        for folder in [*self._standard, *self._found, *self._elsewhere.get(soname, [])]:
            if (folder / soname).is_file():
                self._note(folder)
                return folder / soname
        return None

    def lacks(self, wanted: Iterable[tuple[str, Path]]) -> list[Lack]:
        """What is missing of all that the (name, file) pairs need, directly or through other libraries."""
        lacks: list[Lack] = []
        seen: set[Path] = set()
        for name, first in wanted:
            waiting = [first]
            while waiting:
                file = waiting.pop()
                if file in seen:
                    continue
                seen.add(file)
                dynamic = self._dynamic(file)
                if dynamic is None:
                    continue
                for soname in dynamic.needed:
                    library = self._find(soname, file, dynamic)
                    if library is None:
                        lacks.append(Lack(soname, file, name))
                    else:
                        waiting.append(library)
        return lacks

    def _dynamic(self, path: Path) -> Dynamic | None:
        if path not in self._read:
            self._read[path] = read_dynamic(path)
        return self._read[path]

    def _find(self, soname: str, file: Path, dynamic: Dynamic) -> Path | None:
        if "/" in soname:
            return self._usable(self._inside(soname), dynamic)
        places = [
            *(self._expanded(folder, file) for folder in dynamic.before),
            *self._standard,
            *self._found,
            *(self._expanded(folder, file) for folder in dynamic.after),
            *self._machine,
            *self._elsewhere.get(soname, []),
        ]
        for folder in places:
            library = self._usable(folder / soname, dynamic)
            if library is not None:
                self._note(folder)
                return library
        return None

    def _note(self, folder: Path) -> None:
        if folder not in (*self._standard, *self._machine, *self._found) and self._root in folder.parents:
            self._found.append(folder)

    def _usable(self, path: Path, dynamic: Dynamic) -> Path | None:
        """``path`` itself, if it is a library for the same kind of machine as what needs it."""
        if not path.is_file():
            return None
        found = self._dynamic(path)
        return path if found is not None and found.machine == dynamic.machine else None

    def _expanded(self, folder: str, file: Path) -> Path:
        for variable in ("$ORIGIN", "${ORIGIN}"):
            folder = folder.replace(variable, str(file.parent))
        return self._inside(folder)

    def _inside(self, path: str) -> Path:
        """A path that a package writes down, as the tree has it."""
        full = Path(os.path.normpath(path))
        return full if self._root is None or self._root in full.parents else self._root / str(full).lstrip("/")


def _holds_libraries(folder: Path) -> bool:
    return folder.is_dir() and any(".so" in name for name in os.listdir(folder))


def _index(root: Path) -> dict[str, list[Path]]:
    """The folders in which each library lies, the shallow ones first."""
    index: dict[str, list[Path]] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name != _VARIANTS)
        for name in names:
            if ".so" in name:
                index.setdefault(name, []).append(Path(folder))
    for places in index.values():
        places.sort(key=lambda place: (len(place.parts), place))
    return index


def machine_folders() -> list[Path]:
    """Where this machine's own loader looks: its configuration, then the usual folders."""
    folders: list[Path] = []
    for path in [Path("/etc/ld.so.conf"), *sorted(Path("/etc/ld.so.conf.d").glob("*.conf"))]:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        folders += [Path(line.strip()) for line in lines if line.strip().startswith("/")]
    usual = [*sorted(Path("/lib").glob("*-linux-gnu*")), *sorted(Path("/usr/lib").glob("*-linux-gnu*"))]
    usual += [Path(name) for name in ("/lib64", "/usr/lib64", "/lib", "/usr/lib")]
    return list(dict.fromkeys(folder for folder in (*folders, *usual) if folder.is_dir()))
