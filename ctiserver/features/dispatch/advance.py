"""One advance of one process: read the state, ask ``decide``, and keep what it says, in one transaction.

Called by the durable engine at least once for each start, signal and timer, so it does nothing the second time: what
an instance was told is kept under the id of the outbox row that told it. Several advances may share a transaction, as
the commit is what takes longest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from ctiserver.clock import Clock
from ctiserver.features.dispatch.definitions import Definition, revived
from ctiserver.features.dispatch.execution import Execution
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import RecordId, UserId
from ctiserver.model.json_value import JsonObject
from ctiserver.model.process.decide import Stale, decide
from ctiserver.model.process.definition import ANY
from ctiserver.model.process.messages import (
    Begin,
    Cancelled,
    Event,
    Happened,
    OrderDueAnew,
    OrderEnded,
    OrderMoved,
    TimerFired,
)
from ctiserver.model.process.state import ProcessState
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.store.database import Database
from ctiserver.store.repositories.outbox import PROCESS_START
from ctiserver.store.repositories.processes import ProcessRow
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

#: Rows of the outbox that are for processes.
START, SIGNAL, TIMER = PROCESS_START, "process_signal", "process_timer"
TOPICS = (START, SIGNAL, TIMER)

Changed = Callable[[Record, list[WorkOrder]], None]


class Advance:
    """Starts processes and moves them on, each time in one transaction."""

    def __init__(
        self,
        database: Database,
        definitions: Callable[[], Mapping[str, Definition]],
        clock: Clock,
        time: WorkingTime,
        changed: Changed = lambda record, orders: None,
    ) -> None:
        """``definitions`` gives those in force now; ``changed`` is told after each commit that changed anything."""
        self._database = database
        self._definitions = definitions
        self._clock = clock
        self._time = time
        self._changed = changed

    async def __call__(self, topic: str, row_id: str, payload: JsonObject) -> None:
        """Carry out one row of the outbox, for the first time or again.

        Raises StoreUnavailable or Conflict: nothing was kept, do it again.
        """
        await self.together([(topic, row_id, payload)])

    async def together(self, told: Sequence[tuple[str, str, JsonObject]]) -> None:
        """Carry out several rows (topic, id, payload) in one transaction: all of them, or with any error none."""
        executions: list[Execution] = []
        async with self._database.unit_of_work(brief=True) as uow:
            if len(told) > 1:
                await uow.processes.one_bundle_at_a_time()
            for topic, row_id, payload in told:
                if topic == START:
                    executions += await self._start(uow, row_id, payload)
                else:
                    for process_id in await _addressed(uow, payload):
                        executions += await self._told(uow, process_id, row_id, topic, payload)
        for execution in executions:
            self._changed(execution.record, list(execution.orders.values()))

    async def _start(self, uow: UnitOfWork, row_id: str, payload: JsonObject) -> list[Execution]:
        record_id, name = RecordId(str(payload["record_id"])), str(payload["process"])
        if await uow.processes.exists(row_id):
            return []
        record = await uow.records.lock(record_id)
        now = self._clock.now()
        definition = self._definitions().get(name)
        if definition is None or record.status != "open":
            reason = "unknown" if definition is None else "record_closed"
            log.error("process_not_started", process=name, record=record.number, reason=reason)
            await _note(uow, record, now, "process_not_started", {"process": name, "reason": reason})
            return []
        if definition.file.for_.type == ANY and await _runs(uow, record_id, name):
            return []  # once is enough
        process = ProcessRow(
            id=row_id,
            record_id=record_id,
            name=name,
            version=definition.file.version,
            status="running",
            definition=definition.data,
            state=ProcessState().to_json(),
            started_at=now,
            updated_at=now,
        )
        await uow.processes.add(process)
        await _note(uow, record, now, "process_started", {"process": name, "version": process.version})
        return [await self._decided(uow, process, record, Begin(), now)]

    async def _told(
        self, uow: UnitOfWork, process_id: str, row_id: str, topic: str, payload: JsonObject
    ) -> list[Execution]:
        process = await uow.processes.lock(process_id)
        now = self._clock.now()
        if topic == TIMER:
            fresh = await uow.timers.end(process_id, str(payload["key"]), "fired", now)
        else:
            fresh = await uow.processes.told(process_id, row_id, topic, payload, now)
        if not fresh:
            return []  # carried out before, or a timer that was dropped in the meantime
        record = await uow.records.lock(process.record_id)
        event = await self._event(uow, process_id, topic, payload)
        try:
            return [await self._decided(uow, process, record, event, now)]
        except Stale as stale:
            log.info("process_event_stale", record=record.number, process=process.name, why=str(stale))
            if topic != TIMER:
                await uow.processes.came_too_late(process_id, row_id)
                await _note(uow, record, now, "came_too_late", {"what": _what(payload), "why": str(stale)})
            return []

    async def _event(self, uow: UnitOfWork, process_id: str, topic: str, payload: Mapping[str, Any]) -> Event:
        if topic == TIMER:
            order = await uow.work_orders.by_key(f"{process_id}/{str(payload['key']).partition(':')[0]}")
            return TimerFired(key=payload["key"], order_state=None if order is None else order.state)
        if "order_ended" in payload:
            ended = payload["order_ended"]
            by = None if ended["by"] is None else UserId(ended["by"])
            return OrderEnded(key=ended["key"], outcome=ended["outcome"], by=by, result=ended["result"])
        if "order_due_anew" in payload:
            due = payload["order_due_anew"]
            return OrderDueAnew(key=due["key"], due_at=datetime.fromisoformat(due["due_at"]))
        if "order_moved" in payload:
            moved = payload["order_moved"]
            planned = moved["planned_at"]
            return OrderMoved(
                key=moved["key"],
                revision=moved["revision"],
                order_state=moved["order_state"],
                planned_at=None if planned is None else datetime.fromisoformat(planned),
            )
        if "cancel" in payload:
            return Cancelled(reason=payload["cancel"])
        return Happened(name=payload["event"])

    async def _decided(
        self, uow: UnitOfWork, process: ProcessRow, record: Record, event: Event, now: datetime
    ) -> Execution:
        state, commands = decide(
            revived(process.definition), ProcessState.from_json(process.state), event, now, self._time
        )
        execution = Execution(uow, process.id, record, now, self._time)
        for command in commands:
            await execution.carry_out(command, state)
        await execution.finish()
        if execution.record != record:
            await uow.records.update(execution.record)
        closed_at = None if state.closed is None else now
        await uow.processes.keep(process, state.to_json(), now, closed_at=closed_at)
        return execution


async def _addressed(uow: UnitOfWork, payload: JsonObject) -> list[str]:
    """The process that a payload names, or all that run for the record that it names."""
    if "process_id" in payload:
        return [str(payload["process_id"])]
    running = await uow.processes.of_record(RecordId(str(payload["record_id"])))
    return [process.id for process in running if process.status == "running"]


async def _runs(uow: UnitOfWork, record: RecordId, name: str) -> bool:
    return any(row.name == name and row.status == "running" for row in await uow.processes.of_record(record))


def _what(payload: Mapping[str, Any]) -> str:
    if "order_ended" in payload:
        return str(payload["order_ended"]["outcome"])
    return str(payload.get("event") or next(iter(key for key in payload if key != "process_id"), ""))


async def _note(uow: UnitOfWork, record: Record, now: datetime, kind: str, data: JsonObject) -> None:
    await uow.records.write_line(record.id, now, "process", kind, data)
