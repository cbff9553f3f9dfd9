"""What other systems asked for, by the key that they chose for it."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.ids import UserId
from ctiserver.model.json_value import Json, JsonObject
from ctiserver.store import rows, tables
from ctiserver.store.faults import Conflict


class Requests:
    """Requests that were done, and what they were answered."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def answered(self, user: UserId, key: str, body_hash: str) -> dict[str, Json] | None:
        """What was answered to this request before; None if it is new.

        Raises Conflict if the same key came with something else.
        """
        table = tables.requests
        found = await self._connection.execute(
            sa.select(table.c.body_hash, table.c.answer).where(table.c.user_id == user, table.c.key == key)
        )
        row = found.one_or_none()
        if row is None:
            return None
        if row.body_hash != body_hash:
            raise Conflict(f"the key {key} was used for another request; choose a new one for each")
        return dict(row.answer)

    async def keep(self, user: UserId, key: str, body_hash: str, answer: JsonObject, at: datetime) -> None:
        """Keep what was answered, with what was done. Raises Conflict if the same request is done at this moment."""
        kept = await rows.insert_or_leave(
            self._connection,
            tables.requests,
            {"user_id": user, "key": key, "body_hash": body_hash, "answer": answer, "at": at},
        )
        if not kept:
            raise Conflict(f"the request with the key {key} is in progress; ask again")
