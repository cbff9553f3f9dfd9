"""Who gets an order: one rule a test, and what speaks against each of the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ctiserver.model.calendar.opening_hours import Calendar, CalendarFile
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import UserId
from ctiserver.model.person import User
from ctiserver.model.work.assignment import AssignmentRequest, AssignmentRules
from tests.support.rows import a_user

ZONE = ZoneInfo("Asia/Shanghai")
#: A Monday, 10:00 in Shanghai.
NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def hours(name: str, **weekly: tuple[str, ...]) -> Calendar:
    """A calendar with these weekly hours."""
    days = {day.replace("_", "-"): list(spans) for day, spans in weekly.items()}
    file = CalendarFile.model_validate({"schema": "calendar/1", "calendar": name, "weekly": days}, strict=False)
    return Calendar(file, ZONE)


TIME = WorkingTime(
    ZONE, {"days": hours("days", mon_fri=("08:00-17:00",)), "nights": hours("nights", mon_sun=("20:00-04:00",))}
)


def rules(**load: int) -> AssignmentRules:
    return AssignmentRules(TIME, {UserId(login): count for login, count in load.items()})


def somebody(login: str, **changes: Any) -> User:
    """A technician whose id is their log-in."""
    return a_user(login, role="technician", **{"id": UserId(login), **changes})


def wish(**changes: Any) -> AssignmentRequest:
    return replace(AssignmentRequest(begin=NOW, latest=NOW), **changes)


def reasons(people: list[User], asked: AssignmentRequest, how: AssignmentRules | None = None) -> dict[str, str]:
    return {one.login: one.reason for one in (how or rules()).choose(people, asked).considered}


def test_the_fitting_person_with_the_fewest_orders_is_chosen_and_everybody_explained() -> None:
    people = [
        somebody("busy", skills=("boiler", "gas")),
        somebody("idle", skills=("boiler",)),
        somebody("north", regions=("north",), skills=("boiler",)),
        somebody("left", active=False),
        somebody("plumber", skills=("pipes",)),
        somebody("tired"),
        somebody("ill", away_until=NOW + timedelta(hours=1)),
        somebody("sleeper", calendar="nights"),
        somebody("seller", department="sales"),
    ]
    asked = wish(skills=["boiler"], region="south", avoid=[UserId("tired")])
    found = rules(busy=3, idle=1, seller=2).choose(people, asked)
    assert found.user == "idle"
    assert {one.login: one.reason for one in found.considered} == {
        "idle": "chosen",
        "busy": "has_more_orders",
        "north": "other_region",
        "left": "not_active",
        "plumber": "lacks_skill",
        "tired": "declined_before",
        "ill": "away",
        "sleeper": "off_hours",
        "seller": "has_more_orders",
    }
    assert found.considered[0].to_json() == {"login": "idle", "name": "Idle", "open_orders": 1, "reason": "chosen"}


def test_of_equals_the_first_by_name_and_of_none_nobody() -> None:
    people = [somebody("b"), somebody("a")]
    assert rules().choose(people, wish()).user == "a"
    assert rules(a=1).choose(people, wish()).user == "b"
    assert rules().choose([], wish()).user is None
    assert rules().choose(people, wish(avoid=["a", "b"])).user is None


def test_a_department_is_ones_own_or_not() -> None:
    people = [somebody("a"), somebody("b", department="north"), somebody("c", department="south")]
    assert reasons(people, wish(department="south")) == {
        "c": "chosen",
        "a": "other_department",
        "b": "other_department",
    }
    assert rules().choose(people, wish()).user == "a"


def test_every_skill_that_is_asked_for_is_needed_but_one_who_names_none_has_all() -> None:
    people = [somebody("a", skills=("gas",)), somebody("b", skills=("gas", "boiler")), somebody("c")]
    asked = wish(skills=["boiler", "gas"])
    assert reasons(people, asked) == {"b": "chosen", "a": "lacks_skill", "c": "has_more_orders"}
    assert rules(b=1).choose(people, asked).user == "c"


def test_one_without_regions_goes_everywhere_and_an_order_without_one_is_for_all() -> None:
    people = [somebody("a", regions=("north",)), somebody("b"), somebody("c", regions=("north", "south"))]
    assert reasons(people, wish(region="south"))["a"] == "other_region"
    assert rules().choose(people, wish()).user == "a"
    assert rules(b=1).choose(people, wish(region="south")).user == "c"


@pytest.mark.parametrize(
    ("begin", "latest", "calendar", "reason"),
    [
        ("2026-11-23T10:00+08:00", "2026-11-23T10:00+08:00", "days", "chosen"),
        # an appointment at seven in the evening is not for those who go home at five
        ("2026-11-23T19:00+08:00", "2026-11-23T19:00+08:00", "days", "off_hours"),
        # but what has to be done by tomorrow noon can wait for their morning
        ("2026-11-23T19:00+08:00", "2026-11-24T12:00+08:00", "days", "chosen"),
        ("2026-11-23T19:00+08:00", "2026-11-24T07:59+08:00", "days", "off_hours"),
        ("2026-11-28T10:00+08:00", "2026-11-29T23:00+08:00", "days", "off_hours"),
        ("2026-11-24T02:00+08:00", "2026-11-24T02:00+08:00", "nights", "chosen"),
        ("2026-11-24T02:00+08:00", "2026-11-24T02:00+08:00", "", "chosen"),
        # a calendar that is gone keeps nobody from working
        ("2026-11-24T02:00+08:00", "2026-11-24T02:00+08:00", "gone", "chosen"),
    ],
)
def test_somebody_is_at_work_when_there_is_something_to_do(begin: str, latest: str, calendar: str, reason: str) -> None:
    asked = wish(begin=datetime.fromisoformat(begin), latest=datetime.fromisoformat(latest))
    assert reasons([somebody("a", calendar=calendar)], asked) == {"a": reason}


def test_who_is_ill_gets_nothing_before_they_are_back() -> None:
    ill = somebody("a", away_until=NOW + timedelta(days=2))
    assert reasons([ill], wish()) == {"a": "away"}
    later = NOW + timedelta(days=2)
    assert reasons([ill], wish(begin=later, latest=later)) == {"a": "chosen"}


def test_who_did_it_before_has_it_again_whatever_their_load_unless_something_speaks_against_them() -> None:
    people = [somebody("a"), somebody("b")]
    asked = wish(sticky=UserId("b"))
    found = rules(b=9).choose(people, asked)
    assert (found.user, found.sticky) == ("b", True)
    assert {one.login: one.reason for one in found.considered} == {"b": "sticky", "a": "somebody_did_it_before"}
    again = rules(b=9).choose(people, replace(asked, avoid=[UserId("b")]))
    assert (again.user, again.sticky) == ("a", False)
    gone = rules().choose(people, wish(sticky=UserId("gone")))
    assert (gone.user, gone.sticky) == ("a", False)


def test_by_hand_it_goes_to_whom_it_is_given_and_what_speaks_against_it_is_kept() -> None:
    people = [somebody("a", skills=("pipes",)), somebody("b"), somebody("c", active=False)]
    found = rules(a=2).given(people, wish(skills=["gas"]), people[0])
    assert found.user == "a"
    assert [one.to_json() for one in found.considered] == [
        {"login": "a", "name": "A", "open_orders": 2, "reason": "by_hand", "against": "lacks_skill"},
        {"login": "b", "name": "B", "open_orders": 0, "reason": "fits"},
        {"login": "c", "name": "C", "open_orders": 0, "reason": "not_active"},
    ]
    boss = somebody("boss")
    assert rules().given(people, wish(), boss).considered[0].login == "boss"
