"""The files in which an Asterisk keeps its own account of calls, where this machine can read them: queue_log and CDRs.

A file that was rotated is read on from its older parts, as far back as is asked for: ``NAME.1`` or ``NAME-20261122`` by
logrotate, ``NAME.0`` and on by Asterisk itself, packed (``.gz``) or not.
"""

from __future__ import annotations

import csv
import glob
import gzip
import re
import zlib
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import IO, cast

import structlog

from ctiserver.errors import UserFault
from ctiserver.model.calls.queue_log import LogReader, QueueLogLine, in_order, read_line
from ctiserver.model.calls.reconciliation import CdrRow
from ctiserver.system_name import without_system_name

log = structlog.get_logger(__name__)

_PACKED = ".gz"
#: No line is later than the file's last change, but for a clock that was set.
_CLOCK_STEP = timedelta(minutes=5)
_NEAR = 5
#: One that is being packed just now, or was cut off, is not a whole .gz.
_BROKEN = (OSError, EOFError, zlib.error)
#: What rotating appends to a name: a number, or the day and perhaps the time.
_ROTATED = re.compile(r"(\.\d{1,6}|-\d{6,14})(\.gz)?")
#: cdr_custom as docs/reference/reconcile.md has it: times in seconds since 1970.
_OURS = 9
#: cdr_csv: 16 columns, then uniqueid, userfield, and with newcdrcolumns peeraccount, linkedid, sequence.
_PLAIN, _WITH_NEW = 16, 19


def read_queue_log(path: Path, since: datetime, signs: Collection[str] = ()) -> list[QueueLogLine]:
    """The lines from ``since`` on that are believed, oldest first; ``signs``: the PBX's secret systemnames.

    Raises UserFault if the file can't be read.
    """
    reader = LogReader(signs)
    found, first = list(_queue_lines(path, since, reader)), _first_at(path)
    for older in _older(path):
        if first < since:
            break
        found = [*_queue_lines(older, since, LogReader(signs)), *found]
        first = _first_at(older)
    if reader.refused:
        log.warning("queue_log_lines_not_believed", file=str(path), lines=reader.refused)
    return in_order(found)


def _queue_lines(path: Path, since: datetime, reader: LogReader) -> Iterator[QueueLogLine]:
    try:
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC) + _CLOCK_STEP
        with _opened(path) as file:
            if path.suffix != _PACKED:
                file.seek(_offset(path, since))
            for raw in file:
                line = reader.read(raw.decode("utf-8", "replace")) if raw.endswith(b"\n") else None
                if line is not None and since <= line.at <= written:
                    yield line
    except _BROKEN as error:
        raise _unreadable(path, error) from None


def _offset(path: Path, since: datetime) -> int:
    """Where to begin to read: bisected, since a busy PBX's log has millions of lines."""
    low, high = 0, path.stat().st_size
    with path.open("rb") as file:
        while high - low > 1 << 16:
            middle = (low + high) // 2
            file.seek(middle)
            file.readline()  # a line that was begun before
            # The middle of a few: one alone may be a caller's.
            near = sorted(line.at for line in (_line(file.readline()) for _ in range(_NEAR)) if line is not None)
            if not near or near[len(near) // 2] >= since:
                high = middle
            else:
                low = middle
        file.seek(low)
        if low:
            file.readline()
        return file.tell()


def _line(raw: bytes) -> QueueLogLine | None:
    return read_line(raw.decode("utf-8", "replace"))


def _first_at(path: Path) -> datetime:
    try:
        with _opened(path) as file:
            for raw in file:
                line = _line(raw)
                if line is not None:
                    return line.at
    except _BROKEN as error:
        raise _unreadable(path, error) from None
    return datetime.max.replace(tzinfo=UTC)


def _older(path: Path) -> list[Path]:
    """Its parts that were rotated away, the newest first; their numbers count up or down, as they were set to."""
    there = [
        older
        for older in path.parent.glob(f"{glob.escape(path.name)}[.-]*")
        if _ROTATED.fullmatch(older.name.removeprefix(path.name)) and older.is_file()
    ]
    return sorted(there, key=lambda older: older.stat().st_mtime, reverse=True)


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == _PACKED else path.open("rb")


def read_cdrs(path: Path, since: datetime, zone: tzinfo) -> list[CdrRow]:
    """The CDRs that began at ``since`` or later. ``zone``: of the times in the file, where they name none.

    Raises UserFault if the file can't be read, or is none that cdr_csv or the cdr_custom.conf of our docs writes.
    """
    rows = list(_cdr_rows(path, zone))
    for older in _older(path):
        if rows and min(row.start for row in rows) < since:
            break
        rows = [*_cdr_rows(older, zone), *rows]
    return [row for row in rows if row.start >= since]


def try_cdrs(path: Path) -> None:
    """Read the first CDR. Raises UserFault as :func:`read_cdrs`."""
    next(_cdr_rows(path, UTC), None)


def _cdr_rows(path: Path, zone: tzinfo) -> Iterator[CdrRow]:
    try:
        with _opened(path) as file:
            reader = csv.reader(raw.decode("utf-8", "replace").replace("\0", "") for raw in file)
            for columns in reader:
                if columns:
                    yield _cdr_row(columns, zone, f"{path}:{reader.line_num}")
    except _BROKEN as error:
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
                f"this is not a CDR that can be matched with a call: it has {count} columns",
                where=where,
                fix="In cdr.conf set loguniqueid = yes and newcdrcolumns = yes under [csv], or take over the "
                "cdr_custom.conf of docs/reference/reconcile.md",
            )
        start, answer, end = (_time(text, zone) for text in times)
        if start is None or end is None:
            raise ValueError("a time is missing")
    except ValueError as error:
        raise UserFault(
            f"this is not a CDR: {error}", where=where, fix="Name a file that cdr_csv or cdr_custom writes"
        ) from None
    return CdrRow(
        uniqueid=without_system_name(uniqueid),
        linkedid=without_system_name(linkedid),
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


def _unreadable(path: Path, error: Exception) -> UserFault:
    return UserFault(
        f"can't be read: {getattr(error, 'strerror', None) or error}",
        where=str(path),
        fix="Let ctiserver's user read it, mount it here, or take the setting out of ctiserver.yaml",
    )
