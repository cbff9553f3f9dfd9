"""Missed calls."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from ctiserver.model.calls.missed import MissedCall, MissedState
from ctiserver.store import rows, tables
from ctiserver.store.repository import Repository


class MissedCalls(Repository[MissedCall, str]):
    """Callers who left unserved."""

    table = tables.missed_calls
    kind = MissedCall

    async def save(self, missed: MissedCall) -> None:
        """Write it, over an earlier state of the same."""
        await rows.insert_or_replace(self._connection, self.table, rows.values(self.table, missed))

    async def of_period(self, number: str, period_began_at: datetime) -> MissedCall | None:
        return await self._one(
            sa.select(self.table).where(self.table.c.number == number, self.table.c.period_began_at == period_began_at)
        )

    async def open_of(self, number: str) -> list[MissedCall]:
        """What this number is still owed."""
        return await self._all(
            sa.select(self.table)
            .where(self.table.c.number == number, self.table.c.state == "open")
            .order_by(self.table.c.id)
        )

    async def last_at(self) -> datetime | None:
        """When the last unanswered call ended that is known of; None: there was none yet."""
        found = await self._all(sa.select(self.table).order_by(self.table.c.last_at.desc()).limit(1))
        return found[0].last_at if found else None

    async def still_open(self) -> list[MissedCall]:
        return await self._all(sa.select(self.table).where(self.table.c.state == "open").order_by(self.table.c.id))

    async def since(self, begin: datetime) -> list[MissedCall]:
        """Those first missed then or later, the oldest first."""
        return await self._all(sa.select(self.table).where(self.table.c.missed_at >= begin).order_by(self.table.c.id))

    async def page(
        self, limit: int = 50, *, before: str | None = None, state: MissedState | None = None
    ) -> list[MissedCall]:
        """The newest first, from the one after ``before``."""
        statement = sa.select(self.table).order_by(self.table.c.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(self.table.c.id < before)
        return await self._all(statement if state is None else statement.where(self.table.c.state == state))
