"""Work that could not be done."""

from __future__ import annotations

import sqlalchemy as sa

from ctiserver.model.set_aside import SetAside
from ctiserver.store import rows, tables
from ctiserver.store.repository import Repository


class SetAsideWork(Repository[SetAside, str]):
    """What is set aside, by id."""

    table = tables.set_aside
    kind = SetAside

    async def of(self, kind: str, ref: str) -> SetAside | None:
        """The one of this kind that its service knows by ``ref``."""
        return await self._one(sa.select(self.table).where(self.table.c.kind == kind, self.table.c.ref == ref))

    async def save(self, item: SetAside) -> None:
        """Keep it, or write over what is kept of it."""
        await rows.insert_or_replace(self._connection, self.table, rows.values(self.table, item))

    async def remove(self, key: str) -> None:
        """It is to be done again."""
        await self._connection.execute(sa.delete(self.table).where(self.table.c.id == key))

    async def keys(self) -> set[tuple[str, str]]:
        """Kind and ref of each, dropped ones too."""
        found = await self._connection.execute(sa.select(self.table.c.kind, self.table.c.ref))
        return {(kind, ref) for kind, ref in found}

    async def waiting(self, limit: int, before: str | None = None) -> list[SetAside]:
        """Those that wait for a decision, the newest first."""
        statement = sa.select(self.table).where(self.table.c.state == "waiting")
        if before is not None:
            statement = statement.where(self.table.c.id < before)
        return await self._all(statement.order_by(self.table.c.id.desc()).limit(limit))

    async def waiting_count(self) -> int:
        """How many wait for a decision."""
        found = await self._connection.execute(
            sa.select(sa.func.count()).select_from(self.table).where(self.table.c.state == "waiting")
        )
        return int(found.scalar_one())
