"""What a process does next: ``decide(definition, state, event)`` gives the new state and what is to be done.

Pure, and the only place that knows what a definition means. The caller keeps the state and carries the commands
out in one transaction (``features.dispatch.advance``). No step's name is known here.

An order's key is ``slot/round``: each time that a slot is opened again it is another order, so that an answer to an
earlier one can be told apart. Keys of timers begin with their order's key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from ctiserver.errors import CtiError
from ctiserver.model.calendar.span import Span, WorkingTime
from ctiserver.model.expression import expression
from ctiserver.model.expression.expression import Context, ExpressionError
from ctiserver.model.ids import UserId
from ctiserver.model.json_value import Json, JsonObject
from ctiserver.model.process.definition import ANY, AnyTime, Choice, Move, Order, ProcessFile
from ctiserver.model.process.messages import (
    Begin,
    Cancelled,
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
    OrderMoved,
    RaisePriority,
    SetDeadlines,
    SetTimer,
    TimerFired,
    WithdrawOrder,
)
from ctiserver.model.process.state import ProcessState, Slot

#: How long an attempt of a follow-up lasts where the definition gives it no end.
_ATTEMPT = Span(1, "day")
#: A time that was agreed on further away than this is a slip of the pen: no zone and no calendar is sure to reach it.
_AGREED_WITHIN = timedelta(days=5 * 366)
_ANYBODY: Choice = "anybody"
#: Who does the orders that no person does.
SERVER = "server"
_AT_MOST = {"once an hour": timedelta(hours=1), "once a day": timedelta(days=1), "once a week": timedelta(weeks=1)}


class Stale(CtiError):
    """This came too late: what it belongs to is over. Nothing changes."""


def decide(
    definition: ProcessFile, state: ProcessState, event: Event, now: datetime, time: WorkingTime
) -> tuple[ProcessState, tuple[Command, ...]]:
    """The state after ``event``, and what is to be done because of it, in order.

    Raises Stale if the event belongs to something that is over; the state is then as it was.
    """
    turn = _Turn(definition, state, now, time)
    turn.take(event)
    return turn.state, tuple(turn.commands)


class _Turn:
    """One call of :func:`decide`: the state as it becomes, and the commands as they gather."""

    def __init__(self, definition: ProcessFile, state: ProcessState, now: datetime, time: WorkingTime) -> None:
        self.definition = definition
        self.state = state
        self.now = now
        self.time = time
        self.commands: list[Command] = []
        self._orders: dict[str, Mapping[str, Order]] = {}

    def take(self, event: Event) -> None:
        if isinstance(event, Begin):
            if self.state.step:
                raise Stale("the process has begun already")
            self.enter(self.definition.start)
            return
        if self.state.closed is not None:
            raise Stale(f"the process is closed ({self.state.closed})")
        match event:
            case OrderEnded():
                self.order_ended(event)
            case OrderDueAnew():
                slot = self.open_slot(event.key)
                self.commands.append(DropTimers(prefix=f"{slot.key}:late"))
                self.commands.append(SetTimer(key=f"{slot.key}:late@{event.due_at:%Y%m%dT%H%M%S}", due_at=event.due_at))
            case OrderMoved():
                self.order_moved(event)
            case TimerFired():
                self.timer_fired(event)
            case Happened():
                if event.name not in self.definition.any_time:
                    raise Stale(f"{self.definition.process} does not know {event.name!r}")
                self.happened(event.name, self.definition.any_time[event.name])
            case Cancelled():
                self.close("cancelled", event.reason)
            case _:
                assert_never(event)

    # Orders

    def order_ended(self, event: OrderEnded) -> None:
        slot = self.open_slot(event.key)
        self.end_slot(slot, event.outcome, event.result, event.by)
        order = self.order_of(slot.name)
        if event.outcome == "unreachable" and self.tried_again(slot, order, event.result.get("give_up")):
            return
        done = event.outcome in ("done", "won")
        others = [other for other in self.current() if other.outcome is None]
        if done and others:
            return
        self.follow(slot, event.outcome)

    def tried_again(self, slot: Slot, order: Order, give_up: Json) -> bool:
        """Whether somebody who was not reached is tried once more, or in the next way.

        ``give_up`` is ``way`` where more attempts of this way are of no use (there is no number), and ``all`` where
        nobody shall try at all (they asked not to be called).
        """
        if give_up == "all":
            return False
        if give_up != "way" and slot.attempt < order.attempts:
            wait = order.retry_after or _ATTEMPT
            self.open(
                slot.name, planned_from=self.after(wait), attempt=slot.attempt + 1, way=slot.way, same_as=slot.key
            )
            return True
        if slot.way + 1 < len(order.by):
            self.open(slot.name, planned_from=self.now, way=slot.way + 1)
            return True
        return False

    def order_moved(self, event: OrderMoved) -> None:
        """Its assignee is given the whole time to accept it. A time that was promised for the agreed day moves
        with the day; one that counts from when the customer asked does not."""
        slot = self.open_slot(event.key)
        order = self.order_of(slot.name)
        draft, at = event.order_state == "draft", event.planned_at
        if at is not None:
            self.state = replace(self.state, moved={**self.state.moved, slot.name: at})
        start = max(at or self.now, self.now)
        accept_by = due_at = None
        timers: list[tuple[str, datetime]] = []
        if draft and at is not None:
            timers.append(("begin", start))
        if order.accept_within is not None and (event.order_state == "offered" or (draft and at is not None)):
            accept_by = self.after(order.accept_within, start if draft else self.now)
            timers.append(("unaccepted", accept_by))
        if at is not None and order.complete_within is None:
            timers.append(("attempt", self.after(order.retry_after or _ATTEMPT, start)))
        elif at is not None and order.complete_within is not None and (order.at or order.after) is not None:
            due_at = self.after(order.complete_within, start)
            self.commands.append(DropTimers(prefix=f"{slot.key}:remind"))
            timers += [timer for timer in self.reminders(order, start, due_at) if timer[1] > self.now]
            timers.append(("late", due_at))
        if accept_by is not None or due_at is not None:
            self.commands.append(SetDeadlines(key=slot.key, accept_by=accept_by, due_at=due_at))
        for kind, moment in timers:
            if not kind.startswith("remind"):
                self.commands.append(DropTimers(prefix=f"{slot.key}:{kind}"))
            self.commands.append(SetTimer(key=f"{slot.key}:{kind}@{event.revision}", due_at=moment))

    def reminders(self, order: Order, start: datetime, due_at: datetime) -> Iterator[tuple[str, datetime]]:
        for share in order.remind:
            yield f"remind{share[:-1]}", start + (due_at - start) * int(share[:-1]) / 100

    def open_slot(self, key: str) -> Slot:
        for slot in self.current():
            if slot.key == key and slot.outcome is None:
                return slot
        raise Stale(f"order {key} is over, or belongs to a step that was left")

    def current(self) -> Iterator[Slot]:
        """The slots of the step that the process is in."""
        return (self.state.slots[name] for name in self.orders(self.state.step) if name in self.state.slots)

    def order_of(self, slot: str) -> Order:
        return self.orders(self.state.step)[slot]

    def orders(self, step: str) -> Mapping[str, Order]:
        """A step's orders by slot, made once a turn."""
        if step not in self._orders:
            self._orders[step] = self.definition.steps[step].orders(step)
        return self._orders[step]

    def end_slot(self, slot: Slot, outcome: str, result: JsonObject, by: UserId | None) -> None:
        avoid = self.state.avoid.get(slot.name, ())
        if outcome == "declined" and by is not None and by not in avoid:
            self.state = replace(self.state, avoid={**self.state.avoid, slot.name: (*avoid, by)})
        if outcome != "declined" and slot.name in self.state.moved:  # only the same visit by somebody else keeps it
            moved = {name: at for name, at in self.state.moved.items() if name != slot.name}
            self.state = replace(self.state, moved=moved)
        self.put(replace(slot, outcome=outcome, result=dict(result)))
        self.commands.append(DropTimers(prefix=f"{slot.key}:"))

    def put(self, slot: Slot) -> None:
        self.state = replace(self.state, slots={**self.state.slots, slot.name: slot})

    # Timers

    def timer_fired(self, event: TimerFired) -> None:
        key, _, kind = event.key.partition(":")
        slot = self.open_slot(key)
        kind = kind.partition("@")[0]
        if kind == "begin":
            self.commands.append(OfferOrder(key=key))
        elif kind == "unaccepted":
            if event.order_state == "offered":
                self.commands.append(WithdrawOrder(key=key, reason="not_accepted", declined=True))
                self.end_slot(slot, "declined", {}, None)
                self.follow(slot, "declined")
        elif event.order_state in ("done", "declined", "cancelled", "on_hold"):
            return  # its answer is on the way, or its clock stands still
        elif kind.startswith("remind"):
            self.commands.append(Notify(whom="assignee", what="reminder", key=key))
        elif kind == "attempt":
            self.commands.append(WithdrawOrder(key=key, reason="unreachable"))
            self.order_ended(OrderEnded(key=key, outcome="unreachable"))
        elif kind == "late":
            self.commands.append(MarkLate(key=key))
            self.late(slot)

    def late(self, slot: Slot) -> None:
        move = self.definition.steps[self.state.step].on.get("late", Move(stay=True, escalate="supervisor"))
        if move.stay:
            self.tell(move, f"{self.state.step}.late", slot.key)
        else:
            self.commands.append(WithdrawOrder(key=slot.key, reason="late"))
            self.end_slot(slot, "late", {}, None)
            self.follow(slot, "late")

    # Ways

    def follow(self, slot: Slot, outcome: str) -> None:
        """Go where the step says that ``outcome`` leads."""
        step = self.state.step
        edge = f"{step}.{outcome}"
        move = self.definition.steps[step].on.get(outcome)
        if move is None:  # an answer that nobody foresaw: a person looks at it
            self.commands.append(Notify(whom="supervisor", what=outcome, key=slot.key))
            self.open(slot.name, by_hand="supervisor")
            return
        self.tell(move, edge, slot.key)
        if move.stay:
            self.open(slot.name, same_as=slot.key)
            return
        assert move.go is not None
        turns = self.state.turns.get(edge, 0) + 1
        self.state = replace(self.state, turns={**self.state.turns, edge: turns})
        self.leave(f"{outcome} of {slot.name}")
        if move.max is not None and turns > move.max:
            assert move.then is not None
            if move.then in self.definition.steps:
                self.enter(move.then, move.redo)
            else:
                self.enter(move.go, move.redo, by_hand=move.then)
        else:
            self.enter(move.go, move.redo)

    def tell(self, move: Move | AnyTime, edge: str, key: str | None) -> None:
        limit = _AT_MOST.get(move.at_most or "")
        last = self.state.told.get(edge)
        if limit is not None and last is not None and self.now < last + limit:
            return
        if limit is not None:
            self.state = replace(self.state, told={**self.state.told, edge: self.now})
        what = edge.rpartition(".")[2]
        for whom in (move.notify, move.escalate if isinstance(move, Move) else None):
            if whom is not None:
                self.commands.append(Notify(whom=whom, what=what, key=key))
        if move.raise_priority is not None:
            self.commands.append(RaisePriority(by=move.raise_priority))

    def happened(self, name: str, any_time: AnyTime) -> None:
        self.tell(any_time, f"any_time.{name}", None)
        if any_time.close is not None:
            self.close(any_time.close, name)

    def leave(self, reason: str) -> None:
        """Withdraw what the step still waits for."""
        for slot in tuple(self.current()):
            if slot.outcome is None:
                self.commands.append(WithdrawOrder(key=slot.key, reason=reason))
                self.end_slot(slot, "cancelled", {}, None)

    def enter(self, name: str, redo: tuple[str, ...] = (), *, by_hand: str | None = None) -> None:
        step = self.definition.steps[name]
        self.state = replace(self.state, step=name)
        if step.close is not None:
            if step.notify is not None:
                self.commands.append(Notify(whom=step.notify, what=step.close))
            self.close(step.close, name)
            return
        for slot in self.orders(name):
            done = slot in self.state.slots and self.state.slots[slot].outcome in ("done", "won")
            if not (redo and done and slot not in redo):
                self.open(slot, by_hand=by_hand)

    def close(self, resolution: str, reason: str) -> None:
        if self.state.step:
            self.leave(reason)
        self.commands.append(CloseRecord(resolution=resolution, beside=self.definition.for_.type == ANY))
        self.state = replace(self.state, closed=resolution)

    # Opening an order

    def open(
        self,
        name: str,
        *,
        by_hand: str | None = None,
        same_as: str | None = None,
        planned_from: datetime | None = None,
        attempt: int = 1,
        way: int = 0,
    ) -> None:
        order = self.order_of(name)
        count = self.state.rounds.get(name, 0) + 1
        slot = Slot(name=name, key=f"{name}/{count}", attempt=attempt, way=way)
        self.state = replace(self.state, rounds={**self.state.rounds, name: count})
        self.put(slot)
        moved = self.state.moved.get(name)
        planned_at = planned_from or (moved if moved is not None and moved > self.now else self.planned(order))
        hours = order.within.calendar if order.within is not None else order.open
        if hours is not None:
            opens = self.time.next_open(planned_at or self.now, hours)
            planned_at = opens if opens > self.now else planned_at
        doing = order.by[way] if order.by and by_hand is None else None
        call = None if doing is None else doing.call
        start = planned_at or self.now
        accept_by = None if order.accept_within is None or by_hand else self.after(order.accept_within, start)
        due_at = None if order.complete_within is None else self.after(order.complete_within, start)
        formulas = {"payer": order.payer, "amount": order.amount}
        if by_hand is not None:
            role, choose = by_hand, _ANYBODY
        elif doing is not None:
            role, choose = doing.person or SERVER, _ANYBODY
        else:
            assert order.to is not None
            role, choose = order.to.role, order.to.choose
            formulas |= {"department": order.to.department, "skills": order.to.skills, "region": order.to.region}
        self.commands.append(
            OpenOrder(
                key=slot.key,
                slot=name,
                step=self.state.step,
                kind=order.order,
                role=role,
                choose=choose,
                avoid=self.state.avoid.get(name, ()),
                same_as=same_as,
                planned_at=planned_at,
                accept_by=accept_by,
                due_at=due_at,
                formulas={key: text for key, text in formulas.items() if text is not None},
                outcomes=tuple(
                    outcome
                    for outcome in self.definition.steps[self.state.step].on
                    if outcome not in ("late", "declined")
                ),
                attempt=attempt,
                call=call,
                within=hours if call is not None else None,
                window_s=None if order.window is None else order.window.length.total_seconds(),
                checklist=tuple(
                    {"name": item, "title": dict(check.title), "required": check.required}
                    for item, check in order.checklist.items()
                ),
                sticky=order.to.sticky if order.to is not None and by_hand is None else None,
            )
        )
        # A call says itself how it ended, maybe while the customer still talks; a person is given until the next try.
        attempt_lasts = _ATTEMPT if call is not None else order.retry_after or _ATTEMPT
        for kind, at in self.deadlines(order, attempt_lasts, planned_at, accept_by, due_at):
            self.commands.append(SetTimer(key=f"{slot.key}:{kind}", due_at=at))

    def deadlines(
        self,
        order: Order,
        attempt_lasts: Span,
        planned_at: datetime | None,
        accept_by: datetime | None,
        due_at: datetime | None,
    ) -> Iterator[tuple[str, datetime]]:
        start = planned_at or self.now
        if planned_at is not None:
            yield "begin", planned_at
        if accept_by is not None:
            yield "unaccepted", accept_by
        if due_at is not None:
            yield from self.reminders(order, start, due_at)
            yield "late", due_at
        else:
            yield "attempt", self.after(attempt_lasts, start)

    def planned(self, order: Order) -> datetime | None:
        """When an order is to be done by what was agreed (``at``), or by how long it is to wait (``after``)."""
        if order.at is not None:
            agreed = _agreed(order.at, results(self.state), Context(now=self.now, zone=self.time.zone))
            return agreed if agreed is not None and agreed > self.now else None
        return None if order.after is None else self.after(order.after)

    def after(self, span: Span, start: datetime | None = None) -> datetime:
        return self.time.after(start or self.now, span, self.definition.calendar)


def _agreed(formula: str, came_to: Mapping[str, Mapping[str, Json]], context: Context) -> datetime | None:
    """The time that an earlier order came to: an instant, or the beginning of a window written ``from/to``.

    None where nothing was agreed, or nothing that is a time: the order is then offered at once, so that a person sees
    it, rather than never.
    """
    names: Any = {**came_to, "orders": came_to}
    try:
        value = expression.parse(formula.removeprefix("=")).evaluate(names, context)
        if isinstance(value, datetime):
            return value
        at = datetime.fromisoformat(str(value).partition("/")[0].strip())
    except (ExpressionError, ValueError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=context.zone)
    try:
        return at if abs(at.astimezone(UTC) - context.now) <= _AGREED_WITHIN else None
    except OverflowError:  # at either end of the calendar
        return None


def results(state: ProcessState) -> Mapping[str, Mapping[str, Json]]:
    """What the orders came to, as expressions read it: ``orders.visit.labour``, ``orders.visit.outcome``."""
    return {name: {**slot.result, "outcome": slot.outcome} for name, slot in state.slots.items()}
