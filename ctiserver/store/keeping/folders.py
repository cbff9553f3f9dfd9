"""Which folders and files a server has besides its databases, and copying them as they lie."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ctiserver.settings import ENVIRONMENT_PREFIX, Settings
from ctiserver.site.load import Site
from ctiserver.store.keeping.manifest import FolderEntry

#: Which process serves the folder. A restored one is served by none.
_NOT_KEPT = frozenset({"server.json", "server.new"})
_SQLITE_SIDES = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Installation:
    """A server's settings, the file that they came from, its folders and its secret files."""

    settings_file: Path
    settings: Settings
    folders: Mapping[str, Path]  #: by the name that each has in a backup
    secrets: tuple[Path, ...]  #: files that the configuration names as secret
    unwanted: tuple[Path, ...]  #: folders that are not to be copied

    @classmethod
    def of(cls, settings_file: Path, settings: Settings, site: Site, *, recordings: bool = True) -> Installation:
        """Everything that this server has; without ``recordings`` those of its calls are left out."""
        folders = {"config": settings.config_dir, "data": settings.data_dir}
        if settings.flows_dir is not None:
            folders["flows"] = settings.flows_dir
        if settings.prompts.cache_dir is not None:
            folders["prompts"] = settings.prompts_dir
        sound = {
            f"recordings/{name}": pbx.recordings_dir.resolve()
            for name, pbx in settings.pbxs.items()
            if pbx.recordings_dir is not None
        }
        return cls(
            settings_file.resolve(),
            settings,
            {**{name: path.resolve() for name, path in folders.items()}, **(sound if recordings else {})},
            tuple(dict.fromkeys(_secrets(settings_file.resolve().parent, settings, site))),
            () if recordings else tuple(sound.values()),
        )

    def entries(self) -> dict[str, FolderEntry]:
        """Where each folder was and where it is to be: one below ctiserver.yaml's folder keeps its place there."""
        base = self.settings_file.parent
        return {
            name: FolderEntry(
                was=str(path), restore_as=str(path.relative_to(base)) if path.is_relative_to(base) else name
            )
            for name, path in self.folders.items()
        }

    def copy_to(self, backup: Path, *, databases: Collection[Path], apart: Path) -> None:
        """Copy the settings and every folder into ``backup``; a file that lies in two of the folders is copied once.

        A file that vanishes meanwhile (by the retention of recordings) is left out; one that grows is copied as far
        as it was written. Databases are copied otherwise, and nothing of ``apart`` is copied. Raises OSError.
        """
        (backup / "settings").mkdir(mode=0o700)
        _copy_file(self.settings_file, backup / "settings/ctiserver.yaml")
        without = {path.with_name(path.name + side) for path in databases for side in _SQLITE_SIDES}
        without |= {self.settings_file, apart, *self.unwanted}
        for name, folder in self.folders.items():
            inner = {path for path in self.folders.values() if path != folder and path.is_relative_to(folder)}
            _copy_tree(folder, backup / name, without | inner)

    def copied_secrets(self) -> tuple[str, ...]:
        """Secret files that are copied, by their paths in the backup."""
        found = []
        for path in self.secrets:
            name = self._holder(path)
            if name:
                found.append(f"{name}/{path.relative_to(self.folders[name])}")
        return tuple(sorted(found))

    def left_out(self) -> tuple[str, ...]:
        """Secret files that lie in none of the folders, and folders that were not wanted."""
        return tuple(str(path) for path in (*(one for one in self.secrets if not self._holder(one)), *self.unwanted))

    def _holder(self, path: Path) -> str:
        holders = [name for name, folder in self.folders.items() if path.is_relative_to(folder)]
        return max(holders, key=lambda name: len(str(self.folders[name])), default="")


def overriding(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the environment variables that change settings; their values may be secret."""
    return tuple(sorted(name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and "__" in name))


def copy_restored(backup: Path, names: Mapping[str, Path]) -> None:
    """Copy folders of a backup, by name, to where they are to be. Raises OSError."""
    for name, target in names.items():
        if (backup / name).is_dir():
            _copy_tree(backup / name, target, set())


@contextmanager
def private() -> Iterator[None]:
    """Every file and folder that this process makes during the block is for its owner alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def sync(folder: Path) -> None:
    """Let the disk have every file and folder below ``folder``, and itself. Raises OSError."""
    for path in (*folder.rglob("*"), folder):
        sync_one(path)


def sync_one(path: Path) -> None:
    """Let the disk have one file or folder. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _secrets(base: Path, settings: Settings, site: Site) -> Iterator[Path]:
    for pbx in settings.pbxs.values():
        for path in (pbx.secret_file, pbx.browser_phones.secrets_file):
            if path is not None:
                yield (base / path).resolve()
    messages = site.messages
    beside = (
        messages.sms.token_file,
        messages.email.password_file,
        *(hook.secret_file for hook in messages.webhooks.values()),
    )
    for name in beside:
        if name is not None:
            yield (site.directory / name).resolve()


def _copy_tree(source: Path, target: Path, without: Collection[Path]) -> None:
    if not source.is_dir():
        return
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.resolve() in without or path.name in _NOT_KEPT:
            continue
        if path.is_dir():
            if not path.is_symlink():  # or a link to a folder above would never end
                _copy_tree(path, target / path.name, without)
        else:
            _copy_file(path, target / path.name)


def _copy_file(source: Path, target: Path) -> None:
    """Copy what a file holds, and when it was changed; only its owner may read the copy."""
    try:
        with open(source, "rb", opener=_without_waiting) as reading:
            if not stat.S_ISREG(os.fstat(reading.fileno()).st_mode):
                return
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "wb") as writing:
                shutil.copyfileobj(reading, writing)
            seen = os.fstat(reading.fileno())
    except FileNotFoundError:
        if source.exists():
            raise
        return
    os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a named pipe that nobody writes to would wait for ever
