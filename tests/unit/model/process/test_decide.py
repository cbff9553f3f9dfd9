"""What a definition means, one rule a test. (That nothing is ever stranded: tests/properties/test_process.py.)"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import pytest

from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import UserId
from ctiserver.model.process.decide import Stale, decide
from ctiserver.model.process.messages import (
    Begin,
    CloseRecord,
    Command,
    DropTimers,
    Event,
    Happened,
    MarkLate,
    Notify,
    OfferOrder,
    OpenOrder,
    OrderDueAnew,
    OrderEnded,
    RaisePriority,
    SetTimer,
    TimerFired,
    WithdrawOrder,
)
from ctiserver.model.process.state import ProcessState
from ctiserver.model.work.work_order import OrderState
from tests.support.dispatch import definitions

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
HEAD = "schema: process/1\nprocess: p\nversion: 1\nfor: {type: repair}\nstart: one\n"
C = TypeVar("C", bound=Command)


class Case:
    """A process under way: tell it something, look at what it wants."""

    def __init__(self, steps: str, head: str = HEAD) -> None:
        (found,) = definitions(head + steps).values()
        self.definition = found.file
        self.state = ProcessState()
        self.now = NOW
        self.commands: tuple[Command, ...] = ()
        self.tell(Begin())

    def tell(self, event: Event, after: timedelta = timedelta()) -> None:
        self.now += after
        self.state, self.commands = decide(self.definition, self.state, event, self.now, WorkingTime(ZoneInfo("UTC")))

    def ended(self, key: str, outcome: str, by: str = "mia") -> None:
        self.tell(OrderEnded(key=key, outcome=outcome, by=UserId(by)))

    def fired(self, key: str, order_state: OrderState = "offered") -> None:
        self.tell(TimerFired(key=key, order_state=order_state))

    def all(self, kind: type[C]) -> list[C]:
        return [command for command in self.commands if isinstance(command, kind)]

    def opened(self) -> list[str]:
        return [command.key for command in self.all(OpenOrder)]


PARALLEL = """
steps:
  one:
    all:
      goods: {order: parts, to: {role: storekeeper}, complete_within: 3 days}
      slot: {order: appointment, to: {role: dispatcher}, complete_within: 4 hours}
    on:
      done: two
      refused: end
      backordered: {notify: customer, stay: true, at_most: once a week}
      late: {escalate: supervisor, stay: true}
  two:
    order: dispatch
    to: {role: technician}
    accept_within: 30 minutes
    complete_within: 1 day
    remind: [50%]
    on:
      done: end
      declined: {go: two, max: 2, then: dispatcher}
      not_home: {go: one, redo: [slot], max: 1, then: end}
      late: {go: two, max: 1, then: supervisor}
  end: {close: resolved, notify: owner}
"""


def at_two() -> Case:
    case = Case(PARALLEL)
    case.ended("goods/1", "done")
    case.ended("slot/1", "done")
    return case


def test_a_step_waits_for_all_its_orders() -> None:
    case = Case(PARALLEL)
    assert case.opened() == ["goods/1", "slot/1"]
    case.ended("goods/1", "done")
    assert case.commands == (DropTimers(prefix="goods/1:"),)
    case.ended("slot/1", "done")
    assert case.opened() == ["two/1"]


def test_what_is_left_open_is_withdrawn_with_a_reason() -> None:
    case = Case(PARALLEL)
    case.ended("slot/1", "refused")
    assert case.all(WithdrawOrder) == [WithdrawOrder(key="goods/1", reason="refused of slot")]
    assert case.all(CloseRecord) == [CloseRecord(resolution="resolved")]
    assert case.all(Notify) == [Notify(whom="owner", what="resolved")]


def test_redo_makes_only_the_named_order_anew() -> None:
    case = at_two()
    case.ended("two/1", "not_home")
    assert case.opened() == ["slot/2"]
    case.ended("slot/2", "done")
    assert case.opened() == ["two/2"]


def test_a_loop_ends_where_then_says() -> None:
    case = at_two()
    case.ended("two/1", "not_home")
    case.ended("slot/2", "done")
    case.ended("two/2", "not_home")
    assert case.state.closed == "resolved"


def test_a_loop_that_ends_at_a_role_gives_it_the_order_by_hand() -> None:
    case = at_two()
    for key in ("two/1", "two/2", "two/3"):
        case.ended(key, "declined", by=key)
    (order,) = case.all(OpenOrder)
    assert (order.key, order.role, order.choose, order.accept_by) == ("two/4", "dispatcher", "anybody", None)


def test_who_declined_is_not_asked_again() -> None:
    case = at_two()
    case.ended("two/1", "declined", by="mia")
    case.ended("two/2", "declined", by="tom")
    assert case.all(OpenOrder)[0].avoid == ("mia", "tom")


def test_an_offer_that_nobody_takes_counts_as_declined() -> None:
    case = at_two()
    assert SetTimer(key="two/1:unaccepted", due_at=NOW + timedelta(minutes=30)) in case.commands
    case.fired("two/1:unaccepted")
    assert case.all(WithdrawOrder) == [WithdrawOrder(key="two/1", reason="not_accepted", declined=True)]
    assert case.opened() == ["two/2"]


def test_an_offer_that_was_taken_is_left_alone() -> None:
    case = at_two()
    case.fired("two/1:unaccepted", "accepted")
    assert case.commands == ()


def test_a_reminder_goes_to_whoever_has_the_order() -> None:
    case = at_two()
    assert SetTimer(key="two/1:remind50", due_at=NOW + timedelta(hours=12)) in case.commands
    case.fired("two/1:remind50", "started")
    assert case.commands == (Notify(whom="assignee", what="reminder", key="two/1"),)


def test_late_and_stay_tells_a_supervisor_and_waits() -> None:
    case = Case(PARALLEL)
    case.fired("slot/1:late")
    assert case.commands == (MarkLate(key="slot/1"), Notify(whom="supervisor", what="late", key="slot/1"))
    case.ended("slot/1", "done")


def test_late_and_go_takes_the_order_away() -> None:
    case = at_two()
    case.fired("two/1:late", "accepted")
    assert case.all(WithdrawOrder) == [WithdrawOrder(key="two/1", reason="late")]
    assert case.opened() == ["two/2"]


@pytest.mark.parametrize("order_state", ["done", "declined", "on_hold"])
def test_late_is_not_said_of_an_order_that_is_over_or_stands_still(order_state: OrderState) -> None:
    case = at_two()
    case.fired("two/1:late", order_state)
    assert case.commands == ()


def test_a_clock_that_stood_still_is_due_later() -> None:
    case = at_two()
    due = NOW + timedelta(days=2)
    case.tell(OrderDueAnew(key="two/1", due_at=due))
    assert case.commands == (DropTimers(prefix="two/1:late"), SetTimer(key="two/1:late@20261123T080000", due_at=due))
    case.fired("two/1:late@20261123T080000", "accepted")
    assert case.opened() == ["two/2"]


def test_a_report_that_stays_keeps_the_order_open_and_tells_once_a_week() -> None:
    case = Case(PARALLEL)
    case.ended("goods/1", "backordered")
    (order,) = case.all(OpenOrder)
    assert (order.key, order.same_as) == ("goods/2", "goods/1")
    assert case.all(Notify) == [Notify(whom="customer", what="backordered", key="goods/1")]
    case.now += timedelta(days=6)
    case.ended("goods/2", "backordered")
    assert case.all(Notify) == []
    case.now += timedelta(days=2)
    case.ended("goods/3", "backordered")
    assert len(case.all(Notify)) == 1


FOLLOW_UP = """
any_time:
  called_again: {notify: owner, raise_priority: 2, at_most: once a day}
  gave_up: {close: cancelled}
steps:
  one:
    order: follow_up
    to: {role: agent}
    after: 3 days
    attempts: 2
    retry_after: 4 hours
    on:
      satisfied: good
      dissatisfied: {go: one, raise_priority: 1, notify: supervisor, max: 1, then: good}
      unreachable: unknown
  good: {close: resolved}
  unknown: {close: unconfirmed}
"""


def test_a_planned_order_is_offered_when_its_time_comes() -> None:
    case = Case(FOLLOW_UP)
    (order,) = case.all(OpenOrder)
    assert order.planned_at == NOW + timedelta(days=3)
    case.now += timedelta(days=3)
    case.fired("one/1:begin", "draft")
    assert case.commands == (OfferOrder(key="one/1"),)


def test_an_attempt_that_reaches_nobody_is_tried_again_later() -> None:
    case = Case(FOLLOW_UP)
    case.now += timedelta(days=3)
    case.ended("one/1", "unreachable")
    (order,) = case.all(OpenOrder)
    assert (order.key, order.attempt, order.planned_at) == ("one/2", 2, NOW + timedelta(days=3, hours=4))
    case.ended("one/2", "unreachable")
    assert case.state.closed == "unconfirmed"


def test_an_attempt_that_nobody_makes_ends_by_itself() -> None:
    case = Case(FOLLOW_UP)
    assert SetTimer(key="one/1:attempt", due_at=NOW + timedelta(days=3, hours=4)) in case.commands
    case.fired("one/1:attempt")
    assert case.all(WithdrawOrder) == [WithdrawOrder(key="one/1", reason="unreachable")]
    assert case.opened() == ["one/2"]


def test_a_complaint_raises_the_record() -> None:
    case = Case(FOLLOW_UP)
    case.ended("one/1", "dissatisfied")
    assert case.all(RaisePriority) == [RaisePriority(by=1)]
    assert case.all(Notify) == [Notify(whom="supervisor", what="dissatisfied", key="one/1")]


def test_a_repeat_call_tells_the_owner_once_a_day_and_opens_nothing() -> None:
    case = Case(FOLLOW_UP)
    case.tell(Happened(name="called_again"))
    assert case.commands == (Notify(whom="owner", what="called_again"), RaisePriority(by=2))
    case.tell(Happened(name="called_again"), after=timedelta(hours=23))
    assert case.commands == ()
    case.tell(Happened(name="called_again"), after=timedelta(hours=1))
    assert len(case.commands) == 2


def test_what_comes_too_late_is_stale() -> None:
    case = Case(FOLLOW_UP)
    with pytest.raises(Stale, match="begun already"):
        case.tell(Begin())
    with pytest.raises(Stale, match="does not know"):
        case.tell(Happened(name="nonsense"))
    case.tell(Happened(name="gave_up"))
    assert case.all(WithdrawOrder) == [WithdrawOrder(key="one/1", reason="gave_up")]
    for event in (
        OrderEnded(key="one/1", outcome="satisfied"),
        TimerFired(key="one/1:begin", order_state="cancelled"),
        Happened(name="called_again"),
    ):
        with pytest.raises(Stale, match="closed"):
            case.tell(event)


def test_redo_of_a_step_never_seen_opens_all_of_it() -> None:
    case = Case(PARALLEL, head=HEAD.replace("start: one", "start: two"))
    case.ended("two/1", "not_home")
    assert case.opened() == ["goods/1", "slot/1"]


SURVEY = """
steps:
  one:
    order: follow_up
    by: [{call: satisfaction}, {person: owner}]
    within: {calendar: desk}
    attempts: 2
    retry_after: 4 hours
    on: {satisfied: end, dissatisfied: end, unreachable: end}
  end: {close: resolved}
"""


def opened(case: Case) -> OpenOrder:
    (order,) = (command for command in case.commands if isinstance(command, OpenOrder))
    return order


def test_a_call_that_reaches_nobody_is_made_again_and_then_given_to_a_person() -> None:
    case = Case(SURVEY)
    first = opened(case)
    assert (first.call, first.role, first.within, first.attempt) == ("satisfaction", "server", "desk", 1)
    case.ended("one/1", "unreachable")
    second = opened(case)
    assert (second.call, second.planned_at, second.attempt) == ("satisfaction", NOW + timedelta(hours=4), 2)
    case.ended("one/2", "unreachable")
    person = opened(case)
    assert (person.call, person.role, person.attempt, person.planned_at) == (None, "owner", 1, NOW)
    case.ended("one/3", "unreachable")
    assert opened(case).same_as == "one/3"
    case.ended("one/4", "unreachable")
    assert case.state.closed == "resolved"


def test_a_call_is_not_taken_back_when_the_next_one_would_be_due() -> None:
    case = Case(SURVEY)
    lasts = {command.key: command.due_at for command in case.commands if isinstance(command, SetTimer)}
    assert lasts == {"one/1:attempt": NOW + timedelta(days=1)}


@pytest.mark.parametrize(("give_up", "then"), [("way", "owner"), ("all", None)])
def test_a_way_that_is_of_no_use_is_not_tried_again(give_up: str, then: str | None) -> None:
    case = Case(SURVEY)
    case.tell(OrderEnded(key="one/1", outcome="unreachable", result={"give_up": give_up}))
    assert [command.role for command in case.commands if isinstance(command, OpenOrder)] == ([then] if then else [])
    assert case.state.closed == (None if then else "resolved")


AGREED = """
steps:
  one:
    all:
      slot: {order: appointment, to: {role: dispatcher}, complete_within: 1 day, window: 2h}
    on: {done: two, late: {escalate: supervisor, stay: true}}
  two:
    order: dispatch
    to: {role: technician}
    at: "=slot.window"
    complete_within: 2 hours
    on: {done: end, late: {escalate: supervisor, stay: true}}
  end: {close: resolved}
"""


@pytest.mark.parametrize(
    ("window", "planned"),
    [
        ("2026-11-22T09:00+00:00/2026-11-22T11:00+00:00", datetime(2026, 11, 22, 9, tzinfo=UTC)),
        ("2026-11-22T09:00", datetime(2026, 11, 22, 9, tzinfo=UTC)),
        ("2026-11-20T09:00+00:00", None),  # over already
        ("in the morning", None),
        (None, None),
    ],
)
def test_a_visit_is_planned_for_what_was_agreed(window: str | None, planned: datetime | None) -> None:
    case = Case(AGREED)
    assert opened(case).window_s == 7200
    case.tell(OrderEnded(key="slot/1", outcome="done", result={} if window is None else {"window": window}))
    visit = opened(case)
    assert visit.planned_at == planned
    assert visit.due_at == (planned or NOW) + timedelta(hours=2)
