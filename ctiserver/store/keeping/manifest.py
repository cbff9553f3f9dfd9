"""What a backup says of itself, and whether it still holds what it said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from ctiserver.errors import UserFault
from ctiserver.strict_yaml import Written

#: Raised when an older ctiserver could not read what a newer one writes.
FORMAT = 1
MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
_CHUNK = 1 << 20
_ANOTHER = "Restore another backup; this one was not changed, and nothing was written"


def _below(path: str) -> str:
    """Paths of a backup stay inside it, and inside the folder that it is restored into."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path} leads out of the folder")
    return path


Below = Annotated[str, AfterValidator(_below)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DatabaseEntry(Written):
    """One database: of which kind, with which schema, and how many rows each of its tables has."""

    kind: Literal["sqlite", "postgresql"]
    schema_version: str  #: the server's own: its migration; the workflow engine's: the number of its library's
    tables: dict[str, int]


class FolderEntry(Written):
    """A folder whose files were copied."""

    was: str  #: its path when the backup was made
    restore_as: Below  #: below the folder that is restored into; ``.``: that folder itself


class FileEntry(Written):
    """One file of the backup."""

    size: int  #: bytes
    sha256: Sha256


class Manifest(Written):
    """``manifest.json``."""

    format: int
    made_by: str  #: such as ``ctiserver 0.1.0``
    made_at: str  #: ISO 8601, UTC
    settings: str  #: the path of ctiserver.yaml when the backup was made
    databases: dict[str, DatabaseEntry]  #: ``main``, and ``workflow`` where the server ever ran
    folders: dict[Below, FolderEntry]
    secrets: tuple[str, ...]  #: files of the backup that the configuration names as secret
    left_out: tuple[str, ...]  #: secret files outside the configuration's folder, and folders that were not wanted
    environment: tuple[str, ...]  #: names of the environment variables that changed the settings
    files: dict[Below, FileEntry]  #: every file but the manifest and SHA256SUMS


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest and the sums, last of all. Raises OSError."""
    text = json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    sums = {name: entry.sha256 for name, entry in manifest.files.items()}
    sums[MANIFEST] = hashlib.sha256(text.encode()).hexdigest()
    (folder / SUMS).write_text("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)), encoding="utf-8")


def read(folder: Path) -> Manifest:
    """The manifest of a backup. Raises UserFault if there is none, or one that was changed or is too new."""
    try:
        text = (folder / MANIFEST).read_bytes()
        sums = (folder / SUMS).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UserFault(
            f"is not a whole backup: {MANIFEST} or {SUMS} can't be read ({reason})", where=str(folder), fix=_ANOTHER
        ) from None
    if f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}" not in sums.splitlines():
        raise _damaged(folder, MANIFEST)
    try:
        found = json.loads(text)
        if found["format"] > FORMAT:
            raise UserFault(
                f"this backup was made by {found['made_by']}, in a format that this ctiserver does not know",
                where=str(folder),
                fix="Install that version, then restore with it",
            )
        return Manifest.model_validate_json(text)
    except (ValueError, KeyError, TypeError, ValidationError):
        raise _damaged(folder, MANIFEST) from None


def verify(folder: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest. Raises UserFault for the first that is missing, changed or extra."""
    present = {str(PurePosixPath(path.relative_to(folder))) for path in _files(folder)} - {MANIFEST, SUMS}
    for name, entry in sorted(manifest.files.items()):
        path = folder / name
        if name not in present:
            raise UserFault(f"{name} is missing from this backup", where=str(folder), fix=_ANOTHER)
        if path.is_symlink() or path.stat().st_size != entry.size or sha256(path) != entry.sha256:
            raise _damaged(folder, name)
    extra = sorted(present - set(manifest.files))
    if extra:
        raise UserFault(
            f"{extra[0]} does not belong to this backup", where=str(folder), fix="Remove it; nothing was written"
        )


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def describe(folder: Path) -> dict[str, FileEntry]:
    """Size and SHA-256 of every file below ``folder``, by its path. Raises OSError."""
    return {
        str(PurePosixPath(path.relative_to(folder))): FileEntry(size=path.stat().st_size, sha256=sha256(path))
        for path in _files(folder)
    }


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if not path.is_dir() or path.is_symlink())


def _damaged(folder: Path, name: str) -> UserFault:
    return UserFault(f"{name} was damaged or changed after the backup was made", where=str(folder), fix=_ANOTHER)
