"""queue_log as a caller may have written into it: what they wrote is not believed, what app_queue wrote is."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctiserver.model.calls.queue_log import LogReader, in_order, read_line, visits
from ctiserver.pbx.log_files import read_queue_log

NAME, SECONDS = "cti0123456789a", 1796093912
T0 = datetime.fromtimestamp(SECONDS, UTC)


def entered(number: str, *, sign: str = f"{NAME}-", after: int = 0, n: int = 1) -> str:
    return f"{SECONDS + after}|{sign}{SECONDS}.{n}|repair|NONE|ENTERQUEUE||{number}|1\n"


def gave_up(*, sign: str = f"{NAME}-", after: int = 9, n: int = 1) -> str:
    return f"{SECONDS + after}|{sign}{SECONDS}.{n}|repair|NONE|ABANDON|1|1|9\n"


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("sign", [f"{NAME}-", ""], ids=["systemname", "looks"])
def test_a_line_within_a_number_is_not_believed(tmp_path: Path, end: str, sign: str) -> None:
    forged = f"{end}{SECONDS}|{SECONDS}.9|repair|NONE|ABANDON|1|1|99999"
    path = tmp_path / "queue_log"
    text = entered("1390", sign=sign, n=3) + entered(f"1{forged}"[:79], sign=sign) + gave_up(sign=sign, n=3)
    path.write_bytes(text.encode())
    os.utime(path, (SECONDS + 60, SECONDS + 60))
    lines = read_queue_log(path, T0 - timedelta(hours=1), (NAME,) if sign else ())
    assert [(line.uniqueid, line.event) for line in lines if line.uniqueid != f"{SECONDS}.1"] == [
        (f"{SECONDS}.3", "ENTERQUEUE"),
        (f"{SECONDS}.3", "ABANDON"),
    ]


def test_an_older_systemname_is_believed_where_it_is_named() -> None:
    old = entered("1390", sign="ctiaaaaaaaaaaa-")
    assert LogReader((NAME,)).read(old) is None
    line = LogReader((NAME, "ctiaaaaaaaaaaa")).read(old)
    assert line is not None
    assert line.uniqueid == f"{SECONDS}.1"


@pytest.mark.parametrize(
    "text",
    [
        f"{SECONDS}|a b|repair|NONE|ABANDON|1|1|2",
        f"{SECONDS}|1.1|repair|NONE|abandon|1|1|2",
        f"{SECONDS}|1.1|repair|NONE|ABANDON|1|1|99999999999",
        f"{SECONDS}|1.1|repair|NONE|ABANDON|1|1|-5",
        f"{SECONDS}|1.1|repair|NONE|COMPLETECALLER|x|y|z",
        f"{SECONDS}|1.1|repair|NONE|ENTERQUEUE||139\x1b|1",
        f"{SECONDS}|1.1|repair|NONE|ENTERQUEUE||{'9' * 3000}|1",
    ],
)
def test_lines_of_the_wrong_shape(text: str) -> None:
    assert read_line(text) is None


def test_lines_hours_out_of_order_are_left_out() -> None:
    texts = [
        gave_up(after=0),
        gave_up(after=0),
        gave_up(after=-20_000),
        gave_up(after=1),
        gave_up(after=20_000),
        gave_up(after=2),
    ]
    lines = [line for line in map(read_line, texts) if line is not None]
    assert [int((line.at - T0).total_seconds()) for line in in_order(lines)] == [0, 0, 1, 2]


def test_a_line_later_than_the_file_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "queue_log"
    path.write_text(gave_up(after=0) + gave_up(after=2000), encoding="utf-8")
    os.utime(path, (SECONDS + 60, SECONDS + 60))
    assert len(read_queue_log(path, T0 - timedelta(hours=1), (NAME,))) == 1


@given(st.lists(st.text(max_size=60) | st.builds(entered, st.text(max_size=79)) | st.builds(gave_up)))
def test_whatever_stands_there_is_read(texts: list[str]) -> None:
    reader = LogReader((NAME,))
    lines = [line for text in texts if (line := reader.read(text)) is not None]
    assert reader.refused == len(texts) - len(lines)
    visits(in_order(lines))
