"""The outbox: what a unit of work wants done elsewhere, committed together with why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.ids import RecordId, new_ulid
from ctiserver.model.json_value import JsonObject
from ctiserver.store import rows, tables

#: Topic of rows that have a process started.
PROCESS_START = "process_start"


#: When rows were handed on that were set aside instead: long before any was.
_ASIDE = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One thing to be handed on, once its unit of work is committed."""

    id: str  #: ULID, also the id by which the far side knows a second copy
    topic: str
    key: str  #: unique for the effect: adding it twice keeps the first
    payload: JsonObject
    created_at: datetime
    due_at: datetime  #: not to take effect before; when it was made, unless said otherwise
    handed_at: datetime | None = None


class Outbox:
    """Rows to be handed on by a relay."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.added: set[str] = set()  #: topics of which rows were left that are due at once

    async def add(
        self,
        topic: str,
        key: str,
        payload: JsonObject,
        now: datetime,
        *,
        due_at: datetime | None = None,
        row_id: str | None = None,
    ) -> bool:
        """Leave a row; False if one with this key was left before, which is then the one that counts.

        ``row_id``: an id that the row shall have, else a fresh one.
        """
        if due_at is None or due_at <= now:
            self.added.add(topic)
        return await rows.insert_or_leave(
            self._connection,
            tables.outbox,
            {
                "id": row_id or new_ulid(now),
                "topic": topic,
                "key": key,
                "payload": dict(payload),
                "created_at": now,
                "due_at": due_at or now,
                "handed_at": None,
            },
        )

    async def start_process(self, record: RecordId, process: str, now: datetime, *, cause: str = "") -> bool:
        """Have a process started, once a record, process and ``cause``; False if it was asked for before."""
        key = "/".join([PROCESS_START, record, process, *([cause] if cause else [])])
        return await self.add(PROCESS_START, key, {"record_id": record, "process": process}, now)

    async def add_all(self, left: Sequence[OutboxRow]) -> None:
        """Leave several rows at once, each unless one with its key was left before."""
        if left:
            self.added.update(row.topic for row in left if row.due_at <= row.created_at)
            await rows.insert_all_or_leave(
                self._connection, tables.outbox, [rows.values(tables.outbox, row) for row in left]
            )

    async def waiting(
        self,
        topics: Sequence[str],
        limit: int = 100,
        *,
        due_by: datetime | None = None,
        claim: bool = False,
        only: str | None = None,
    ) -> list[OutboxRow]:
        """Rows not yet handed on, those first that are due first; with ``due_by`` only those due until then.

        With ``claim`` they are this unit of work's until its end, and those that another one has are left out.
        ``only``: no other one than the one with this id.
        """
        statement = _waiting(topics, limit, due_by)
        if only is not None:
            statement = statement.where(tables.outbox.c.id == only)
        if claim:
            statement = statement.with_for_update(skip_locked=True)
        return [rows.build(OutboxRow, row) for row in await self._connection.execute(statement)]

    async def readable(
        self, topics: Sequence[str], limit: int = 100, *, due_by: datetime | None = None
    ) -> tuple[list[OutboxRow], dict[str, Exception]]:
        """As :meth:`waiting`, each read by itself; beside them the ids of those that can't be read, and why."""
        table = tables.outbox
        found: list[OutboxRow] = []
        unreadable: dict[str, Exception] = {}
        keys = await self._connection.execute(_waiting(topics, limit, due_by).with_only_columns(table.c.id))
        for key in keys.scalars().all():
            row = await self._connection.execute(sa.select(table).where(table.c.id == key))
            try:
                found += [rows.build(OutboxRow, one) for one in row]
            except DBAPIError:
                raise
            except Exception as error:  # noqa: BLE001 - the edge of one row
                unreadable[key] = error
        return found, unreadable

    async def set_aside(self, key: str, *, aside: bool) -> None:
        """Take a row out of what waits, or put it back. It is neither handed on nor purged meanwhile."""
        table = tables.outbox
        await self._connection.execute(
            sa.update(table).where(table.c.id == key).values(handed_at=_ASIDE if aside else None)
        )

    async def waiting_count(self) -> int:
        """How many rows of any topic are not yet handed on."""
        table = tables.outbox
        found = await self._connection.execute(
            sa.select(sa.func.count()).select_from(table).where(table.c.handed_at.is_(None))
        )
        return int(found.scalar_one())

    async def by_id(self, row_id: str) -> OutboxRow | None:
        found = await self._connection.execute(sa.select(tables.outbox).where(tables.outbox.c.id == row_id))
        row = found.one_or_none()
        return None if row is None else rows.build(OutboxRow, row)

    async def by_key(self, key: str) -> OutboxRow | None:
        found = await self._connection.execute(sa.select(tables.outbox).where(tables.outbox.c.key == key))
        row = found.one_or_none()
        return None if row is None else rows.build(OutboxRow, row)

    async def handed(self, ids: Sequence[str], now: datetime) -> None:
        """Note that the far side has these."""
        await self._connection.execute(
            sa.update(tables.outbox)
            .where(tables.outbox.c.id.in_(ids), tables.outbox.c.handed_at.is_(None))
            .values(handed_at=now)
        )

    async def purge(self, before: datetime) -> int:
        """Remove rows handed on before then; how many they were."""
        handed_at = tables.outbox.c.handed_at
        done = await self._connection.execute(sa.delete(tables.outbox).where(handed_at < before, handed_at != _ASIDE))
        return done.rowcount


def _waiting(topics: Sequence[str], limit: int, due_by: datetime | None) -> sa.Select[Any]:
    table = tables.outbox
    statement = (
        sa.select(table)
        .where(table.c.handed_at.is_(None), table.c.topic.in_(topics))
        .order_by(table.c.due_at, table.c.id)
        .limit(limit)
    )
    return statement if due_by is None else statement.where(table.c.due_at <= due_by)
