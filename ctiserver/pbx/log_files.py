"""The files in which an Asterisk keeps its own account of calls, where this machine can read them: queue_log and CDRs.

A file that was rotated is read on from its newest older half (``NAME.1`` by logrotate, ``NAME.0`` by Asterisk itself).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.model.queue_log import Line, read_line
from ctiserver.model.reconciliation import CdrRow

#: cdr_custom as docs/reference/reconcile.md has it: times in seconds since 1970.
_OURS = 9
#: cdr_csv: 16 columns, then uniqueid, userfield, and with newcdrcolumns peeraccount, linkedid, sequence.
_PLAIN, _WITH_NEW = 16, 19


def read_queue_log(path: Path, since: datetime) -> list[Line]:
    """The lines from ``since`` on, oldest first. Raises UserFault if the file can't be read."""
    older, found = _older(path), []
    if older is not None and _first_at(path) >= since:
        found = list(_queue_lines(older, since))
    return [*found, *_queue_lines(path, since)]


def _queue_lines(path: Path, since: datetime) -> Iterator[Line]:
    try:
        with path.open("rb") as file:
            file.seek(_offset(path, since))
            for raw in file:
                line = read_line(raw.decode("utf-8", "replace")) if raw.endswith(b"\n") else None
                if line is not None and line.at >= since:
                    yield line
    except OSError as error:
        raise _unreadable(path, error) from None


def _offset(path: Path, since: datetime) -> int:
    """Where to begin to read: bisected, since a busy PBX's log has millions of lines."""
    low, high = 0, path.stat().st_size
    with path.open("rb") as file:
        while high - low > 1 << 16:
            middle = (low + high) // 2
            file.seek(middle)
            file.readline()  # a line that was begun before
            line = read_line(file.readline().decode("utf-8", "replace"))
            if line is None or line.at >= since:
                high = middle
            else:
                low = middle
        file.seek(low)
        if low:
            file.readline()
        return file.tell()


def _first_at(path: Path) -> datetime:
    try:
        with path.open("rb") as file:
            for raw in file:
                line = read_line(raw.decode("utf-8", "replace"))
                if line is not None:
                    return line.at
    except OSError as error:
        raise _unreadable(path, error) from None
    return datetime.max.replace(tzinfo=UTC)


def _older(path: Path) -> Path | None:
    there = [older for older in (Path(f"{path}.1"), Path(f"{path}.0")) if older.is_file()]
    return max(there, key=lambda older: older.stat().st_mtime, default=None)


def read_cdrs(path: Path, since: datetime, zone: tzinfo) -> list[CdrRow]:
    """The CDRs that began at ``since`` or later. ``zone``: of the times in the file, where they name none.

    Raises UserFault if the file can't be read, or is none that cdr_csv or the cdr_custom.conf of our docs writes.
    """
    older = _older(path)
    rows = list(_cdr_rows(path, zone))
    if older is not None and (not rows or min(row.start for row in rows) >= since):
        rows = [*_cdr_rows(older, zone), *rows]
    return [row for row in rows if row.start >= since]


def try_cdrs(path: Path) -> None:
    """Read the first CDR. Raises UserFault as :func:`read_cdrs`."""
    next(_cdr_rows(path, UTC), None)


def _cdr_rows(path: Path, zone: tzinfo) -> Iterator[CdrRow]:
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            reader = csv.reader(line.replace("\0", "") for line in file)
            for columns in reader:
                if columns:
                    yield _cdr_row(columns, zone, f"{path}:{reader.line_num}")
    except OSError as error:
        raise _unreadable(path, error) from None


def _cdr_row(columns: list[str], zone: tzinfo, where: str) -> CdrRow:
    count = len(columns)
    try:
        if count == _OURS:
            uniqueid, linkedid, src, channel, dstchannel, *times, disposition = columns
        elif _PLAIN < count != _WITH_NEW and count <= _WITH_NEW + 2:
            src, channel, dstchannel = columns[1], columns[5], columns[6]
            times, disposition, uniqueid = columns[9:12], columns[14], columns[16]
            linkedid = columns[-2] if count > _WITH_NEW else uniqueid
        else:
            raise UserFault(
                f"this is no CDR that can be matched with a call: it has {count} columns",
                where=where,
                fix="In cdr.conf set loguniqueid = yes and newcdrcolumns = yes under [csv], or take over the "
                "cdr_custom.conf of docs/reference/reconcile.md",
            )
        start, answer, end = (_time(text, zone) for text in times)
        if start is None or end is None:
            raise ValueError("a time is missing")
    except ValueError as error:
        raise UserFault(
            f"this is no CDR: {error}", where=where, fix="Name a file that cdr_csv or cdr_custom writes"
        ) from None
    return CdrRow(
        uniqueid=uniqueid,
        linkedid=linkedid,
        src=src,
        channel=channel,
        dstchannel=dstchannel,
        start=start,
        answer=answer,
        end=end,
        disposition=disposition,
    )


def _time(text: str, zone: tzinfo) -> datetime | None:
    """Seconds since 1970, or the PBX's own clock; cut to the second, as most of its accounts are."""
    if not text or text.startswith("0.0"):
        return None
    if text.partition(".")[0].isdecimal():
        return datetime.fromtimestamp(int(text.partition(".")[0]), UTC)
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone).astimezone(UTC)


def _unreadable(path: Path, error: OSError) -> UserFault:
    return UserFault(
        f"can't be read: {error.strerror or error}",
        where=str(path),
        fix="Let ctiserver's user read it, mount it here, or take the setting out of ctiserver.yaml",
    )
