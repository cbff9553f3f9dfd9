"""Process instances, what they were told, and their timers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.ids import RecordId
from ctiserver.model.json_value import Json, JsonObject
from ctiserver.store import rows, tables
from ctiserver.store.faults import Conflict
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


# Statements of every advance are made once: building one costs more than running it.
_EXISTS = sa.select(tables.processes.c.id).where(tables.processes.c.id == sa.bindparam("key_"))
#: Any number that nothing else on this database takes for an advisory lock.
_BUNDLE_LOCK = sa.select(sa.func.pg_advisory_xact_lock(7_263_001))
_KEEP = (
    sa.update(tables.processes)
    .where(tables.processes.c.id == sa.bindparam("key_"), tables.processes.c.revision == sa.bindparam("revision_"))
    .values({name: sa.bindparam(name) for name in ("revision", "state", "status", "updated_at", "closed_at")})
)
_MEANT = (
    (tables.timers.c.process_id == sa.bindparam("process_"))
    # Written so that SQLite does not take the index over all waiting timers: of 10,000 processes that is 20,000 rows.
    & (tables.timers.c.state.concat("") == "waiting")
    & tables.timers.c.key.like(sa.bindparam("like_"), escape="|")
)
_ENDED: dict[str, Any] = {name: sa.bindparam(name) for name in ("state", "ended_at")}
_CANCEL = sa.update(tables.timers).where(_MEANT).values(_ENDED)
_TAKE_BACK = sa.delete(tables.outbox).where(
    tables.outbox.c.id.in_(sa.select(tables.timers.c.id).where(_MEANT)), tables.outbox.c.handed_at.is_(None)
)
_END = (
    sa.update(tables.timers)
    .where(
        tables.timers.c.process_id == sa.bindparam("process_"),
        tables.timers.c.key == sa.bindparam("timer_key"),
        tables.timers.c.state == sa.literal("waiting"),
    )
    .values(_ENDED)
)


class Processes(RevisedRepository[ProcessRow, str]):
    """Process instances."""

    table = tables.processes
    kind = ProcessRow

    async def exists(self, process: str) -> bool:
        """Whether it was started."""
        return (await self._connection.execute(_EXISTS, {"key_": process})).first() is not None

    async def one_bundle_at_a_time(self) -> None:
        """Wait, and make others wait, until the unit of work ends that carries on several processes.

        Each locks what it needs in its own order (processes, records, the counters that number orders), so that two
        such units on one PostgreSQL would often stop each other. On SQLite only one writes anyway.
        """
        if self._connection.dialect.name == "postgresql":
            await self._connection.execute(_BUNDLE_LOCK)

    async def keep(self, process: ProcessRow, state: JsonObject, now: datetime, *, closed_at: datetime | None) -> None:
        """Write the state that follows from the one in ``process``. Raises Conflict if somebody was faster.

        The definition stays as it was; it is by far the largest part of the row.
        """
        done = await self._connection.execute(
            _KEEP,
            {
                "key_": process.id,
                "revision_": process.revision,
                "revision": process.revision + 1,
                "state": state,
                "status": "running" if closed_at is None else "closed",
                "updated_at": now,
                "closed_at": closed_at,
            },
        )
        if done.rowcount != 1:
            raise Conflict(f"process {process.id} is no longer at revision {process.revision}")

    async def of_record(self, record: RecordId) -> list[ProcessRow]:
        """In the order they were started."""
        return await self._all(sa.select(self.table).where(self.table.c.record_id == record).order_by(self.table.c.id))

    async def told(self, process: str, event_id: str, kind: str, data: JsonObject, now: datetime) -> bool:
        """Note an event; False if this instance was told it before."""
        return await rows.insert_or_leave(
            self._connection,
            tables.process_events,
            {
                "process_id": process,
                "event_id": event_id,
                "at": now,
                "kind": kind,
                "applied": True,
                "data": dict(data),
            },
        )

    async def came_too_late(self, process: str, event_id: str) -> None:
        """Note of an event that it changed nothing."""
        table = tables.process_events
        await self._connection.execute(
            sa.update(table).where(table.c.process_id == process, table.c.event_id == event_id).values(applied=False)
        )


class Timers:
    """Deadlines of processes."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, timers: Sequence[TimerRow]) -> None:
        """New waiting timers; each unless its process has had one with its key."""
        await rows.insert_all_or_leave(
            self._connection, tables.timers, [rows.values(tables.timers, timer) for timer in timers]
        )

    async def end(self, process: str, key: str, state: Literal["fired", "cancelled"], now: datetime) -> bool:
        """Close a waiting timer; False if it does not wait any more."""
        done = await self._connection.execute(
            _END, {"process_": process, "timer_key": key, "state": state, "ended_at": now}
        )
        return done.rowcount == 1

    async def cancel(self, process: str, prefix: str, now: datetime) -> None:
        """Close every waiting timer of a process whose key begins so, and take back what the outbox holds of them."""
        escaped = prefix.replace("|", "||").replace("%", "|%").replace("_", "|_")
        meant = {"process_": process, "like_": f"{escaped}%"}
        await self._connection.execute(_TAKE_BACK, meant)
        await self._connection.execute(_CANCEL, {**meant, "state": "cancelled", "ended_at": now})

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
