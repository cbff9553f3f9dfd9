"""Where a call's flow stands while the PBX carries the call: a queue, a talk, a voicemail."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.ids import CallId, PbxName
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

    async def of_ended_calls(self, pbxs: Collection[PbxName]) -> list[CallId]:
        """Calls of these PBXs that the call log has as complete, and whose flow was not told so; the oldest first."""
        found = await self._connection.execute(
            sa.select(tables.flow_states.c.call_id)
            .join(tables.calls, tables.calls.c.id == tables.flow_states.c.call_id)
            .where(tables.calls.c.complete.is_(True), tables.calls.c.pbx.in_(pbxs))
            .order_by(tables.flow_states.c.saved_at)
        )
        return [CallId(key) for key in found.scalars()]
