"""Process instances, what they were told, and their timers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.ids import RecordId, new_ulid
from ctiserver.model.json_value import Json, JsonObject
from ctiserver.store import rows, tables
from ctiserver.store.repository import RevisedRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow:
    """One process under way, with the definition that it was started with."""

    id: str  #: the id of the outbox row that started it
    record_id: RecordId
    name: str
    version: int
    status: Literal["running", "closed"]
    definition: Mapping[str, Json] = field(default_factory=dict)
    state: Mapping[str, Json] = field(default_factory=dict)
    started_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerRow:
    """One deadline of a process."""

    id: str
    process_id: str
    key: str
    due_at: datetime
    state: Literal["waiting", "fired", "cancelled"]
    ended_at: datetime | None = None


class Processes(RevisedRepository[ProcessRow, str]):
    """Process instances."""

    table = tables.processes
    kind = ProcessRow

    async def keep(self, process: ProcessRow, state: JsonObject, now: datetime, *, closed_at: datetime | None) -> None:
        """Write the state that follows from the one in ``process``. Raises Conflict if somebody was faster."""
        status: Literal["running", "closed"] = "running" if closed_at is None else "closed"
        await self.update(replace(process, state=state, status=status, updated_at=now, closed_at=closed_at))

    async def of_record(self, record: RecordId) -> list[ProcessRow]:
        """In the order they were started."""
        return await self._all(sa.select(self.table).where(self.table.c.record_id == record).order_by(self.table.c.id))

    async def told(
        self, process: str, event_id: str, kind: str, data: JsonObject, now: datetime, *, applied: bool
    ) -> bool:
        """Note an event; False if this instance was told it before."""
        return await rows.insert_or_leave(
            self._connection,
            tables.process_events,
            {
                "process_id": process,
                "event_id": event_id,
                "at": now,
                "kind": kind,
                "applied": applied,
                "data": dict(data),
            },
        )

    async def was_told(self, process: str, event_id: str) -> bool:
        table = tables.process_events
        found = await self._connection.execute(
            sa.select(table.c.event_id).where(table.c.process_id == process, table.c.event_id == event_id)
        )
        return found.one_or_none() is not None


class Timers:
    """Deadlines of processes."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, process: str, key: str, due_at: datetime, now: datetime) -> TimerRow | None:
        """A new waiting timer; None if this process has had one with this key."""
        timer = TimerRow(id=new_ulid(now), process_id=process, key=key, due_at=due_at, state="waiting")
        added = await rows.insert_or_leave(self._connection, tables.timers, rows.values(tables.timers, timer))
        return timer if added else None

    async def end(self, process: str, key: str, state: Literal["fired", "cancelled"], now: datetime) -> bool:
        """Close a waiting timer; False if it does not wait any more."""
        table = tables.timers
        done = await self._connection.execute(
            sa.update(table)
            .where(table.c.process_id == process, table.c.key == key, table.c.state == "waiting")
            .values(state=state, ended_at=now)
        )
        return done.rowcount == 1

    async def cancel(self, process: str, prefix: str, now: datetime) -> None:
        """Close every waiting timer of a process whose key begins so, and take back what the outbox holds of them."""
        table = tables.timers
        meant = (
            (table.c.process_id == process)
            & (table.c.state == "waiting")
            & table.c.key.startswith(prefix, autoescape=True)
        )
        await self._connection.execute(
            sa.delete(tables.outbox).where(
                tables.outbox.c.id.in_(sa.select(table.c.id).where(meant)), tables.outbox.c.handed_at.is_(None)
            )
        )
        await self._connection.execute(sa.update(table).where(meant).values(state="cancelled", ended_at=now))

    async def waiting(self, process: str) -> list[TimerRow]:
        return await self._rows(tables.timers.c.process_id == process)

    async def overdue(self, before: datetime, limit: int = 500) -> list[TimerRow]:
        """Waiting timers that were due before then, the oldest first."""
        return await self._rows(tables.timers.c.due_at < before, limit)

    async def ended(self, limit: int = 500) -> list[TimerRow]:
        """Timers that were dropped before they fired, the oldest first."""
        table = tables.timers
        found = await self._connection.execute(
            sa.select(table).where(table.c.state == "cancelled").order_by(table.c.due_at).limit(limit)
        )
        return [rows.build(TimerRow, row) for row in found]

    async def remove(self, ids: Sequence[str]) -> None:
        """Forget these."""
        await self._connection.execute(sa.delete(tables.timers).where(tables.timers.c.id.in_(ids)))

    async def _rows(self, condition: sa.ColumnElement[bool], limit: int = 500) -> list[TimerRow]:
        table = tables.timers
        found = await self._connection.execute(
            sa.select(table).where(table.c.state == "waiting", condition).order_by(table.c.due_at).limit(limit)
        )
        return [rows.build(TimerRow, row) for row in found]


class Executors:
    """Servers that carry processes on, and when each was last heard of."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def beat(self, executor: str, now: datetime) -> None:
        """This one is alive."""
        await rows.insert_or_replace(self._connection, tables.executors, {"id": executor, "beat_at": now})

    async def silent_since(self, moment: datetime) -> list[str]:
        """Those not heard of since then."""
        table = tables.executors
        found = await self._connection.execute(
            sa.select(table.c.id).where(table.c.beat_at < moment).order_by(table.c.id)
        )
        return list(found.scalars())

    async def forget(self, beat_before: datetime) -> None:
        """Remove those not heard of since then."""
        await self._connection.execute(sa.delete(tables.executors).where(tables.executors.c.beat_at < beat_before))
