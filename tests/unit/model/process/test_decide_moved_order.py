"""What a process makes of an order that a dispatcher gave to somebody else or planned again."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from ctiserver.model.process.decide import Stale
from ctiserver.model.process.messages import OpenOrder, OrderEnded, OrderMoved, SetDeadlines, SetTimer
from ctiserver.model.process.state import ProcessState
from tests.unit.model.process.test_decide import HEAD, NOW, Case

HOUR = timedelta(hours=1)
#: A visit for the agreed time, and one that is to be made so many hours after the customer's call.
AGREED = """
steps:
  one:
    order: appointment
    to: {role: dispatcher}
    complete_within: 1 day
    on: {done: visit, late: {escalate: supervisor, stay: true}}
  visit:
    order: dispatch
    at: "=one.window"
    to: {role: technician}
    accept_within: 30 minutes
    complete_within: 4 hours
    remind: [50%]
    on:
      done: close
      declined: {go: visit, max: 2, then: dispatcher}
      not_home: {go: visit, max: 2, then: dispatcher}
      late: {escalate: supervisor, stay: true}
  close: {close: resolved}
"""
PROMISED = """
steps:
  one:
    order: dispatch
    to: {role: technician}
    accept_within: 30 minutes
    complete_within: 4 hours
    on: {done: close, declined: {go: one, max: 2, then: dispatcher}, late: {escalate: supervisor, stay: true}}
  close: {close: resolved}
"""


def agreed(at: datetime) -> Case:
    """A process whose visit is planned for ``at``."""
    case = Case(AGREED, HEAD)
    case.tell(OrderEnded(key="one/1", outcome="done", result={"window": at.isoformat()}))
    [visit] = case.all(OpenOrder)
    assert visit.planned_at == at
    return case


def timers(case: Case) -> dict[str, datetime]:
    return {timer.key: timer.due_at for timer in case.all(SetTimer)}


def test_what_is_planned_for_another_time_has_every_deadline_anew() -> None:
    case = agreed(NOW + 5 * HOUR)
    at = NOW + 24 * HOUR
    case.tell(OrderMoved(key="visit/1", revision=2, order_state="draft", planned_at=at))
    assert timers(case) == {
        "visit/1:begin@2": at,
        "visit/1:unaccepted@2": at + HOUR / 2,
        "visit/1:remind50@2": at + 2 * HOUR,
        "visit/1:late@2": at + 4 * HOUR,
    }
    assert case.all(SetDeadlines) == [SetDeadlines(key="visit/1", accept_by=at + HOUR / 2, due_at=at + 4 * HOUR)]
    # Back to where it was: the timers have keys of their own, or the second move would be lost.
    case.tell(OrderMoved(key="visit/1", revision=3, order_state="draft", planned_at=NOW + 5 * HOUR))
    assert timers(case)["visit/1:begin@3"] == NOW + 5 * HOUR


def test_who_is_given_an_order_has_the_whole_time_to_accept_it_and_nothing_else_changes() -> None:
    case = Case(PROMISED, HEAD)
    case.now += HOUR
    case.tell(OrderMoved(key="one/1", revision=4, order_state="offered"))
    assert timers(case) == {"one/1:unaccepted@4": NOW + 1.5 * HOUR}
    assert case.all(SetDeadlines) == [SetDeadlines(key="one/1", accept_by=NOW + 1.5 * HOUR)]
    case.tell(OrderMoved(key="one/1", revision=5, order_state="started"))
    assert case.commands == ()


def test_a_deadline_that_counts_from_the_customers_call_does_not_move() -> None:
    case = Case(PROMISED, HEAD)
    case.tell(OrderMoved(key="one/1", revision=2, order_state="accepted", planned_at=NOW + 24 * HOUR))
    assert timers(case) == {}
    assert case.all(SetDeadlines) == []


def test_who_declines_hands_it_on_for_the_time_that_it_was_moved_to() -> None:
    at = NOW + 24 * HOUR
    case = agreed(NOW + 5 * HOUR)
    case.tell(OrderMoved(key="visit/1", revision=2, order_state="draft", planned_at=at))
    case.state = ProcessState.from_json(case.state.to_json())
    case.ended("visit/1", "declined")
    assert [order.planned_at for order in case.all(OpenOrder)] == [at]
    # but after any other outcome the time is planned again as the definition says
    case.ended("visit/2", "not_home")
    assert [order.planned_at for order in case.all(OpenOrder)] == [NOW + 5 * HOUR]


def test_what_is_over_can_not_be_moved() -> None:
    case = Case(PROMISED, HEAD)
    case.ended("one/1", "declined")
    with pytest.raises(Stale):
        case.tell(OrderMoved(key="one/1", revision=2, order_state="offered"))
