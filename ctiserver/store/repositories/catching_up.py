"""What was taken over from a PBX's own journal, and until when it has been watched."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.ids import CallId, PbxName
from ctiserver.store import rows, tables


class CatchingUp:
    """A journal's entry is taken once, however often it is read; its row commits with what was made of it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def take(self, pbx: PbxName, epoch: int, key: str, call: CallId, now: datetime) -> bool:
        """Take an entry; False if it was taken before. ``epoch``: when the dialplan wrote it, seconds since 1970."""
        columns = {"pbx": pbx, "epoch": epoch, "key": key, "call_id": call, "taken_at": now}
        return await rows.insert_or_leave(self._connection, tables.journal_entries, columns)

    async def watched_until(self, pbx: PbxName) -> datetime | None:
        """Until when all that this PBX said is known; None: it was never watched."""
        until = await self._connection.execute(sa.select(tables.watches.c.until).where(tables.watches.c.pbx == pbx))
        return until.scalar_one_or_none()

    async def watched(self, pbx: PbxName, until: datetime) -> None:
        """All that this PBX said until then is known."""
        await rows.insert_or_replace(self._connection, tables.watches, {"pbx": pbx, "until": until})
