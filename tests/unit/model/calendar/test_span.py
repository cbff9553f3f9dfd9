"""Spans count what they say: real time, or the time that a calendar is open."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ctiserver.model.calendar.opening_hours import Calendar, CalendarFile
from ctiserver.model.calendar.span import Span, WorkingTime

SHANGHAI = ZoneInfo("Asia/Shanghai")
DESK = Calendar(
    CalendarFile.model_validate_json(
        """{"schema": "calendar/1", "calendar": "desk", "weekly": {"mon-fri": ["09:00-12:00", "13:00-17:00"]},
            "overrides": {"2026-11-25": {"closed": true}}}""",
        strict=True,
    ),
    SHANGHAI,
)
TIME = WorkingTime(SHANGHAI, {"desk": DESK})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("text", "length", "working"),
    [
        ("30 minutes", timedelta(minutes=30), False),
        ("30m", timedelta(minutes=30), False),
        ("1 hour", timedelta(hours=1), False),
        ("2h", timedelta(hours=2), False),
        ("0.5 seconds", timedelta(seconds=0.5), False),
        ("3 days", timedelta(days=3), False),
        ("1 week", timedelta(weeks=1), False),
        ("4 working hours", timedelta(hours=4), True),
        ("2 working days", timedelta(days=2), True),
    ],
)
def test_how_a_span_is_written(text: str, length: timedelta, working: bool) -> None:
    span = Span.read(text)
    assert (span.length, span.working) == (length, working)
    assert Span.read(str(span)) == span


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "days",
        "three days",
        "-1 hour",
        "0 hours",
        "1 month",
        "1.5 working days",
        "1 working weeks",
        "9999 weeks",
    ],
)
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match=r"write it like|working time|between"):
        Span.read(text)


@pytest.mark.parametrize(
    ("start", "span", "due"),
    [
        ("2026-11-23T10:00", "1 hours", "2026-11-23T11:00"),
        ("2026-11-23T10:00", "1 working hours", "2026-11-23T11:00"),
        ("2026-11-23T11:30", "1 working hours", "2026-11-23T13:30"),  # over lunch
        ("2026-11-23T16:00", "2 working hours", "2026-11-24T10:00"),  # over night
        ("2026-11-24T16:00", "2 working hours", "2026-11-26T10:00"),  # over a closed day
        ("2026-11-21T20:00", "1 working hours", "2026-11-23T10:00"),  # from a weekend
        ("2026-11-23T09:00", "7 working hours", "2026-11-23T17:00"),  # to the last minute
        ("2026-11-23T10:00", "1 days", "2026-11-24T10:00"),
        ("2026-11-23T10:00", "1 working days", "2026-11-24T10:00"),
        ("2026-11-24T10:00", "1 working days", "2026-11-26T10:00"),
        ("2026-11-20T10:00", "2 working days", "2026-11-24T10:00"),
        ("2026-11-20T20:00", "1 working days", "2026-11-24T09:00"),  # after hours: when it opens the day after
    ],
)
def test_when_a_span_is_over(start: str, span: str, due: str) -> None:
    assert TIME.after(at(start), Span.read(span), "desk") == at(due)


def test_without_the_calendar_working_time_is_real_time() -> None:
    assert TIME.after(at("2026-11-21T20:00"), Span.read("1 working hours"), None) == at("2026-11-21T21:00")


def test_a_calendar_that_never_opens_gives_a_deadline_all_the_same() -> None:
    never = Calendar(
        CalendarFile.model_validate_json('{"schema": "calendar/1", "calendar": "never", "weekly": {}}', strict=True),
        SHANGHAI,
    )
    time = WorkingTime(SHANGHAI, {"never": never})
    start = at("2026-11-21T20:00")
    assert time.after(start, Span.read("1 working hours"), "never") > start
    assert time.after(start, Span.read("1 working days"), "never") > start
    assert time.next_open(start, "never") == start


def test_the_next_opening() -> None:
    assert TIME.next_open(at("2026-11-23T10:00"), "desk") == at("2026-11-23T10:00")
    assert TIME.next_open(at("2026-11-23T12:30"), "desk") == at("2026-11-23T13:00")
    assert TIME.next_open(at("2026-11-21T12:30"), "desk") == at("2026-11-23T09:00")
