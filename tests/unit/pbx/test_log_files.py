"""The files in which an Asterisk keeps its own account, whole, rotated, broken."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ctiserver.errors import UserFault
from ctiserver.pbx.log_files import read_cdrs, read_queue_log

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
SECONDS = int(T0.timestamp())
SHANGHAI = ZoneInfo("Asia/Shanghai")


def lines(first: int, count: int) -> str:
    return "".join(f"{SECONDS + second}|{second}.1|q|NONE|ENTERQUEUE||1|1\n" for second in range(first, first + count))


def test_a_long_log_is_read_from_where_it_matters(tmp_path: Path) -> None:
    path = tmp_path / "queue_log"
    path.write_text(lines(0, 20_000), encoding="utf-8")
    for wanted in (0, 1, 9_999, 19_999, 20_000):
        found = read_queue_log(path, T0 + timedelta(seconds=wanted))
        assert len(found) == 20_000 - wanted
        assert not found or found[0].uniqueid == f"{wanted}.1"


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    path = tmp_path / "queue_log"
    path.write_text(f"{lines(0, 2)}{SECONDS + 2}|2.1|q|NONE|ENTERQ", encoding="utf-8")
    assert len(read_queue_log(path, T0)) == 2


def test_a_rotated_log_is_read_on_from_its_older_half(tmp_path: Path) -> None:
    path = tmp_path / "queue_log"
    path.write_text(lines(10, 5), encoding="utf-8")
    (tmp_path / "queue_log.0").write_text("rubbish\n", encoding="utf-8")
    (tmp_path / "queue_log.1").write_text(lines(0, 10), encoding="utf-8")
    os.utime(tmp_path / "queue_log.0", (1, 1))
    assert len(read_queue_log(path, T0 + timedelta(seconds=3))) == 12
    assert len(read_queue_log(path, T0 + timedelta(seconds=12))) == 3
    path.write_text("", encoding="utf-8")
    assert len(read_queue_log(path, T0 + timedelta(seconds=3))) == 7


@pytest.mark.parametrize("names", [("2", "1", "0"), ("0", "1", "2"), ("2.gz", "1.gz", "0")])
def test_it_is_read_on_as_far_back_as_is_asked_for(tmp_path: Path, names: tuple[str, ...]) -> None:
    """A weekend with daily rotation; Asterisk's own counts up, logrotate's down, and may pack."""
    path = tmp_path / "queue_log"
    for age, name in enumerate(names, 1):
        part = tmp_path / f"queue_log.{name}"
        text = lines(40 - 10 * age, 10).encode()
        part.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
        os.utime(part, (SECONDS - age, SECONDS - age))
    (tmp_path / "queue_log.bak").write_text(lines(0, 40), encoding="utf-8")
    path.write_text(lines(40, 5), encoding="utf-8")
    for wanted in (42, 40, 35, 22, 10):
        found = read_queue_log(path, T0 + timedelta(seconds=wanted))
        assert [line.uniqueid for line in found] == [f"{second}.1" for second in range(wanted, 45)]


OURS = f'"{SECONDS}.1","{SECONDS}.1","138","PJSIP/trunk-1","PJSIP/a-2",{SECONDS}.25,{SECONDS + 9}.5,{SECONDS + 30}.75,ANSWERED\n'
PLAIN = (
    '"","138","4001","ctx","""Li, Min"" <138>","PJSIP/trunk-1","PJSIP/a-2","Queue","repair,,,",'
    '"2026-11-23 10:00:00","2026-11-23 10:00:09","2026-11-23 10:00:30",30,21,"ANSWERED","DOCUMENTATION"'
)
UNIQUE = f',"{SECONDS}.1"'


@pytest.mark.parametrize(
    ("text", "linkedid"),
    [
        (OURS, f"{SECONDS}.1"),
        (f"{PLAIN}{UNIQUE}\n", f"{SECONDS}.1"),
        (f'{PLAIN}{UNIQUE},"user"\n', f"{SECONDS}.1"),
        (f'{PLAIN}{UNIQUE},"","1.linked",3\n', "1.linked"),
        (f'{PLAIN}{UNIQUE},"user","","1.linked",3\n', "1.linked"),
    ],
)
def test_cdrs_of_either_kind_say_the_same(tmp_path: Path, text: str, linkedid: str) -> None:
    path = tmp_path / "Master.csv"
    path.write_text(text, encoding="utf-8")
    [row] = read_cdrs(path, T0, SHANGHAI)
    assert (row.uniqueid, row.linkedid, row.src) == (f"{SECONDS}.1", linkedid, "138")
    assert (row.start, row.answer, row.end) == (T0, T0 + timedelta(seconds=9), T0 + timedelta(seconds=30))
    assert (row.channel, row.dstchannel, row.disposition) == ("PJSIP/trunk-1", "PJSIP/a-2", "ANSWERED")


@pytest.mark.parametrize("answer", ["", "0.000000"])
def test_a_call_that_was_not_answered_has_no_such_time(tmp_path: Path, answer: str) -> None:
    path = tmp_path / "cdr.csv"
    path.write_text(OURS.replace(f"{SECONDS + 9}.5", answer), encoding="utf-8")
    assert [row.answer for row in read_cdrs(path, T0, UTC)] == [None]
    assert read_cdrs(path, T0 + timedelta(seconds=1), UTC) == []


def test_rotated_cdrs_are_read_on(tmp_path: Path) -> None:
    path = tmp_path / "cdr.csv"
    path.write_text("", encoding="utf-8")
    (tmp_path / "cdr.csv.1").write_text(OURS, encoding="utf-8")
    assert len(read_cdrs(path, T0, UTC)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"{PLAIN}\n",
            r"cdr.csv:1: this is not a CDR that can be matched with a call: it has 16 columns. .*loguniqueid",
        ),
        ("a,b,c\n", "it has 3 columns"),
        (OURS + OURS.replace(f"{SECONDS}.25", "never"), "cdr.csv:2: this is not a CDR"),
        (OURS.replace(f"{SECONDS}.25", ""), "a time is missing"),
    ],
)
def test_what_is_no_cdr_is_one_sentence_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "cdr.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserFault, match=said):
        read_cdrs(path, T0, UTC)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    for read in (lambda: read_cdrs(tmp_path / "x", T0, UTC), lambda: read_queue_log(tmp_path / "x", T0)):
        with pytest.raises(UserFault, match="can't be read"):
            read()
