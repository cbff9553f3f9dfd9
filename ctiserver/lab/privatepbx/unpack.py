"""Debian packages, unpacked as an ordinary user: no root, no chroot, no database, no maintainer scripts."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctiserver.errors import UserFault, first_of

_UNPACKERS = 2
_LEFT_OUT = ("./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/share/lintian", "./usr/share/info")
_FIELD = re.compile(r"(?m)^([A-Za-z-]+): (.*)$")
_FIELDS = ("Package", "Version", "Pre-Depends", "Depends", "Recommends", "Suggests")


@dataclass(frozen=True, slots=True)
class Package:
    """One package that was unpacked."""

    name: str
    version: str
    depends: tuple[str, ...]  #: names, alternatives included
    recommends: tuple[str, ...]  #: and suggests
    files: tuple[str, ...]  #: paths in the tree, ``usr/bin/x``


async def unpack(archives: Sequence[Path], tree: Path, done: Callable[[float], None]) -> list[Package]:
    """Unpack ``archives`` into ``tree``, some at a time; ``done`` is told how much of it, 0 to 1.

    Raises UserFault where one is broken or the disk has no room.
    """
    waiting, packages = list(archives), list[Package]()

    async def unpack_waiting() -> None:
        while waiting:
            packages.append(await _unpack_one(waiting.pop(), tree))
            done(len(packages) / len(archives))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_UNPACKERS):
                group.create_task(unpack_waiting())
    except BaseExceptionGroup as error:
        fault = first_of(error, UserFault) or first_of(error, OSError)
        if fault is None:
            raise
        raise fault from None
    for package in packages:
        _keep_links_inside(package, tree)
    return packages


async def _unpack_one(archive: Path, tree: Path) -> Package:
    fields = await _run("dpkg-deb", "--field", str(archive), *_FIELDS)
    if fields.status:
        raise _broken(archive, fields)
    # Not `dpkg-deb -x`: it can leave nothing out, and manuals are half of what would be written.
    excludes = [f"--exclude={path}" for path in _LEFT_OUT]
    reading, writing = os.pipe()
    async with asyncio.TaskGroup() as group:
        contents = group.create_task(_run("dpkg-deb", "--fsys-tarfile", str(archive), output=writing))
        files = group.create_task(
            _run("tar", "-xvC", str(tree), "--no-same-owner", "--quoting-style=literal", *excludes, source=reading)
        )
    for run in (files.result(), contents.result()):
        if run.no_room:
            raise UserFault(
                f"{archive.name} could not be unpacked: {run.reason}",
                where=str(tree),
                fix="Free some space, then try again",
            )
    for run in (contents.result(), files.result()):
        if run.status:
            raise _broken(archive, run)
    said = dict(_FIELD.findall(fields.said))
    return Package(
        name=said["Package"],
        version=said["Version"],
        depends=_names(said, "Pre-Depends", "Depends"),
        recommends=_names(said, "Recommends", "Suggests"),
        files=tuple(line.removeprefix("./") for line in files.result().said.splitlines() if not line.endswith("/")),
    )


def _names(fields: Mapping[str, str], *kinds: str) -> tuple[str, ...]:
    relations = ",".join(fields.get(kind, "") for kind in kinds)
    return tuple(dict.fromkeys(re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)", relations)))


@dataclass(frozen=True, slots=True)
class _Run:
    status: int
    said: str
    complaint: str

    @property
    def reason(self) -> str:
        if self.status < 0 and not self.complaint:
            return f"ended by {signal.Signals(-self.status).name}"
        lines = [line for line in self.complaint.splitlines() if "Exiting with failure" not in line]
        return lines[-1] if lines else "it gave no reason"

    @property
    def no_room(self) -> bool:
        words = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)] + ["Wrote only"]
        return self.status == -signal.SIGXFSZ or any(word in self.complaint for word in words)


async def _run(*command: str, source: int | None = None, output: int | None = None) -> _Run:
    """Run to the end. ``source`` and ``output`` are ends of a pipe, closed here once the program has them."""
    ends = [end for end in (source, output) if end is not None]
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=os.environ | {"LC_ALL": "C"},
            stdin=asyncio.subprocess.DEVNULL if source is None else source,
            stdout=asyncio.subprocess.PIPE if output is None else output,
            stderr=asyncio.subprocess.PIPE,
        )
    finally:
        for end in ends:
            os.close(end)
    try:
        said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return _Run(
        process.returncode, (said or b"").decode("utf-8", "replace"), complaint.decode("utf-8", "replace").strip()
    )


def _broken(archive: Path, run: _Run) -> UserFault:
    return UserFault(
        f"the package {archive.name} is broken: {run.reason}", fix="Try again in an hour, or name another mirror"
    )


def _keep_links_inside(package: Package, tree: Path) -> None:
    """Links that name a path of an installed system lead into the tree, where it has that path."""
    for name in package.files:
        link = tree / name
        if not link.is_symlink():
            continue
        to = os.readlink(link)
        inside = tree / to.lstrip("/")
        if to.startswith("/") and (inside.exists() or inside.is_symlink()):
            link.unlink()
            link.symlink_to(os.path.relpath(inside, link.parent))
