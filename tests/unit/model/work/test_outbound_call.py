"""Whether a call may be made now, and what it comes to."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ctiserver.model.ids import PbxName, RecordId, Uniqueid, WorkOrderId, call_id
from ctiserver.model.work.outbound_call import Limits, Spent, came_to, channel_id, held_up, pace, sampled, talk_minutes

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIMITS = Limits(calls_per_s=2, at_once=3, minutes_a_day=10, money_a_day=Decimal("1.00"), price_a_minute=Decimal("0.10"))


@pytest.mark.parametrize(
    ("just_now", "going_on", "minutes", "money", "by"),
    [
        (0, 0, 0, "0", None),
        (1, 2, 7, "0.70", None),
        (2, 0, 0, "0", "pace"),
        (0, 3, 0, "0", "at_once"),
        (0, 2, 8, "0", "minutes"),
        (0, 0, 10, "0", "minutes"),
        (0, 0, 0, "0.91", "money"),
        (0, 1, 0, "0.81", "money"),
        (0, 0, 0, "0.90", None),
    ],
)
def test_limits_hold_for_what_goes_on_too(
    just_now: int, going_on: int, minutes: int, money: str, by: str | None
) -> None:
    spent = Spent(just_now=just_now, going_on=going_on, minutes_today=minutes, money_today=Decimal(money))
    assert held_up(LIMITS, spent) == by


@pytest.mark.parametrize(
    ("calls_per_s", "calls", "seconds"), [(0.1, 1, 10), (1, 1, 1), (1.5, 1, 2 / 3), (2.5, 2, 0.8), (50, 50, 1)]
)
def test_a_pace_is_so_many_in_so_long(calls_per_s: float, calls: int, seconds: float) -> None:
    found = pace(calls_per_s)
    assert found[0] == calls
    assert found[1].total_seconds() == pytest.approx(seconds)


def test_a_sample_is_drawn_by_the_record_and_as_large_as_asked() -> None:
    records = [RecordId(f"record {number}") for number in range(2000)]
    assert not any(sampled(record, "satisfaction", 0) for record in records)
    assert all(sampled(record, "satisfaction", 100) for record in records)
    third = {record for record in records if sampled(record, "satisfaction", 33)}
    assert 600 < len(third) < 720
    assert third <= {record for record in records if sampled(record, "satisfaction", 50)}
    assert third != {record for record in records if sampled(record, "another", 33)}


def test_the_channel_tells_when_it_was_asked_for() -> None:
    order = WorkOrderId("01M80AS5G14PBJFDWKXTBFQFKX")
    assert channel_id(order, 2, NOW) == "01M80AS5G14PBJFDWKXTBFQFKX-1795435200.2"
    later = call_id(PbxName("main"), Uniqueid(channel_id(order, 1, NOW + timedelta(seconds=1))))
    assert call_id(PbxName("main"), Uniqueid(channel_id(order, 1, NOW))) < later


@pytest.mark.parametrize(
    ("told", "follow_up", "survey"),
    [
        ("answered", "satisfied", "done"),
        ("dissatisfied", "dissatisfied", "done"),
        ("refused", "unreachable", "refused"),
        ("unanswered", "unreachable", "unreachable"),
        (None, "unreachable", "unreachable"),
    ],
)
def test_what_a_call_comes_to(told: str | None, follow_up: str, survey: str) -> None:
    assert (came_to("follow_up", told), came_to("survey", told)) == (follow_up, survey)


@pytest.mark.parametrize(("seconds", "minutes"), [(0, 1), (1, 1), (60, 1), (61, 2), (120, 2)])
def test_begun_minutes_count(seconds: int, minutes: int) -> None:
    assert talk_minutes(NOW, NOW + timedelta(seconds=seconds)) == minutes
    assert talk_minutes(None, NOW) == 0
