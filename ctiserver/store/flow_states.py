"""Where a call's flow stands while the PBX carries the call: a queue, a talk, a voicemail."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.ids import CallId
from ctiserver.model.json_value import JsonObject
from ctiserver.store import rows, tables


class FlowStates:
    """One saved state a call."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def save(self, call: CallId, state: JsonObject, now: datetime) -> None:
        """Keep the state, instead of an earlier one."""
        await rows.insert_or_replace(
            self._connection, tables.flow_states, {"call_id": call, "state": dict(state), "saved_at": now}
        )

    async def load(self, call: CallId) -> JsonObject | None:
        found = await self._connection.execute(
            sa.select(tables.flow_states.c.state).where(tables.flow_states.c.call_id == call)
        )
        state: JsonObject | None = found.scalar_one_or_none()
        return state

    async def remove(self, call: CallId) -> bool:
        """Whether there was one: of two that resume the same call, one is told so."""
        done = await self._connection.execute(sa.delete(tables.flow_states).where(tables.flow_states.c.call_id == call))
        return done.rowcount == 1

    async def older_than(self, moment: datetime) -> list[CallId]:
        """Calls whose state was saved before ``moment``."""
        found = await self._connection.execute(
            sa.select(tables.flow_states.c.call_id)
            .where(tables.flow_states.c.saved_at < moment)
            .order_by(tables.flow_states.c.saved_at)
        )
        return [CallId(key) for key in found.scalars()]
