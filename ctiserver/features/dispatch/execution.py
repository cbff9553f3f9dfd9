"""Carrying out what ``decide`` wants, inside the transaction that keeps the state it decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from ctiserver.features.dispatch.assigning import Assigning, how_of, said
from ctiserver.features.dispatch.names import names_of
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.expression import expression
from ctiserver.model.expression.expression import Context
from ctiserver.model.ids import UserId, WorkOrderId, new_ulid
from ctiserver.model.json_value import Json, JsonObject, iso
from ctiserver.model.process.messages import (
    CloseRecord,
    Command,
    DropTimers,
    MarkLate,
    Notify,
    OfferOrder,
    OpenOrder,
    RaisePriority,
    SetDeadlines,
    SetTimer,
    WithdrawOrder,
)
from ctiserver.model.process.state import ProcessState
from ctiserver.model.work import work_order
from ctiserver.model.work.outbound_call import OutboundCall
from ctiserver.model.work.record import CALLBACK_ASKED, Record, TimelineEntry
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.store.repositories.outbox import OutboxRow
from ctiserver.store.repositories.processes import TimerRow
from ctiserver.store.unit_of_work import UnitOfWork

HIGHEST_PRIORITY = 9


class Execution:
    """The commands of one advance. ``record`` and ``orders`` are what happened to them."""

    def __init__(self, uow: UnitOfWork, process_id: str, record: Record, now: datetime, time: WorkingTime) -> None:
        self._uow = uow
        self._process_id = process_id
        self._now = now
        self._zone = time.zone
        self._assigning = Assigning(uow, time, now)
        self.record = record
        self.orders: dict[WorkOrderId, WorkOrder] = {}
        self._notes: list[TimelineEntry] = []
        self._timers: list[TimerRow] = []
        self._logins: dict[UserId, str] = {}

    async def carry_out(self, command: Command, state: ProcessState) -> None:
        """Do one command; ``state`` is the one decided together with it. After the last comes :meth:`finish`."""
        match command:
            case OpenOrder():
                await self._open(command, state)
            case OfferOrder():
                await self._offer(command)
            case SetDeadlines():
                await self._set_deadlines(command)
            case WithdrawOrder():
                await self._withdraw(command)
            case MarkLate():
                await self._mark_late(command)
            case SetTimer():
                self._set_timer(command)
            case DropTimers():
                await self._write_timers()
                await self._uow.timers.cancel(self._process_id, command.prefix, self._now)
            case Notify():
                self.note("notified", {"whom": command.whom, "what": command.what, "order": command.key})
                if command.key is None:  # about the record: its assignees are notified with the rest
                    await self._mention_open()
            case RaisePriority():
                raised = min(HIGHEST_PRIORITY, self.record.priority + command.by)
                self.record = replace(self.record, priority=raised)
                self.note("priority_raised", {"priority": raised})
            case CloseRecord():
                await self._close(command)
            case _:
                assert_never(command)

    async def finish(self) -> None:
        """Write what was gathered: timers and lines of the timeline, all of each kind in one statement."""
        await self._write_timers()
        await self._uow.records.note_all(self._notes)
        self._notes.clear()

    def note(self, kind: str, data: JsonObject, actor: str = "process") -> None:
        """Put a line on the record's timeline."""
        self._notes.append(
            TimelineEntry(
                id=new_ulid(self._now), record_id=self.record.id, at=self._now, actor=actor, kind=kind, data=data
            )
        )

    def _key(self, key: str) -> str:
        return f"{self._process_id}/{key}"

    async def _open(self, command: OpenOrder, state: ProcessState) -> None:
        names = await names_of(self._uow, self.record, state) if command.formulas else {}
        values = {name: self._value(text, names) for name, text in command.formulas.items()}
        payload: dict[str, Json] = {
            **(await self._callback() if command.kind == "callback" else {}),
            "slot": command.slot,
            "outcomes": list(command.outcomes),
            "attempt": command.attempt,
            "avoid": list(command.avoid),
            "choose": command.choose,
            **({} if command.sticky is None else {"sticky": command.sticky}),
            **({} if command.call is None else {"call": command.call, "hours": command.within}),
            **({} if command.window_s is None else {"window_s": command.window_s}),
            **({"checklist": list(command.checklist)} if command.checklist else {}),
            **values,
        }
        before = None if command.same_as is None else await self._uow.work_orders.by_key(self._key(command.same_as))
        order = WorkOrder(
            id=WorkOrderId(new_ulid(self._now)),
            number=await self._uow.work_orders.next_number(command.kind, self._now.astimezone(self._zone).date()),
            key=self._key(command.key),
            kind=command.kind,
            record_id=self.record.id,
            process_id=self._process_id,
            step=command.step,
            assignee=None if before is None else before.assignee,
            role=command.role,
            accept_by=command.accept_by,
            due_at=command.due_at,
            planned_at=command.planned_at,
            payload=payload,
            created_at=self._now,
            updated_at=self._now,
        )
        if command.planned_at is None or command.planned_at <= self._now:
            order = work_order.step(await self._assigned(order), "offer", self._now)
        elif command.kind == "dispatch":  # who goes there plans their day before it has begun
            order = await self._assigned(order)
        # The key is unique: should this order stand already, the transaction fails and is tried again from the state.
        await self._uow.work_orders.add(order)
        self.orders[order.id] = order
        await self._plan_call(order)
        await self._note_order("order_planned" if order.state == "draft" else "order_offered", order)

    async def _callback(self) -> dict[str, Json]:
        """Whom to call back, why, for which queue: as the caller was promised last, else the record's own number."""
        asked = [entry for entry in await self._uow.records.timeline(self.record.id) if entry.kind == CALLBACK_ASKED]
        promised = asked[-1].data if asked else {}
        number = promised.get("number") or self.record.caller_number
        return {"number": number, **{key: promised.get(key, "") for key in ("reason", "queue", "call_id")}}

    async def _plan_call(self, order: WorkOrder) -> None:
        """The server does the orders that are done by calling: their time has come, and so has the call's."""
        flow, hours, attempt = (order.payload.get(key) for key in ("call", "hours", "attempt"))
        if order.state == "offered" and isinstance(flow, str):
            call = OutboundCall(
                id=new_ulid(self._now),
                order_id=order.id,
                record_id=self.record.id,
                contact_id=self.record.contact_id,
                flow=flow,
                attempt=attempt if isinstance(attempt, int) else 1,
                hours=hours if isinstance(hours, str) else None,
                due_at=self._now,
            )
            await self._uow.outbound_calls.add_once(call)

    async def _assigned(self, order: WorkOrder) -> WorkOrder:
        """The order with a person, where one is to be chosen and one fits; else open to the role."""
        if order.role == "owner":
            agent = None if self.record.owner is None else await self._uow.agents.find(self.record.owner)
            if agent is None or agent.user_id is None:  # nobody has talked with the caller yet
                return said(replace(order, role="supervisor"), "pool", self._now)
            return said(replace(order, role="agent", assignee=agent.user_id), "owner", self._now)
        if order.assignee is not None:
            return said(order, "same", self._now)
        return await self._assigning.by_rule(order)

    async def _offer(self, command: OfferOrder) -> None:
        order = await self._lock(command.key)
        if order.state == "draft":
            order = await self._still_right(order)
            order = await self._keep(work_order.step(order, "offer", self._now))
            await self._plan_call(order)
            await self._note_order("order_offered", order)

    async def _still_right(self, order: WorkOrder) -> WorkOrder:
        """Whom the rule chose when the order was planned may be ill by now; what a person gave out stays so."""
        if order.assignee is None:
            return await self._assigned(order)
        if how_of(order) not in ("rule", "sticky"):
            return order
        return await self._assigning.kept(order)

    async def _set_deadlines(self, command: SetDeadlines) -> None:
        order = await self._lock(command.key)
        if not order.is_open:
            return
        if command.accept_by is not None:
            order = replace(order, accept_by=command.accept_by)
        if command.due_at is not None:  # late is what passed the time that was promised; another one is promised now
            order = replace(order, due_at=command.due_at, late=order.late and command.due_at <= self._now)
        # of an order on hold this is when its clock was stopped
        at = order.updated_at if order.state == "on_hold" else self._now
        await self._keep(replace(order, updated_at=at))

    async def _withdraw(self, command: WithdrawOrder) -> None:
        order = await self._lock(command.key)
        if order.is_open:
            act: work_order.OrderAct = "decline" if command.declined and order.state == "offered" else "cancel"
            order = await self._keep(
                replace(work_order.step(order, act, self._now), result={**order.result, "reason": command.reason})
            )
            await self._note_order(f"order_{order.state}", order, reason=command.reason)

    async def _mark_late(self, command: MarkLate) -> None:
        order = await self._keep(replace(await self._lock(command.key), late=True, updated_at=self._now))
        await self._note_order("order_late", order)

    def _set_timer(self, command: SetTimer) -> None:
        self._timers.append(
            TimerRow(
                id=new_ulid(self._now),
                process_id=self._process_id,
                key=command.key,
                due_at=command.due_at,
                state="waiting",
            )
        )

    async def _write_timers(self) -> None:
        """Timers are rows of ours, and rows of the outbox with a due time: the same ids in both."""
        await self._uow.timers.add(self._timers)
        await self._uow.outbox.add_all(
            [
                OutboxRow(
                    id=timer.id,
                    topic="process_timer",
                    key=f"timer/{self._process_id}/{timer.key}",
                    payload={"process_id": self._process_id, "key": timer.key},
                    created_at=self._now,
                    due_at=timer.due_at,
                )
                for timer in self._timers
            ]
        )
        self._timers.clear()

    async def _close(self, command: CloseRecord) -> None:
        if command.beside:
            self.note("process_ended", {"resolution": command.resolution})
        elif self.record.status == "open":
            self.record = replace(
                self.record, status="closed", resolution=command.resolution, closed_at=self._now, updated_at=self._now
            )
            self.note("closed", {"resolution": command.resolution})

    async def _mention_open(self) -> None:
        for order in await self._uow.work_orders.of_process(self._process_id):
            if order.is_open:
                self.orders.setdefault(order.id, order)

    async def _lock(self, key: str) -> WorkOrder:
        found = await self._uow.work_orders.by_key(self._key(key))
        assert found is not None, f"order {key} of process {self._process_id} is missing"
        return await self._uow.work_orders.lock(found.id)

    async def _keep(self, order: WorkOrder) -> WorkOrder:
        await self._uow.work_orders.update(order)
        kept = replace(order, revision=order.revision + 1)
        self.orders[order.id] = kept
        return kept

    async def _note_order(self, kind: str, order: WorkOrder, **more: Json) -> None:
        if order.assignee is not None and order.assignee not in self._logins:
            known = self._assigning.known(order.assignee) or await self._uow.users.get(order.assignee)
            self._logins[order.assignee] = known.login
        data: dict[str, Json] = {
            "order": order.number,
            "kind": order.kind,
            "assignee": None if order.assignee is None else self._logins[order.assignee],
            "role": order.role,
            "due_at": iso(order.due_at),
            "planned_at": iso(order.planned_at),
            **more,
        }
        self.note(kind, data)

    def _value(self, text: str, names: Mapping[str, expression.Value]) -> Json:
        if not text.startswith("="):
            return text
        value = expression.parse(text[1:]).evaluate(names, Context(now=self._now, zone=self._zone))
        if isinstance(value, list | tuple):
            return [expression.to_text(item) for item in value]
        return None if value is None else expression.to_text(value)
