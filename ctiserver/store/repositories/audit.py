"""The audit log. There is no way here to change or remove what stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.audit import AuditAct, AuditEntry
from ctiserver.model.ids import new_ulid
from ctiserver.model.json_value import Json
from ctiserver.store import rows, tables


class AuditLog:
    """Who did what, when, to what, and from where."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def note(
        self,
        at: datetime,
        actor: str,
        act: AuditAct,
        subject: str = "",
        *,
        peer: str = "",
        detail: Mapping[str, Json] | None = None,
    ) -> None:
        """Keep that ``actor`` did ``act``, in the same transaction as the act itself where that writes too."""
        entry = AuditEntry(
            id=new_ulid(at), at=at, actor=actor, act=act, subject=subject, peer=peer, detail=dict(detail or {})
        )
        await rows.insert(self._connection, tables.audit, entry)

    async def page(
        self,
        limit: int = 50,
        *,
        before: str | None = None,
        actor: str | None = None,
        act: AuditAct | None = None,
        subject: str | None = None,
    ) -> list[AuditEntry]:
        """The newest first, from the one after ``before``; of one person, one act, one thing, or all."""
        table = tables.audit
        statement = sa.select(table).order_by(table.c.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(table.c.id < before)
        for column, wanted in ((table.c.actor, actor), (table.c.act, act), (table.c.subject, subject)):
            if wanted is not None:
                statement = statement.where(column == wanted)
        return [rows.build(AuditEntry, row) for row in await self._connection.execute(statement)]
