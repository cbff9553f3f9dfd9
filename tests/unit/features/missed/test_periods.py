"""The period in which a missed call counts: by the number's calendar, by the queue's, else by the site's day."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from ctiserver.features.missed.periods import Periods
from ctiserver.model.calendar.opening_hours import Calendar, CalendarFile
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import QueueName
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from ctiserver.strict_yaml import load, parse

SHANGHAI = ZoneInfo("Asia/Shanghai")


def _calendar(hours: str) -> Calendar:
    text = f'schema: calendar/1\ncalendar: x\ntime_zone: Asia/Shanghai\nweekly:\n  mon-sun: ["{hours}"]\n'
    return Calendar(parse(load(text), CalendarFile), SHANGHAI)


def _at(when: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-23T{when}").replace(tzinfo=SHANGHAI)


@pytest.fixture
def periods() -> Periods:
    """``early`` opens at 07:00, ``late`` at 10:00; one number and one queue have a calendar, another's is gone."""
    site = load_site(shipped("config"))
    any_number, queue = site.numbers["*"], site.queues[QueueName("repair")]
    site = replace(
        site,
        numbers={
            "early": any_number.model_copy(update={"calendar": "early"}),
            "gone": any_number.model_copy(update={"calendar": "gone"}),
            "plain": any_number.model_copy(update={"calendar": None}),
        },
        queues={QueueName("late"): queue.model_copy(update={"calendar": "late"})},
    )
    calendars = {"early": _calendar("07:00-20:00"), "late": _calendar("10:00-20:00")}
    return Periods(site, SHANGHAI, lambda: WorkingTime(SHANGHAI, calendars))


@pytest.mark.parametrize(
    ("number", "queue", "began"),
    [
        ("early", "late", "07:00"),
        ("plain", "late", "10:00"),
        ("plain", "unknown", "00:00"),
        ("gone", "late", "00:00"),
        ("unknown", "", "00:00"),
    ],
)
def test_the_period_begins_by_the_number_then_the_queue_then_the_day(
    periods: Periods, number: str, queue: str, began: str
) -> None:
    assert periods.began(number, queue, _at("11:00")) == _at(began)
