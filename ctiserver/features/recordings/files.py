"""Files of recordings as they lie in a PBX's folder: ``<day>/<uniqueid>-<n>.wav``. Everything here blocks."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ctiserver.inside import OutsideFolder, inside
from ctiserver.model.calls.recording import is_recording_file
from ctiserver.model.ids import CallId, PbxName, Uniqueid, call_id

_HEADER_BYTES = 44


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A whole file, which the PBX has closed."""

    name: str  #: within the folder
    size: int
    seconds: float
    sha256: str
    began_at: datetime
    ended_at: datetime


def place_of(folder: Path, name: str) -> Path:
    """Where a recording lies. Raises OutsideFolder for what is not a recording's name, or leads out of the folder."""
    if not is_recording_file(name):
        raise OutsideFolder(f"{name[:80]!r} is not a valid recording name")
    return inside(folder, name)


def remove(folder: Path, name: str) -> None:
    """Delete a recording; one that is not there is gone already. Raises OutsideFolder, OSError."""
    place_of(folder, name).unlink(missing_ok=True)


def look(folder: Path, name: str) -> FoundFile | None:
    """The file of this name; None if it is not there, not closed yet, or no sound."""
    try:
        path = place_of(folder, name)
    except OutsideFolder:
        return None
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            size = path.stat().st_size
            if len(header) < _HEADER_BYTES or header[:4] != b"RIFF" or header[8:12] != b"WAVE":
                return None
            a_second, *_ = struct.unpack_from("<I", header, 28)
            samples, *_ = struct.unpack_from("<I", header, 40)
            if not a_second or samples + _HEADER_BYTES != size:
                return None  # Asterisk writes the length when it closes the file
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            ended_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None
    seconds = samples / a_second
    return FoundFile(name, size, seconds, digest, ended_at - timedelta(seconds=seconds), ended_at)


def days(now: datetime) -> tuple[str, ...]:
    """The folders in which files of calls of the last day lie."""
    return tuple((now - timedelta(days=back)).astimezone(UTC).strftime("%Y%m%d") for back in (1, 0))


def scan(folder: Path, of_days: Iterable[str], known: Collection[str]) -> list[FoundFile]:
    """Every whole file of these days that is not known yet."""
    names = [f"{day}/{path.name}" for day in of_days for path in sorted((folder / day).glob("*.wav"))]
    return [file for name in names if name not in known and (file := look(folder, name)) is not None]


def call_of(pbx: PbxName, name: str) -> CallId | None:
    """The call that began with the channel which a file is named by; None for a file that is not ours."""
    uniqueid, dash, number = Path(name).stem.rpartition("-")
    return call_id(pbx, Uniqueid(uniqueid)) if dash and number.isdecimal() else None
