"""Debian packages, unpacked as an ordinary user into a cache: no root, no chroot, no database, no maintainer scripts.

apt itself resolves the closure and checks the signatures, with directories of its own. What a program never loads is
kept out by *stand-ins*: packages that apt is told are installed. A stand-in whose name a later release no longer has
does nothing, and apt fetches the real thing.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctiserver.errors import UserFault

#: Called with what is going on and how much of the whole is done, 0 to 1.
Progress = Callable[[str, float], None]

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Names a mirror where the machine's own sources name none, such as on another distribution.
MIRROR_VARIABLE = "CTISERVER_DEBIAN_MIRROR"

# Part of the cache's key: raise it when the unpacking itself changes.
_RECIPE = 1
_LOCK_POLL_S = 0.2
_UNPACKERS = 2
_LEFT_OUT = ("./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/share/lintian", "./usr/share/info")
_DOWNLOADED = re.compile(rb"dlstatus:\d+:([\d.]+):")


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
class Recipe:
    """What one tree is made of."""

    name: str
    packages: tuple[str, ...]
    suite: str | None  #: None: the machine's own sources
    stand_ins: tuple[str, ...] = ()  #: taken as installed, since nothing that we start needs them

    def key(self, mirror: str) -> str:
        """The name of its folder in the cache."""
        parts = (_RECIPE, platform.machine(), mirror if self.suite is None else "", self)
        return f"{self.name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def cache_root() -> Path:
    """Where trees are kept between runs: ``$XDG_CACHE_HOME/ctiserver``, else ``~/.cache/ctiserver``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "ctiserver"


def make_cache(cache: Path) -> None:
    """Make the cache folder. Raises UserFault where it can't be."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserFault(
            f"the cache can't be made ({error.strerror})",
            where=str(cache),
            fix="Make the folder writable, or set XDG_CACHE_HOME to one that is",
        ) from error


async def tree_of(
    recipe: Recipe, progress: Progress, finish: Callable[[Path], None], *, cache: Path | None = None
) -> Path:
    """The unpacked tree of ``recipe``, from the cache or freshly made. Two processes at once make it once.

    ``finish`` does to a fresh tree what maintainer scripts would have done. A tree appears under its final name only
    when it is whole.

    Raises UserFault where apt, the keyring, the mirror or the room for it is missing.
    """
    cache = cache or cache_root()
    mirror = debian_mirror()
    target = cache / recipe.key(mirror)
    if target.is_dir():
        return target
    _need_tools(recipe)
    make_cache(cache)
    async with _alone(cache / f"{target.name}.lock", progress):
        if target.is_dir():
            return target
        work = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".part", dir=cache))
        try:
            await _fetch(recipe, mirror, work, progress)
            tree = work / "tree"
            await _unpack(work / "archives", tree, progress)
            finish(tree)
            tree.rename(target)
        except OSError as error:
            raise UserFault(
                f"unpacking failed ({error.strerror})", where=str(work), fix="Make room, then try again"
            ) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
    progress("ready", 1.0)
    return target


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


def _need_tools(recipe: Recipe) -> None:
    missing = [tool for tool in ("apt-get", "dpkg-deb", "tar") if shutil.which(tool) is None]
    if missing:
        raise UserFault(
            f"unpacking Debian packages needs {' and '.join(missing)}, which this machine lacks",
            fix="Use a Debian-like machine, or a container engine, or install Asterisk yourself",
        )
    if recipe.suite is not None and not KEYRING.exists():
        raise UserFault(
            "Debian's signing keys are not on this machine", where=str(KEYRING), fix="Install debian-archive-keyring"
        )


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


def _apt_settings(recipe: Recipe, mirror: str, work: Path) -> str:
    lines = [
        f'Dir::State "{work}/state";',
        f'Dir::Cache "{work}/cache";',
        f'Dir::Cache::archives "{work}/archives";',
        'Acquire::Check-Valid-Until "false";',  # a mirror may be a snapshot past its date; signatures still count
        'Acquire::Languages "none";',
        'Acquire::Retries "3";',
        'APT::Install-Recommends "false";',
        'APT::Sandbox::User "";',
        'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";',
        'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
        "#clear APT::Update::Post-Invoke;",
        "#clear APT::Update::Post-Invoke-Success;",
        "#clear DPkg::Post-Invoke;",
    ]
    (work / "status").write_text(_status(recipe.stand_ins), encoding="utf-8")
    lines.append(f'Dir::State::status "{work}/status";')
    if recipe.suite is not None:
        (work / "sources.list").write_text(
            f"deb [signed-by={KEYRING}] {mirror} {recipe.suite} main\n", encoding="utf-8"
        )
        lines += [
            f'Dir::Etc::sourcelist "{work}/sources.list";',
            f'Dir::Etc::sourceparts "{work}/none";',
            f'Dir::Etc::preferencesparts "{work}/none";',
            'Dir::Etc::trusted "/dev/null";',
        ]
    return "\n".join(lines) + "\n"


def _status(stand_ins: Sequence[str]) -> str:
    debian = architecture().debian
    return "".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: {debian}\n"
        f"Multi-Arch: {'same' if name.startswith('lib') else 'allowed' if name == 'python3' else 'foreign'}\n"
        "Version: 9999:1\nMaintainer: nobody\nDescription: stand-in\n\n"
        for name in stand_ins
    )


async def _fetch(recipe: Recipe, mirror: str, work: Path, progress: Progress) -> None:
    for folder in ("none", "state/lists/partial", "cache", "archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "apt.conf").write_text(_apt_settings(recipe, mirror, work), encoding="utf-8")
    environment = os.environ | {
        "APT_CONFIG": str(work / "apt.conf"),
        "LC_ALL": "C",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    source = f"{mirror} {recipe.suite}" if recipe.suite else "this machine's own sources"
    progress(f"reading the package list of {source}", 0.0)
    await _apt(["update", "-qq"], environment, lambda fraction: progress("reading the package list", 0.05 * fraction))
    await _apt(
        ["install", "-y", "-qq", "--download-only", *recipe.packages],
        environment,
        lambda fraction: progress("fetching packages", 0.05 + 0.65 * fraction),
    )


async def _apt(arguments: list[str], environment: dict[str, str], fetched: Callable[[float], None]) -> None:
    """Run apt-get; its own words are the fault's when it fails."""
    process = await asyncio.create_subprocess_exec(
        "apt-get",
        "-o",
        "APT::Status-Fd=1",
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    said: list[str] = []
    try:
        async for line in process.stdout:
            percent = _DOWNLOADED.match(line)
            if percent:
                fetched(float(percent[1]) / 100)
            else:
                said.append(line.decode("utf-8", "replace").strip())
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status:
        errors = [line for line in said if line.startswith("E:")] or said[-3:] or ["it gave no reason"]
        raise UserFault(
            f"apt-get {arguments[0]} failed: {' '.join(errors)}",
            fix="See that the mirror in this machine's apt sources can be reached, then try again",
        )


async def _unpack(archives: Path, tree: Path, progress: Progress) -> None:
    tree.mkdir()  # noqa: ASYNC240 - one folder
    packages = [archives / name for name in sorted(os.listdir(archives)) if name.endswith(".deb")]
    waiting, done = list(packages), 0

    async def unpack_waiting() -> None:
        nonlocal done
        while waiting:
            await _unpack_one(waiting.pop(), tree)
            done += 1
            progress("unpacking packages", 0.7 + 0.3 * done / len(packages))

    async with asyncio.TaskGroup() as group:
        for _ in range(_UNPACKERS):
            group.create_task(unpack_waiting())
    (tree / "PACKAGES").write_text("".join(f"{path.stem}\n" for path in packages), encoding="utf-8")


async def _unpack_one(package: Path, tree: Path) -> None:
    # Not `dpkg-deb -x`: it can leave nothing out, and manuals are half of what would be written.
    excludes = " ".join(f"--exclude={path}" for path in _LEFT_OUT)
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        f'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --no-same-owner {excludes}',
        "sh",
        str(package),
        str(tree),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        reason = complaint.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it gave no reason"]
        raise UserFault(f"{package.name} could not be unpacked: {reason[0]}", fix="Make room, then try again")
