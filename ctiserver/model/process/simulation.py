"""A process on a virtual clock: people and deadlines played, nothing kept. Tests beside definitions run on it.

```yaml
tests:
  - name: nobody home, then done
    clock: "2026-11-23T10:00+08:00"
    steps:
      - answer: {dispatch: not_home}
      - answer: {dispatch: done}
      - wait: 3 days
      - answer: {follow_up: satisfied}
    then: {closed: resolved, orders: {dispatch: 2, follow_up: 1}}
```
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from pydantic import Field, model_validator

from ctiserver.model.calendar.span import Span, SpanField, WorkingTime
from ctiserver.model.ids import UserId
from ctiserver.model.process.decide import Stale, decide
from ctiserver.model.process.definition import ProcessFile
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
    OrderEnded,
    RaisePriority,
    SetDeadlines,
    SetTimer,
    TimerFired,
    WithdrawOrder,
)
from ctiserver.model.process.state import ProcessState
from ctiserver.model.work.work_order import OPEN_STATES, OrderState
from ctiserver.strict_yaml import Name, Written


class Act(Written):
    """One thing that happens in a test: exactly one of these."""

    accept: Name | None = None  #: somebody takes this order on
    answer: Annotated[dict[Name, Name], Field(min_length=1, max_length=1)] | None = (
        None  #: an order comes to an outcome
    )
    happens: Name | None = None  #: an event of ``any_time``
    wait: SpanField | None = None  #: time passes, and with it deadlines

    @model_validator(mode="after")
    def _one(self) -> Act:
        if sum(value is not None for value in (self.accept, self.answer, self.happens, self.wait)) != 1:
            raise ValueError("write exactly one of accept:, answer:, happens:, wait:")
        return self


class Then(Written):
    """What must hold at the end; what is not named is not looked at."""

    closed: Name | None = None
    open: tuple[Name, ...] | None = None  #: the orders that are open, by name
    planned: tuple[Name, ...] = ()  #: open ones whose time has not come
    orders: dict[Name, int] | None = None  #: how many of each were made
    told: tuple[Name, ...] = ()  #: people who must have been told something
    late: tuple[Name, ...] = ()
    priority: int | None = None  #: by how much the record was raised
    role: dict[Name, Name] | None = None  #: whose inbox an open order is in


class Case(Written):
    """One test."""

    name: str
    clock: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?([+-]\d\d:\d\d|Z)$")]
    steps: tuple[Act, ...]
    then: Then


class CasesFile(Written):
    """``NAME.test.yaml`` beside ``NAME.yaml``"""

    tests: tuple[Case, ...]


class Impossible(ValueError):
    """A test asks for what can't happen at that point."""


@dataclass(frozen=True, slots=True)
class PlayedOrder:
    """A work order in the simulation."""

    opened: OpenOrder
    state: OrderState
    late: bool = False


class Simulation:
    """One life of a process."""

    def __init__(self, definition: ProcessFile, time: WorkingTime, start: datetime) -> None:
        self.definition = definition
        self.now = start
        self.state = ProcessState()
        self.orders: dict[str, PlayedOrder] = {}
        self.told: list[Notify] = []
        self.priority = 0
        self.resolution: str | None = None
        self.covered: set[str] = set()  #: ``step.outcome`` for each way gone; ``step.outcome>`` for its ``then``
        self._time = time
        self._timers: dict[str, datetime] = {}
        self._tell(Begin())

    def accept(self, slot: str) -> None:
        """Somebody takes the slot's order on. Raises Impossible."""
        key, order = self._open(slot)
        if order.state != "offered":
            raise Impossible(f"{slot} is {order.state}; it can't be accepted")
        self.orders[key] = replace(order, state="accepted")

    def answer(self, slot: str, outcome: str) -> None:
        """The slot's order comes to an outcome, each time by somebody else. Raises Impossible."""
        key, order = self._open(slot)
        if order.state == "draft":
            raise Impossible(f"{slot} is planned for {order.opened.planned_at}; not assigned yet")
        if outcome not in (*order.opened.outcomes, "declined"):
            raise Impossible(f"{slot} can't come to {outcome}; it can come to {', '.join(order.opened.outcomes)}")
        self.orders[key] = replace(order, state="declined" if outcome == "declined" else "done")
        self._tell(OrderEnded(key=key, outcome=outcome, by=UserId(f"person {len(self.orders)}")))

    def happens(self, name: str) -> None:
        """An event of ``any_time``. Raises Impossible if the definition has none of that name, or it is closed."""
        try:
            self._tell(Happened(name=name))
        except Stale as stale:
            raise Impossible(str(stale)) from None
        self.covered.add(f"any_time.{name}")

    def wait(self, span: Span) -> None:
        """Let time pass; deadlines fire in their order."""
        self.wait_until(self.after(span))

    def after(self, span: Span) -> datetime:
        """When so much time will have passed."""
        return self._time.after(self.now, span, self.definition.calendar)

    def wait_until(self, until: datetime) -> None:
        """Let time pass until then, which is not before now; deadlines fire in their order."""
        while due := [key for key, at in self._timers.items() if at <= until]:
            key = min(due, key=lambda one: (self._timers[one], one))
            self.now = max(self.now, self._timers.pop(key))
            order = self.orders.get(key.partition(":")[0])
            self._tell(TimerFired(key=key, order_state=None if order is None else order.state))
        self.now = until

    @property
    def timers(self) -> list[tuple[datetime, str]]:
        """The deadlines that are set, the next first, each with its key: ``slot/round:kind``."""
        return sorted((at, key) for key, at in self._timers.items())

    def _open(self, slot: str) -> tuple[str, PlayedOrder]:
        for key, order in self.orders.items():
            if order.opened.slot == slot and order.state in OPEN_STATES:
                return key, order
        names = sorted(order.opened.slot for order in self.orders.values() if order.state in OPEN_STATES)
        raise Impossible(f"no order {slot} is open; open: {', '.join(names) or 'none'}")

    def _tell(self, event: Event) -> None:
        before = self.state
        self.state, commands = decide(self.definition, self.state, event, self.now, self._time)
        for command in commands:
            self._carry_out(command)
        self._cover(before, event)

    def _carry_out(self, command: Command) -> None:
        match command:
            case OpenOrder():
                planned = command.planned_at is not None and command.planned_at > self.now
                self.orders[command.key] = PlayedOrder(command, "draft" if planned else "offered")
            case OfferOrder():
                self.orders[command.key] = replace(self.orders[command.key], state="offered")
            case SetDeadlines():
                pass  # a played case has no dispatcher who moves orders
            case WithdrawOrder():
                if self.orders[command.key].state in OPEN_STATES:
                    state: OrderState = "declined" if command.declined else "cancelled"
                    self.orders[command.key] = replace(self.orders[command.key], state=state)
            case MarkLate():
                self.orders[command.key] = replace(self.orders[command.key], late=True)
            case SetTimer():
                self._timers[command.key] = command.due_at
            case DropTimers():
                self._timers = {key: at for key, at in self._timers.items() if not key.startswith(command.prefix)}
            case Notify():
                self.told.append(command)
            case RaisePriority():
                self.priority += command.by
            case CloseRecord():
                self.resolution = command.resolution

    def _cover(self, before: ProcessState, event: Event) -> None:
        outcome = _outcome(event, before)
        if outcome is None or not before.step:
            return
        edge = f"{before.step}.{outcome}"
        move = self.definition.steps[before.step].on.get(outcome)
        if move is None:
            return
        turns = self.state.turns.get(edge, 0)
        if move.stay or turns > before.turns.get(edge, 0):
            self.covered.add(edge if move.max is None or turns <= move.max else f"{edge}>")


def _outcome(event: Event, before: ProcessState) -> str | None:
    match event:
        case OrderEnded():
            return event.outcome
        case TimerFired():
            kind = event.key.partition(":")[2].partition("@")[0]
            return {"late": "late", "unaccepted": "declined", "attempt": "unreachable"}.get(kind)
        case _:
            return None


def edges(definition: ProcessFile) -> frozenset[str]:
    """Every way that a definition knows, named as :attr:`Simulation.covered` names them."""
    found = {f"any_time.{name}" for name in definition.any_time}
    for name, step in definition.steps.items():
        for outcome, move in step.on.items():
            found.add(f"{name}.{outcome}")
            if move.max is not None:
                found.add(f"{name}.{outcome}>")
    return frozenset(found)


def play(definition: ProcessFile, time: WorkingTime, case: Case) -> tuple[Simulation, list[str]]:
    """Run one test; the simulation as it ended, and what disagrees with ``then``, or what could not happen."""
    simulation = Simulation(definition, time, datetime.fromisoformat(case.clock))
    for number, act in enumerate(case.steps, 1):
        try:
            if act.accept is not None:
                simulation.accept(act.accept)
            elif act.answer is not None:
                ((slot, outcome),) = act.answer.items()
                simulation.answer(slot, outcome)
            elif act.happens is not None:
                simulation.happens(act.happens)
            elif act.wait is not None:
                simulation.wait(act.wait)
        except Impossible as impossible:
            return simulation, [f"step {number}: {impossible}"]
    return simulation, list(_disagreements(simulation, case.then))


def _disagreements(simulation: Simulation, then: Then) -> list[str]:
    open_orders = {order.opened.slot: order for order in simulation.orders.values() if order.state in OPEN_STATES}
    made = Counter(order.opened.slot for order in simulation.orders.values())
    told = {notice.whom for notice in simulation.told}
    late = {order.opened.slot for order in simulation.orders.values() if order.late}
    found: list[str] = []
    if simulation.resolution != then.closed:
        found.append(f"closed: {simulation.resolution or 'not'}, expected {then.closed or 'not'}")
    if then.open is not None and set(then.open) != set(open_orders):
        found.append(f"open: {sorted(open_orders)}, expected {sorted(then.open)}")
    for slot in then.planned:
        if slot not in open_orders or open_orders[slot].state != "draft":
            found.append(f"{slot} is not planned for later")
    for slot, count in (then.orders or {}).items():
        if made[slot] != count:
            found.append(f"orders {slot}: {made[slot]}, expected {count}")
    for whom in then.told:
        if whom not in told:
            found.append(f"{whom} was told nothing; told were: {sorted(told)}")
    for slot in then.late:
        if slot not in late:
            found.append(f"{slot} was not late")
    if then.priority is not None and simulation.priority != then.priority:
        found.append(f"priority: raised by {simulation.priority}, expected {then.priority}")
    for slot, role in (then.role or {}).items():
        has = open_orders[slot].opened.role if slot in open_orders else "nobody"
        if has != role:
            found.append(f"{slot} is with {has}, expected {role}")
    return found
