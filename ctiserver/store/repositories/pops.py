"""Screen-pops: what was pushed to whom, and when it was seen."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from ctiserver.model.calls.call_entry import Pop
from ctiserver.model.ids import AgentId, CallId
from ctiserver.store import rows, tables
from ctiserver.store.repository import Repository


class Pops(Repository[Pop, str]):
    """Screen-pops, by id."""

    table = tables.pops
    kind = Pop

    async def save(self, pop: Pop) -> None:
        """Write it, over what was written of the same before."""
        await rows.insert_or_replace(self._connection, self.table, rows.values(self.table, pop))

    async def painted(self, key: str, agent: AgentId, at: datetime) -> bool:
        """Note that ``agent``'s browser has drawn the pop; False if it is none of that agent's, or was noted before."""
        done = await self._connection.execute(
            sa.update(self.table)
            .where(self.table.c.id == key, self.table.c.agent_id == agent, self.table.c.painted_at.is_(None))
            .values(painted_at=at)
        )
        return done.rowcount == 1

    async def of_call(self, call: CallId) -> list[Pop]:
        return await self._all(sa.select(self.table).where(self.table.c.call_id == call).order_by(self.table.c.id))
