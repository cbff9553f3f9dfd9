"""A line a second of each kind, whatever strangers do."""

from __future__ import annotations

import asyncio.selector_events
import inspect
import logging
from datetime import UTC, datetime

from structlog import get_logger
from structlog.testing import capture_logs

from ctiserver.clock import ManualClock
from ctiserver.logs import Seldom, _AcceptErrors

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def test_a_line_a_second_of_each_kind_says_how_many_it_stands_for() -> None:
    clock = ManualClock(NOON)
    seldom = Seldom(get_logger(), clock.monotonic)
    with capture_logs() as lines:
        for _ in range(5):
            seldom.warning("refused", why="busy", peer="a")
        seldom.warning("refused", why="header", peer="b")
        seldom.info("other", why="busy")
        clock.advance(1.0)
        seldom.warning("refused", why="busy", peer="c")
        clock.advance(1.0)
        seldom.warning("refused", why="busy", peer="d")
    assert [(line["event"], line["why"], line.get("peer"), line.get("more")) for line in lines] == [
        ("refused", "busy", "a", None),
        ("refused", "header", "b", None),
        ("other", "busy", None, None),
        ("refused", "busy", "c", 4),
        ("refused", "busy", "d", None),
    ]
    assert [line["log_level"] for line in lines] == ["warning", "warning", "info", "warning", "warning"]


def test_asyncio_s_word_that_no_descriptor_is_left_is_written_once_a_second_without_a_traceback() -> None:
    """Python's own text, so that a later one which says it otherwise is noticed."""
    source = "socket.accept() out of system resource"

    assert source in inspect.getsource(asyncio.selector_events)
    seldom = _AcceptErrors()

    def record(text: str) -> logging.LogRecord:
        error = OSError(24, "Too many open files")
        return logging.LogRecord("asyncio", logging.ERROR, "x", 1, text, None, (OSError, error, None))

    told = [record(f"{source}\nsocket: ..") for _ in range(100)]
    assert [seldom(one) for one in told] == [True] + [False] * 99
    assert told[0].exc_info is None
    assert "LimitNOFILE" in told[0].getMessage()
    assert seldom(record("another error")) is True
