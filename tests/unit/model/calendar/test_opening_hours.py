from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ctiserver.errors import FileFault
from ctiserver.model.calendar.opening_hours import Calendar, CalendarFile
from ctiserver.model.calendar.roster import Roster, RosterFile
from ctiserver.strict_yaml import load, parse

HEAD = "schema: calendar/1\ncalendar: desk\n"
SHANGHAI = ZoneInfo("Asia/Shanghai")


def calendar(text: str, zone: str = "Asia/Shanghai") -> Calendar:
    return Calendar(parse(load(f"{HEAD}time_zone: {zone}\n{text}"), CalendarFile), ZoneInfo("UTC"))


def at(when: str) -> datetime:
    return datetime.fromisoformat(when).replace(tzinfo=SHANGHAI)


WEEK = 'weekly:\n  mon-fri: ["09:00-12:00", "13:00-18:00"]\n'


@pytest.mark.parametrize(
    ("when", "state"),
    [
        ("2026-11-23T08:59", "closed"),
        ("2026-11-23T09:00", "open"),
        ("2026-11-23T11:59", "open"),
        ("2026-11-23T12:00", "closed"),
        ("2026-11-23T13:00", "open"),
        ("2026-11-22T10:00", "closed"),
    ],
)
def test_weekly_hours_begin_with_their_first_minute_and_end_before_their_last(when: str, state: str) -> None:
    assert calendar(WEEK).at(at(when)).state == state


@pytest.mark.parametrize(
    ("when", "state", "day"),
    [
        ("2026-11-20T21:59", "closed", 20),
        ("2026-11-20T22:00", "open", 20),  # a Friday
        ("2026-11-21T05:59", "open", 20),  # Saturday morning still belongs to Friday's night
        ("2026-11-21T06:00", "closed", 21),
        ("2026-11-21T22:30", "closed", 21),
    ],
)
def test_a_range_across_midnight_belongs_to_the_day_it_begins(when: str, state: str, day: int) -> None:
    decision = calendar('weekly: {fri: ["22:00-06:00"]}\n').at(at(when))
    assert (decision.state, decision.day.day) == (state, day)


def test_china_2026_as_the_state_council_published_it() -> None:
    """国务院办公厅关于2026年部分节假日安排的通知: days off with their weekends, and the Saturdays and Sundays worked."""
    desk = calendar(f"{WEEK}holidays: {{country: CN}}\n")
    off = [("01-01", 3), ("02-15", 9), ("04-04", 3), ("05-01", 5), ("06-19", 3), ("09-25", 3), ("10-01", 7)]
    free = {date.fromisoformat(f"2026-{day}") + timedelta(n) for day, days in off for n in range(days)}
    worked = {date.fromisoformat(f"2026-{day}") for day in ("01-04", "02-14", "02-28", "05-09", "09-20", "10-10")}
    for number in range(365):
        day = date(2026, 1, 1) + timedelta(number)
        decision = desk.at(datetime(day.year, day.month, day.day, 10, tzinfo=SHANGHAI))
        assert (decision.layer == "holiday") == (day in free), (day, decision)
        assert (decision.layer == "make_up_day") == (day in worked), (day, decision)
        assert (decision.state == "open") == (day in worked or (day.weekday() < 5 and day not in free)), (day, decision)


def test_a_year_that_is_not_published_is_said_and_not_guessed() -> None:
    desk = calendar(f"{WEEK}holidays: {{country: CN}}\n")
    assert not desk.unpublished(2026)
    assert desk.unpublished(2040)
    assert not calendar(f"{WEEK}holidays: {{country: DE}}\n").unpublished(2040)  # nothing is swapped there


def test_overrides_win_over_everything() -> None:
    desk = calendar(
        f"{WEEK}holidays: {{country: CN}}\noverrides:\n"
        '  "2026-10-01": {hours: ["10:00-12:00"], why: open house}\n'
        '  "2026-11-23..2026-11-24": {closed: true, why: moving}\n'
    )
    assert desk.at(at("2026-10-01T11:00")).state == "open"
    assert desk.at(at("2026-10-01T13:00")).state == "closed"
    moved = desk.at(at("2026-11-24T10:00"))
    assert (moved.state, moved.layer, moved.why) == ("closed", "override", "moving")
    assert desk.at(at("2026-11-25T10:00")).state == "open"


@pytest.mark.parametrize(
    ("utc", "state"),
    [
        ("2026-03-29T00:30", "closed"),  # 01:30 in Berlin, before the gap
        ("2026-03-29T01:00", "open"),  # 03:00: the hour from 02:00 did not exist
        ("2026-10-25T00:30", "open"),  # 02:30, the first time
        ("2026-10-25T01:30", "open"),  # 02:30, the second time
        ("2026-10-25T03:00", "closed"),  # 04:00
    ],
)
def test_hours_are_wall_clock_hours_when_the_clocks_change(utc: str, state: str) -> None:
    desk = calendar('weekly: {sun: ["02:00-04:00"]}\n', "Europe/Berlin")
    assert desk.at(datetime.fromisoformat(utc).replace(tzinfo=UTC)).state == state


def test_the_next_change() -> None:
    desk = calendar(WEEK)
    assert desk.next_change(at("2026-11-23T10:00")) == at("2026-11-23T12:00")
    assert desk.next_change(at("2026-11-20T19:00")) == at("2026-11-23T09:00")
    assert calendar('weekly: {mon-sun: ["00:00-24:00"]}\n').next_change(at("2026-11-23T10:00")) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("weekly: {mo: ['09:00-12:00']}\n", "not a day of the week"),
        ("weekly: {mon: ['9-12']}\n", "not a valid range of hours"),
        ("weekly: {mon: ['09:00-25:00']}\n", "not a valid range of hours"),
        (WEEK + "overrides: {'2026-13-01': {closed: true}}\n", "not a valid date"),
        (WEEK + "overrides: {'2026-12-02..2026-12-01': {closed: true}}\n", "ends before"),
        (WEEK + "overrides: {'2026-12-01': {closed: true, hours: ['09:00-10:00']}}\n", "either"),
        (WEEK + "time_zone: Asia/Peking\n", "appears twice"),
    ],
)
def test_what_is_no_calendar_says_why(text: str, says: str) -> None:
    with pytest.raises(FileFault, match=says):
        calendar(text)


def test_who_is_on_call() -> None:
    roster = Roster(
        parse(
            load(
                "schema: roster/1\nroster: nights\nduties:\n"
                '  - {who: b, number: "2", days: mon-fri, hours: "18:00-08:00", order: 2}\n'.replace('"2"', '"22"')
                + '  - {who: a, number: "11", order: 1, from: "2026-11-24T00:00+08:00", to: "2026-11-25T00:00+08:00"}\n'
            ),
            RosterFile,
        ),
        SHANGHAI,
    )
    assert roster.on_call(at("2026-11-23T12:00")) == ()
    assert roster.on_call(at("2026-11-23T19:00")) == ("22",)
    assert roster.on_call(at("2026-11-24T07:00")) == ("11", "22")  # Monday's night, and the special turn first
    assert roster.on_call(at("2026-11-28T07:59")) == ("22",)  # Friday's night ends on Saturday morning
    assert roster.on_call(at("2026-11-28T19:00")) == ()


@pytest.mark.parametrize(
    ("when", "began"),
    [
        ("2026-11-20T09:00", "2026-11-20T09:00"),  # a Friday
        ("2026-11-20T11:59", "2026-11-20T09:00"),
        ("2026-11-20T12:00", "2026-11-20T13:00"),
        ("2026-11-20T17:00", "2026-11-20T13:00"),
        ("2026-11-20T18:00", "2026-11-23T09:00"),
        ("2026-11-21T10:00", "2026-11-23T09:00"),
        ("2026-11-20T03:00", "2026-11-20T09:00"),
    ],
)
def test_a_period_begins_with_its_hours_and_what_falls_outside_belongs_to_the_next(when: str, began: str) -> None:
    assert calendar(WEEK).period_began(at(when)) == at(began)
