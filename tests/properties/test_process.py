"""Whatever happens to a process, in whatever order: it is never stranded, never doubles an order, and ends whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import UserId
from ctiserver.model.process.decide import Stale, decide
from ctiserver.model.process.messages import (
    Begin,
    Cancelled,
    CloseRecord,
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
from ctiserver.model.work.work_order import OPEN_STATES, OrderState
from tests.support.dispatch import REPAIR, definitions

INSTALLATION = """
schema: process/1
process: installation
version: 3
for: {type: repair}
start: prepare
any_time:
  cancelled_by_customer: {close: cancelled}
  called_again: {notify: owner, raise_priority: 1, at_most: once a day}
steps:
  prepare:
    all:
      goods: {order: parts, to: {role: storekeeper}, complete_within: 3 days, remind: [50%, 80%]}
      slot: {order: appointment, to: {role: dispatcher}, complete_within: 4 hours}
    on:
      done: visit
      refused: close_unresolved
      backordered: {notify: customer, stay: true, at_most: once a week}
      late: {escalate: supervisor, stay: true}
  visit:
    order: dispatch
    to: {role: technician, skills: "=record.product", region: "=record.site.region"}
    accept_within: 30 minutes
    complete_within: 1 day
    on:
      done: settle
      declined: {go: visit, max: 5, then: dispatcher}
      not_home: {go: prepare, redo: [slot], max: 2, then: owner}
      parts_missing: {go: prepare, redo: [goods], max: 2, then: supervisor}
      refused: close_unresolved
      late: {go: visit, max: 3, then: supervisor}
  settle:
    order: expense
    amount: "=orders.visit.labour"
    payer: "=record.payer"
    to: {role: cashier}
    complete_within: 2 days
    on: {done: follow_up, late: {escalate: supervisor, stay: true}}
  follow_up:
    order: follow_up
    after: 3 days
    to: {role: agent}
    attempts: 3
    on:
      satisfied: close_resolved
      dissatisfied: {go: visit, raise_priority: 1, notify: supervisor, max: 2, then: supervisor}
      unreachable: close_unconfirmed
  close_resolved: {close: resolved}
  close_unconfirmed: {close: unconfirmed}
  close_unresolved: {close: unresolved, notify: owner}
"""
START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


class World(RuleBasedStateMachine):
    """A process, the orders and timers that it asked for, and people who do anything at all."""

    text = REPAIR

    @initialize()
    def begin(self) -> None:
        (self.definition,) = (one.file for one in definitions(self.text).values())
        self.state = ProcessState()
        self.now = START
        self.orders: dict[str, OrderState] = {}
        self.outcomes: dict[str, tuple[str, ...]] = {}
        self.timers: dict[str, datetime] = {}
        self.closings: list[str] = []
        self.late: set[str] = set()  # a supervisor was told of them, and they stay for a person to end
        self.tell(Begin())

    def tell(self, event: Event) -> bool:
        """Whether the event was taken; one that was not must change nothing."""
        before = self.state
        try:
            after, commands = decide(self.definition, self.state, event, self.now, WorkingTime(ZoneInfo("UTC")))
        except Stale:
            assert self.state == before
            return False
        self.state = ProcessState.from_json(after.to_json())
        assert self.state == after  # nothing is lost on the way to the database and back
        for command in commands:
            match command:
                case OpenOrder():
                    assert command.key not in self.orders, "an order's key is never used twice"
                    planned = command.planned_at is not None and command.planned_at > self.now
                    self.orders[command.key] = "draft" if planned else "offered"
                    self.outcomes[command.key] = command.outcomes
                    assert command.outcomes
                case OfferOrder():
                    if self.orders[command.key] == "draft":
                        self.orders[command.key] = "offered"
                case WithdrawOrder():
                    if self.orders[command.key] in OPEN_STATES:
                        self.orders[command.key] = "declined" if command.declined else "cancelled"
                case SetTimer():
                    assert command.due_at > self.now
                    self.timers[command.key] = command.due_at
                case DropTimers():
                    self.timers = {key: at for key, at in self.timers.items() if not key.startswith(command.prefix)}
                case CloseRecord():
                    self.closings.append(command.resolution)
                case MarkLate():
                    assert Notify(whom="supervisor", what="late", key=command.key) in commands or not self.stays()
                    self.late.add(command.key)
                case Notify() | RaisePriority():
                    pass
        return True

    @rule(data=st.data())
    def somebody_accepts(self, data: st.DataObject) -> None:
        offered = sorted(key for key, state in self.orders.items() if state == "offered")
        if offered:
            self.orders[data.draw(st.sampled_from(offered))] = "accepted"

    @rule(data=st.data(), who=st.sampled_from(["a", "b"]))
    def somebody_reports(self, data: st.DataObject, who: str) -> None:
        """An open order comes to any of its outcomes; the news of it reaches the process, perhaps twice."""
        doable = sorted(key for key, state in self.orders.items() if state in ("offered", "accepted", "on_hold"))
        if not doable:
            return
        key = data.draw(st.sampled_from(doable))
        good = [one for one in ("done", "dissatisfied") if one in self.outcomes[key]]
        outcome = data.draw(st.sampled_from([*good * 4, *self.outcomes[key], "declined"]))
        self.orders[key] = "declined" if outcome == "declined" else "done"
        event = OrderEnded(key=key, outcome=outcome, by=UserId(who), result={"labour": "12.50"})
        assert self.tell(event)
        assert not self.tell(event), "the same news a second time changes nothing"

    @rule(data=st.data())
    def somebody_holds_and_resumes(self, data: st.DataObject) -> None:
        accepted = sorted(key for key, state in self.orders.items() if state == "accepted")
        if accepted:
            self.tell(OrderDueAnew(key=data.draw(st.sampled_from(accepted)), due_at=self.now + timedelta(days=1)))

    @precondition(lambda self: self.timers)
    @rule()
    def the_next_timer_fires(self) -> None:
        key = min(self.timers, key=lambda one: (self.timers[one], one))
        self.now = max(self.now, self.timers.pop(key))
        self.tell(TimerFired(key=key, order_state=self.orders.get(key.partition(":")[0])))

    @rule(minutes=st.integers(1, 100))
    def time_passes(self, minutes: int) -> None:
        earliest = min(self.timers.values(), default=None)
        later = self.now + timedelta(minutes=minutes)
        self.now = later if earliest is None else max(self.now, min(later, earliest - timedelta(seconds=1)))

    @rule(name=st.sampled_from(["called_again", "cancelled_by_customer", "nonsense"]), sure=st.integers(0, 9))
    def something_happens(self, name: str, sure: int) -> None:
        if name != "cancelled_by_customer" or sure == 0:
            self.tell(Happened(name=name))

    @rule(sure=st.integers(0, 19))
    def somebody_calls_it_off(self, sure: int) -> None:
        if sure == 0:
            self.tell(Cancelled(reason="mistake"))

    @rule(key=st.sampled_from(["visit/99", "nothing/1", "visit/1:late", ""]))
    def news_of_what_never_was(self, key: str) -> None:
        if key not in self.orders:
            assert not self.tell(OrderEnded(key=key, outcome="done"))

    def stays(self) -> bool:
        late = self.definition.steps[self.state.step].on.get("late")
        return late is not None and late.stay

    @invariant()
    def nothing_is_stranded(self) -> None:
        if not hasattr(self, "state"):
            return
        open_orders = {key for key, state in self.orders.items() if state in OPEN_STATES}
        if self.state.closed is None:
            assert open_orders, "somebody has something to do"
            for key in open_orders - self.late:
                assert any(timer.startswith(f"{key}:") for timer in self.timers), f"{key} is waited for without an end"
            assert self.closings == []
        else:
            assert (open_orders, self.timers, self.closings) == (set(), {}, [self.state.closed])


class InstallationWorld(World):
    text = INSTALLATION


TestRepair = pytest.mark.timeout(120)(World.TestCase)
TestRepair.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
TestInstallation = pytest.mark.timeout(120)(InstallationWorld.TestCase)
TestInstallation.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
