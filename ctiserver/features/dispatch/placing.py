"""Use cases of dispatchers: orders go to another person, for another time, and all of a person's when they are ill.

Each is one unit of work: the orders with their reasons, a line on each record's timeline, and rows in the outbox that
tell the processes, which set the deadlines again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Literal

from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.features.dispatch.advance import SIGNAL
from ctiserver.features.dispatch.assigning import Assigning, said, taken_from
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import UserId, WorkOrderId
from ctiserver.model.json_value import Json, iso
from ctiserver.model.person import User
from ctiserver.model.process.decide import SERVER
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import IllegalAct, OrderState, WorkOrder
from ctiserver.store.database import Database
from ctiserver.store.faults import Conflict
from ctiserver.store.unit_of_work import UnitOfWork

#: Orders that can still be given to somebody else or planned again one by one: nobody is on their way yet.
MOVABLE: frozenset[OrderState] = frozenset({"draft", "offered", "accepted"})
#: In which state somebody else gets an order.
_HANDED: dict[OrderState, OrderState] = {"draft": "draft", "on_hold": "on_hold"}


@dataclass(frozen=True, slots=True)
class Reassigned:
    """What happened to one order of a person; ``to`` None: nobody fits, it waits for anyone who takes it."""

    order: WorkOrder
    to: User | None


class Placing:
    """Gives orders out by hand, and many at once."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        hours: Callable[[], WorkingTime],
        changed: Callable[[Record, list[WorkOrder]], None] = lambda record, orders: None,
    ) -> None:
        """``hours``: the calendars as they are now; ``changed`` is told of each order after the commit."""
        self._database = database
        self._clock = clock
        self._hours = hours
        self._changed = changed

    async def place(
        self,
        order_id: WorkOrderId,
        by: UserId,
        *,
        to: UserId | None = None,
        planned_at: datetime | None = None,
        revision: int | None = None,
        reason: str = "",
    ) -> WorkOrder:
        """Give an order to somebody (``to``), plan it for another time (``planned_at``, aware), or both.

        One that was accepted is offered to another person. What stands so already is left as it is. ``revision`` is
        the one that the asker saw. Raises NotFound; Conflict if it changed since; IllegalAct if it is over or under
        way; UserFault for somebody whose account is shut.
        """
        async with self._database.unit_of_work() as uow:
            order = await uow.work_orders.lock(order_id)
            actor = await uow.users.get(by)
            record = await uow.records.get(order.record_id)
            moves = to is not None and to != order.assignee
            plans = planned_at is not None and planned_at != order.planned_at
            if not moves and not plans:
                return order
            if revision is not None and revision != order.revision:
                raise Conflict(f"work order {order.number} was changed by another user in the meantime")
            if order.state not in MOVABLE or order.role == SERVER:
                raise IllegalAct(
                    f"work order {order.number} is {order.state}; it can't be reassigned or rescheduled now"
                )
            now = self._clock.now()
            before, order = order, replace(order, updated_at=now)
            if planned_at is not None and plans:
                order = replace(order, planned_at=planned_at)
            if to is not None and moves:
                order = await self._given(uow, order, await uow.users.get(to), actor, reason)
            order = await self._kept(uow, before, order)
            if moves:
                await self._note(uow, before, order, actor, "order_assigned", reason)
            if plans:
                await self._note(uow, before, order, actor, "order_rescheduled", reason)
        self._changed(record, [order, *([before] if moves else [])])
        return order

    async def hand_over(
        self,
        whose: UserId,
        by: UserId,
        *,
        reason: str,
        day: date | None = None,
        to: UserId | None = None,
        away_until: datetime | None = None,
    ) -> list[Reassigned]:
        """Give everything that somebody has and is not over to others: by the rules, or all of it to one person.

        ``day``: only what is planned for that date of the site, or for no time at all. Accepted orders go too, and
        those under way: its new assignee is offered it. ``away_until``: so long the rules give them nothing new. Done
        a second time, nothing is left to do. Raises NotFound; UserFault without a reason, or to the same person.
        """
        if not reason.strip():
            raise UserFault("a reassignment needs a reason", where="reason", fix="Say why")
        if to == whose:
            raise UserFault(
                "these orders are already assigned to them",
                where="to",
                fix="Name another person, or leave it to the rules",
            )
        now = self._clock.now()
        hours = self._hours()
        moved: list[tuple[WorkOrder, Reassigned, Record]] = []
        async with self._database.unit_of_work() as uow:
            actor = await uow.users.get(by)
            person = await uow.users.lock(whose)
            target = None if to is None else await uow.users.get(to)
            if away_until is not None and away_until != person.away_until:
                await self._away(uow, person, away_until, actor, reason)
            assigning = Assigning(uow, hours, now)
            for found in await uow.work_orders.open_of(whose):
                before = await uow.work_orders.lock(found.id)
                if before.assignee != whose or not before.is_open or not _on(before, day, hours):
                    continue
                order = replace(
                    before,
                    state=_HANDED.get(before.state, "offered"),
                    held_from=None if before.held_from is None else "offered",
                    # Of an order on hold this is when its clock was stopped.
                    updated_at=before.updated_at if before.state == "on_hold" else now,
                )
                if target is None:
                    order = await assigning.by_rule(order, avoid=[whose])
                else:
                    order = await assigning.by_hand(order, target)
                order = said(order, "bulk", now, by=actor.login, reason=reason)
                order = await self._kept(uow, before, order)
                await self._note(uow, before, order, actor, "order_reassigned", reason)
                got = None if order.assignee is None else await uow.users.get(order.assignee)
                moved.append((before, Reassigned(order, got), await uow.records.get(order.record_id)))
        for before, one, record in moved:
            self._changed(record, [one.order, before])
        return [one for _, one, _ in moved]

    async def set_away(self, whose: UserId, until: datetime | None, by: UserId, *, reason: str = "") -> User:
        """Somebody is ill or on leave: until then the rules give them nothing new. None: they are back."""
        async with self._database.unit_of_work() as uow:
            actor, person = await uow.users.get(by), await uow.users.lock(whose)
            if person.away_until != until:
                person = await self._away(uow, person, until, actor, reason)
        return person

    async def _away(self, uow: UnitOfWork, person: User, until: datetime | None, actor: User, reason: str) -> User:
        person = replace(person, away_until=until)
        await uow.users.update(person)
        detail: dict[str, Json] = {"away_until": iso(until), "reason": reason}
        await uow.audit.note(
            self._clock.now(), f"user:{actor.login}", "account_changed", f"user:{person.login}", detail=detail
        )
        return person

    async def _given(self, uow: UnitOfWork, order: WorkOrder, to: User, actor: User, reason: str) -> WorkOrder:
        if not to.active:
            raise UserFault(f"the account {to.login} is disabled", where="to", fix="Name an active account")
        now = self._clock.now()
        order = await Assigning(uow, self._hours(), now).by_hand(order, to)
        state: OrderState = "offered" if order.state == "accepted" else order.state
        return said(replace(order, state=state), "hand", now, by=actor.login, reason=reason)

    async def _kept(self, uow: UnitOfWork, before: WorkOrder, order: WorkOrder) -> WorkOrder:
        if before.assignee is not None and before.assignee != order.assignee:
            order = taken_from(order, before.assignee)
        await uow.work_orders.update(order)
        order = replace(order, revision=order.revision + 1)
        if order.process_id is not None:
            planned = order.planned_at if order.planned_at != before.planned_at else None
            moved: dict[str, Json] = {
                "key": order.key.partition("/")[2],
                "revision": order.revision,
                "order_state": order.state,
                "planned_at": iso(planned),
            }
            await uow.outbox.add(
                SIGNAL,
                f"order_moved/{order.id}/{order.revision}",
                {"process_id": order.process_id, "order_moved": moved},
                self._clock.now(),
            )
        return order

    async def _note(  # noqa: PLR0917
        self,
        uow: UnitOfWork,
        before: WorkOrder,
        order: WorkOrder,
        actor: User,
        kind: Literal["order_assigned", "order_rescheduled", "order_reassigned"],
        reason: str,
    ) -> None:
        names: dict[str, Json] = {}
        for name, user in (("from", before.assignee), ("assignee", order.assignee)):
            known = None if user is None else await uow.users.find(user)
            names[name] = None if known is None else known.login
        data: dict[str, Json] = {
            "order": order.number,
            "kind": order.kind,
            **names,
            "reason": reason,
            "planned_at": iso(order.planned_at),
        }
        await uow.records.write_line(order.record_id, self._clock.now(), f"user:{actor.login}", kind, data)


def _on(order: WorkOrder, day: date | None, hours: WorkingTime) -> bool:
    if day is None or order.planned_at is None:
        return True
    begin, end = span_of(day, hours)
    return begin <= order.planned_at < end


def span_of(day: date, hours: WorkingTime) -> tuple[datetime, datetime]:
    """When a date of the site begins and ends."""
    return (
        datetime.combine(day, time(), hours.zone),
        datetime.combine(day + timedelta(days=1), time(), hours.zone),
    )
