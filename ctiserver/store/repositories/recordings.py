"""Recordings of calls."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from ctiserver.model.calls.recording import Recording
from ctiserver.model.ids import CallId, PbxName, RecordingId
from ctiserver.store import rows, tables
from ctiserver.store.repository import Repository


class Recordings(Repository[Recording, RecordingId]):
    """Recordings, by id."""

    table = tables.recordings
    kind = Recording

    async def add_once(self, recording: Recording) -> bool:
        """Keep a new one; False if this file is known already."""
        columns = rows.values(self.table, recording)
        return await rows.insert_or_leave(self._connection, self.table, columns)

    async def save(self, recording: Recording) -> None:
        """Write over what is kept of it."""
        await rows.insert_or_replace(self._connection, self.table, rows.values(self.table, recording))

    async def remove(self, key: RecordingId) -> None:
        """Forget one of which there is nothing to be known."""
        await self._connection.execute(sa.delete(self.table).where(self.table.c.id == key))

    async def of_file(self, pbx: PbxName, file: str) -> Recording | None:
        return await self._one(sa.select(self.table).where(self.table.c.pbx == pbx, self.table.c.file == file))

    async def of_call(self, call: CallId) -> list[Recording]:
        """The oldest first."""
        return await self._all(sa.select(self.table).where(self.table.c.call_id == call).order_by(self.table.c.id))

    async def files(self, pbx: PbxName, since: datetime) -> frozenset[str]:
        """The names of one PBX's files that began after ``since``."""
        found = await self._connection.execute(
            sa.select(self.table.c.file).where(self.table.c.pbx == pbx, self.table.c.started_at >= since)
        )
        return frozenset(found.scalars())

    async def move(self, absorbed: CallId, kept: CallId) -> None:
        """Two calls turned out to be one."""
        await self._connection.execute(
            sa.update(self.table).where(self.table.c.call_id == absorbed).values(call_id=kept)
        )

    async def open(self) -> list[Recording]:
        """Those whose end has not been seen, the oldest first."""
        found, _ = await self._readable(
            sa.select(self.table).where(self.table.c.stopped_at.is_(None)).order_by(self.table.c.id)
        )
        return found

    async def unfound(self, since: datetime) -> list[Recording]:
        """Those that ended after ``since`` and whose file nobody has seen, the oldest first."""
        found, _ = await self._readable(
            sa.select(self.table)
            .where(
                self.table.c.stopped_at >= since,
                self.table.c.found_at.is_(None),
                self.table.c.removed_at.is_(None),
            )
            .order_by(self.table.c.id)
        )
        return found

    async def old(self, before: datetime, limit: int = 500) -> list[Recording]:
        """Those that began before this and were not removed, the oldest first."""
        found, _ = await self._readable(
            sa.select(self.table)
            .where(self.table.c.started_at < before, self.table.c.removed_at.is_(None))
            .order_by(self.table.c.id)
            .limit(limit)
        )
        return found
