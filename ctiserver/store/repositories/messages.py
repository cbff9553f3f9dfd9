"""Messages to the world outside, and who wants none."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from ctiserver.model.message import Message, MessageState
from ctiserver.store import rows, tables
from ctiserver.store.repository import Repository


class Messages(Repository[Message, str]):
    """Messages, by id."""

    table = tables.messages
    kind = Message

    async def add_once(self, message: Message) -> bool:
        """Keep a new one; False if its cause made one before."""
        return await rows.insert_or_leave(self._connection, self.table, rows.values(self.table, message))

    async def save(self, message: Message) -> None:
        """Write over what is kept of it; anyone who does has locked it."""
        await rows.insert_or_replace(self._connection, self.table, rows.values(self.table, message))

    async def due(self, now: datetime, limit: int = 20) -> tuple[list[Message], dict[str, Exception]]:
        """Those to be sent now, the longest due first; and the ids of those that can't be read, with why."""
        return await self._readable(
            sa.select(self.table)
            .where(self.table.c.state == "queued", self.table.c.next_at <= now)
            .order_by(self.table.c.next_at, self.table.c.id)
            .limit(limit)
        )

    async def next_due(self) -> datetime | None:
        """When the next one is to be sent."""
        found = await self._connection.execute(
            sa.select(sa.func.min(self.table.c.next_at)).where(self.table.c.state == "queued")
        )
        value: datetime | None = found.scalar_one()
        return value

    async def page(
        self, *, state: MessageState | None = None, before: str | None = None, limit: int = 50
    ) -> list[Message]:
        """The newest first, from the one after ``before``."""
        statement = sa.select(self.table).order_by(self.table.c.id.desc()).limit(limit)
        if state is not None:
            statement = statement.where(self.table.c.state == state)
        if before is not None:
            statement = statement.where(self.table.c.id < before)
        found, _ = await self._readable(statement)  # the others are set aside
        return found

    async def set_state(self, key: str, state: MessageState) -> None:
        """Of one whose row may not be readable."""
        await self._connection.execute(sa.update(self.table).where(self.table.c.id == key).values(state=state))

    async def opt_out(self, number: str, now: datetime) -> None:
        """This number wants no SMS any more."""
        await rows.insert_or_leave(self._connection, tables.opt_outs, {"number": number, "at": now})

    async def opt_in(self, number: str) -> None:
        """It wants them again."""
        await self._connection.execute(sa.delete(tables.opt_outs).where(tables.opt_outs.c.number == number))

    async def opted_out(self, number: str) -> bool:
        found = await self._connection.execute(
            sa.select(tables.opt_outs.c.number).where(tables.opt_outs.c.number == number)
        )
        return found.one_or_none() is not None
