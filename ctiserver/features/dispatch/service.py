"""Use cases of work orders: what is in whose inbox, and what people do with it.

Each is one unit of work: the order, a line on its record's timeline, and, where a process waits for it, a row in the
outbox that tells the process. The process itself moves on in the durable engine, moments later or after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.features.dispatch.advance import SIGNAL
from ctiserver.features.dispatch.assigning import had_before, said
from ctiserver.features.dispatch.definitions import revived
from ctiserver.model.ids import RecordId, UserId, WorkOrderId
from ctiserver.model.json_value import Json, JsonObject
from ctiserver.model.person import User
from ctiserver.model.work import work_order
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import IllegalAct, OrderAct, WorkOrder
from ctiserver.store.database import Database
from ctiserver.store.unit_of_work import UnitOfWork

#: What a doer reports with an order fits on a page.
RESULT_MAX_KEYS = 50


class NotYours(IllegalAct):
    """Somebody else has this work order."""


class HandedOn(IllegalAct):
    """Somebody else was given this work order meanwhile."""


class UnknownOutcome(UserFault):
    """A work order can't come to this."""

    def __init__(self, order: WorkOrder, outcome: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"{order.number} can't come to {outcome!r}", where="outcome", fix=f"Say one of: {', '.join(known)}"
        )


class NotChecked(UserFault):
    """Something on the order's checklist must be ticked before it is done."""

    def __init__(self, order: WorkOrder, missing: tuple[str, ...]) -> None:
        super().__init__(
            f"{order.number} can't be done before {', '.join(missing)} is ticked",
            where="checked",
            fix="Tick it, or say another outcome",
        )


class Dispatch:
    """Work orders, as the people see them who do them."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        changed: Callable[[Record, list[WorkOrder]], None] = lambda record, orders: None,
    ) -> None:
        """``changed`` is told after each commit."""
        self._database = database
        self._clock = clock
        self._changed = changed

    async def inbox(
        self, user: UserId, *, open_only: bool = True, after: WorkOrderId | None = None, limit: int = 200
    ) -> list[WorkOrder]:
        """What somebody has to do: what is theirs, and what anybody of their role may take; due first.

        ``after``: only what follows this one. Raises NotFound if it is none.
        """
        async with self._database.reading() as uow:
            account = await uow.users.get(user)
            last = None if after is None else await uow.work_orders.get(after)
            return await uow.work_orders.inbox(user, account.role, open_only=open_only, limit=limit, after=last)

    async def accept(self, order_id: WorkOrderId, by: UserId) -> WorkOrder:
        """Take an order on. One that nobody has becomes theirs.

        Raises NotFound; NotYours; IllegalAct if it is no longer offered.
        """
        return await self._act(order_id, "accept", by)

    async def set_out(self, order_id: WorkOrderId, by: UserId) -> WorkOrder:
        """Be on the way. Raises NotFound; NotYours; IllegalAct."""
        return await self._act(order_id, "set_out", by)

    async def start(self, order_id: WorkOrderId, by: UserId) -> WorkOrder:
        """Be there and begin. Raises NotFound; NotYours; IllegalAct."""
        return await self._act(order_id, "start", by)

    async def decline(self, order_id: WorkOrderId, by: UserId, reason: str) -> WorkOrder:
        """Hand an order back; the process finds somebody else. Raises NotFound; NotYours; HandedOn; IllegalAct."""
        return await self._act(order_id, "decline", by, outcome="declined", result={"reason": reason})

    async def complete(
        self, order_id: WorkOrderId, by: UserId, outcome: str, result: Mapping[str, Json] | None = None
    ) -> WorkOrder:
        """Say what an order came to; ``checked`` of the result are the names on its checklist that were ticked.

        Raises NotFound; NotYours; HandedOn; IllegalAct if it is over or not begun; UnknownOutcome; NotChecked.
        """
        return await self._act(order_id, "complete", by, outcome=outcome, result=dict(result or {}))

    async def hold(self, order_id: WorkOrderId, by: UserId, reason: str) -> WorkOrder:
        """Stop an order's clock. Raises NotFound; NotYours; IllegalAct; UserFault without a reason."""
        if not reason.strip():
            raise UserFault("an order on hold needs a reason", where="reason", fix="Say what it waits for")
        return await self._act(order_id, "hold", by, result={"on_hold": reason})

    async def resume(self, order_id: WorkOrderId, by: UserId) -> WorkOrder:
        """Let an order's clock run again: it is due later by as long as it stood.

        Raises NotFound; NotYours; IllegalAct.
        """
        return await self._act(order_id, "resume", by)

    async def report(self, record_id: RecordId, event: str, by: UserId) -> None:
        """Tell the record's processes of something that may happen at any time, such as ``cancelled_by_customer``.

        Raises NotFound; IllegalAct if no running process of the record knows such an event.
        """
        async with self._database.unit_of_work() as uow:
            record = await uow.records.get(record_id)
            actor = await uow.users.get(by)
            running = [one for one in await uow.processes.of_record(record_id) if one.status == "running"]
            known = any(event in revived(process.definition).any_time for process in running)
            if known:
                await self._tell_all(uow, record, actor, {"event": event})
            else:
                late: JsonObject = {"what": event}
                await uow.records.write_line(record.id, self._clock.now(), f"user:{actor.login}", "came_too_late", late)
        self._changed(record, [])
        if not known:
            raise IllegalAct(f"no process in progress for {record.number} handles {event!r}")

    async def call_off(self, record_id: RecordId, by: UserId, reason: str) -> None:
        """Cancel the record's processes: open orders are withdrawn, and the record is closed as cancelled.

        Raises NotFound; IllegalAct if none is under way; UserFault without a reason.
        """
        if not reason.strip():
            raise UserFault("cancelling a process needs a reason", where="reason", fix="Say why")
        async with self._database.unit_of_work() as uow:
            record = await uow.records.get(record_id)
            actor = await uow.users.get(by)
            if not any(process.status == "running" for process in await uow.processes.of_record(record_id)):
                raise IllegalAct(f"no process is in progress for {record.number}")
            await self._tell_all(uow, record, actor, {"cancel": reason})
        self._changed(record, [])

    async def _tell_all(self, uow: UnitOfWork, record: Record, actor: User, what: JsonObject) -> None:
        now = self._clock.now()
        entry = await uow.records.write_line(record.id, now, f"user:{actor.login}", "process_told", what)
        await uow.outbox.add(SIGNAL, f"told/{entry.id}", {"record_id": record.id, **what}, now)

    async def _act(
        self,
        order_id: WorkOrderId,
        act: OrderAct,
        by: UserId,
        *,
        outcome: str | None = None,
        result: JsonObject | None = None,
    ) -> WorkOrder:
        async with self._database.unit_of_work() as uow:
            before = await uow.work_orders.lock(order_id)
            actor = await uow.users.get(by)
            handed_on = _handed_on(before, act, actor)
            if not handed_on:
                _theirs(before, actor)
            elif outcome is None:
                raise HandedOn(_somebody_elses(before))
            now = self._clock.now()
            if outcome is not None and (handed_on or (not before.is_open and before.outcome != outcome)):
                # What somebody did is worth knowing also when it changes nothing; the same told twice is not.
                late: JsonObject = {"what": outcome, **(result or {})}
                record = await self._note(uow, replace(before, updated_at=now), actor, "came_too_late", late)
                order = before
            else:
                order = await self._stepped(uow, before, act, actor, outcome, result)
                data: dict[str, Json] = {"act": act, "outcome": outcome, **(result or {})}
                record = await self._note(uow, order, actor, f"order_{order.state}", data)
        self._changed(record, [order])
        if handed_on:
            raise HandedOn(_somebody_elses(order))
        if order is before:
            raise IllegalAct(f"work order {order.number} is {order.state}; it does not allow {act}")
        return order

    async def _stepped(  # noqa: PLR0917
        self,
        uow: UnitOfWork,
        before: WorkOrder,
        act: OrderAct,
        actor: User,
        outcome: str | None,
        result: JsonObject | None,
    ) -> WorkOrder:
        now = self._clock.now()
        order = work_order.step(before, act, now)
        if act == "accept" and order.assignee is None:
            order = said(replace(order, assignee=actor.id), "taken", now, by=actor.login)
        if act == "complete":
            _known(order, outcome or "")
            _checked(order, outcome or "", (result or {}).get("checked"))
        if result is not None:
            order = replace(order, result={**order.result, **result})
        if outcome is not None:
            order = replace(order, outcome=outcome)
        if act == "resume":
            order = await self._shifted(uow, before, order, now)
        order = await self._keep(uow, order)
        if outcome is not None:
            ended: JsonObject = {
                "key": _slot_key(order),
                "outcome": outcome,
                "by": actor.id,
                "result": dict(result or {}),
            }
            await self._tell_process(uow, order, "order_ended", ended)
        return order

    async def _shifted(self, uow: UnitOfWork, held: WorkOrder, order: WorkOrder, now: datetime) -> WorkOrder:
        """The order, due later by as long as its clock stood still: since it was last written, when it was held."""
        if order.due_at is None:
            return order
        stood: timedelta = now - held.updated_at
        order = replace(order, due_at=order.due_at + stood)
        assert order.due_at is not None
        due: JsonObject = {"key": _slot_key(order), "due_at": order.due_at.isoformat()}
        await self._tell_process(uow, order, "order_due_anew", due)
        return order

    async def _keep(self, uow: UnitOfWork, order: WorkOrder) -> WorkOrder:
        await uow.work_orders.update(order)
        return replace(order, revision=order.revision + 1)

    async def _tell_process(self, uow: UnitOfWork, order: WorkOrder, what: str, data: JsonObject) -> None:
        if order.process_id is not None:
            await uow.outbox.add(
                SIGNAL,
                f"{what}/{order.id}/{order.revision}",
                {"process_id": order.process_id, what: data},
                order.updated_at,
            )

    async def _note(self, uow: UnitOfWork, order: WorkOrder, actor: User, kind: str, data: JsonObject) -> Record:
        said = {"order": order.number, "kind": order.kind, **data}
        await uow.records.write_line(order.record_id, order.updated_at, f"user:{actor.login}", kind, said)
        return await uow.records.get(order.record_id)


#: Who may act for the person who has an order.
_FOR_OTHERS = ("dispatcher", "supervisor", "admin")


def _theirs(order: WorkOrder, actor: User) -> None:
    mine = order.assignee == actor.id or (order.assignee is None and order.role == actor.role)
    if not mine and actor.role not in _FOR_OTHERS:
        raise NotYours(_somebody_elses(order))


def _handed_on(order: WorkOrder, act: OrderAct, actor: User) -> bool:
    """Whether the actor had it, and was on their way maybe when it was taken from them. One that nobody has since they
    may take again, but not report."""
    if actor.role in _FOR_OTHERS or not had_before(order, actor.id):
        return False
    return order.assignee is not None or order.role != actor.role or act == "complete"


def _somebody_elses(order: WorkOrder) -> str:
    return f"work order {order.number} is assigned to another person"


def _known(order: WorkOrder, outcome: str) -> None:
    outcomes = order.payload.get("outcomes")
    known = tuple(str(one) for one in outcomes) if isinstance(outcomes, list | tuple) else ()
    if outcome not in known:
        raise UnknownOutcome(order, outcome, known)


def _checked(order: WorkOrder, outcome: str, ticked: Json) -> None:
    """Raises NotChecked if the order shall be done and something that is required is not ticked."""
    checklist = order.payload.get("checklist")
    if outcome != "done" or not isinstance(checklist, list | tuple):
        return
    done = ticked if isinstance(ticked, list | tuple) else ()
    required = [str(item["name"]) for item in checklist if isinstance(item, dict) and item["required"]]
    if missing := tuple(name for name in required if name not in done):
        raise NotChecked(order, missing)


def _slot_key(order: WorkOrder) -> str:
    """The order's key inside its process."""
    return order.key.partition("/")[2]
