"""Trees of unpacked packages, kept between runs. One appears under its final name only when it has proved itself."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.apt import Apt, need_tools
from ctiserver.lab.privatepbx.debian import Progress, Recipe
from ctiserver.lab.privatepbx.proof import Proof

_LOCK_POLL_S = 0.2
_MANIFEST = "TREE.json"
_LINK = -1


@dataclass(frozen=True, slots=True)
class Tree:
    """One unpacked tree that has proved itself."""

    root: Path
    folders: tuple[str, ...]  #: those in which libraries lie, as paths in it
    packages: Mapping[str, str]  #: name → version
    newer: Mapping[str, str]  #: those of the packages asked for that are not the version that last passed the tests

    @property
    def words(self) -> str:
        """Whether the packages are those that last passed the tests."""
        newer = ", ".join(f"{name} {version}" for name, version in self.newer.items())
        return f"newer than what last passed the tests: {newer}" if newer else "as they last passed the tests"


def cache_root() -> Path:
    """Where trees are kept between runs: ``$XDG_CACHE_HOME/ctiserver``, else ``~/.cache/ctiserver``.

    Raises UserFault where the user has no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "ctiserver"
    except RuntimeError as error:
        raise UserFault("this user has no home folder for a cache", fix="Set XDG_CACHE_HOME to a folder") from error


def make_cache(cache: Path) -> None:
    """Make the cache folder. Raises UserFault where it can't be."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache).close()
    except OSError as error:
        raise UserFault(
            f"the cache can't be written ({error.strerror})",
            where=str(cache),
            fix=_fix(error),
        ) from error


async def tree_of(
    recipe: Recipe, progress: Progress, finish: Callable[[Path], None], *, cache: Path | None = None
) -> Tree:
    """The unpacked tree of ``recipe``, from the cache or freshly made. Two processes at once make it once.

    ``finish`` does to a fresh tree what maintainer scripts would have done. A tree of which something was removed is
    made again.

    Raises UserFault where apt, the keyring, the mirror or the room for it is missing, or where a program lacks what no
    package holds.
    """
    cache = cache or cache_root()
    target = cache / recipe.key()
    if (found := _kept(target)) is not None:
        return found
    need_tools(recipe)
    make_cache(cache)
    async with _alone(cache / f"{target.name}.lock", progress):
        if (found := _kept(target)) is not None:
            return found
        _remove_leftovers(cache, target.name)
        work = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".part", dir=cache))
        try:
            await _make(recipe, work, target, _rising(progress), finish)
        except OSError as error:
            where = str(error.filename or work)
            raise UserFault(f"unpacking failed ({error.strerror})", where=where, fix=_fix(error)) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
        made = _kept(target)
        assert made is not None
    progress(f"ready; packages {made.words}" if recipe.passed else "ready", 1.0)
    return made


async def _make(recipe: Recipe, work: Path, target: Path, progress: Progress, finish: Callable[[Path], None]) -> None:
    apt = Apt(recipe, work, progress)
    await apt.update()
    tree = work / "tree"
    tree.mkdir()
    proof = Proof(recipe, apt, tree, progress)
    await proof.make()
    finish(tree)
    await proof.start_each()
    packages = {package.name: package.version for package in sorted(proof.packages, key=lambda one: one.name)}
    asked = [name for names in recipe.packages for name in names.split("|") if name in packages]
    manifest = {
        "folders": proof.folders,
        "packages": packages,
        "newer": {name: packages[name] for name in asked if recipe.passed.get(name, packages[name]) != packages[name]},
        "files": _files(tree),
    }
    (tree / _MANIFEST).write_text(json.dumps(manifest, indent=0), encoding="utf-8")
    with contextlib.suppress(FileNotFoundError):  # one of which something was removed
        target.rename(work / "old")  # noqa: ASYNC240 - one rename
    tree.rename(target)


def _files(tree: Path) -> dict[str, int]:
    """The size of each file, by its path in the tree."""
    sizes: dict[str, int] = {}
    for folder, folders, names in os.walk(tree):
        for name in (*names, *folders):
            path = os.path.join(folder, name)
            if os.path.islink(path):
                sizes[os.path.relpath(path, tree)] = _LINK
            elif name in names:
                sizes[os.path.relpath(path, tree)] = os.path.getsize(path)
    return sizes


def _kept(target: Path) -> Tree | None:
    """The tree under its final name; None if it is not there, or not whole."""
    try:
        manifest = json.loads((target / _MANIFEST).read_text(encoding="utf-8"))
        for path, size in manifest["files"].items():
            found = os.lstat(f"{target}/{path}")
            if size not in (_LINK, found.st_size):
                return None
        return Tree(target, tuple(manifest["folders"]), manifest["packages"], manifest["newer"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _remove_leftovers(cache: Path, mine: str) -> None:
    """Remove what a killed process left half-made: of ``mine``, and of others that no process holds the lock of."""
    for left in cache.glob("*.part"):
        name = left.name.split(".")[0]
        if name == mine:
            shutil.rmtree(left, ignore_errors=True)
            continue
        with contextlib.suppress(OSError), (cache / f"{name}.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)


def _rising(progress: Progress) -> Progress:
    """A progress that never goes back, though what turns out to be needed is fetched late."""
    highest = 0.0

    def show(what: str, done: float) -> None:
        nonlocal highest
        highest = max(highest, done)
        progress(what, highest)

    return show


def _fix(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some space, then try again"
    return "Make the folder writable, or set XDG_CACHE_HOME to one that is"


@contextlib.asynccontextmanager
async def _alone(path: Path, progress: Progress) -> AsyncIterator[None]:
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress("waiting for another ctiserver that fetches the same packages", 0.0)
                await asyncio.sleep(_LOCK_POLL_S)
        yield
