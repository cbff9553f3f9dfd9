"""Stock of spare parts, expense lines, settlements."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.ids import RecordId, WorkOrderId
from ctiserver.model.work.expense import ExpenseLine, ExpenseState, Settlement
from ctiserver.model.work.stock import Level, StockMove
from ctiserver.model.work.work_order import OPEN_STATES
from ctiserver.store import rows, tables
from ctiserver.store.repository import Repository, RevisedRepository


class Stock:
    """Levels, promises to orders, and what was done."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def levels(self, place: str | None = None) -> list[Level]:
        """By place and part."""
        table = tables.stock_levels
        statement = sa.select(table).order_by(table.c.place, table.c.part)
        if place is not None:
            statement = statement.where(table.c.place == place)
        return [rows.build(Level, row) for row in await self._connection.execute(statement)]

    async def lock(self, place: str, part: str) -> Level:
        """The level of a part at a place, which nobody else changes until this unit of work ends."""
        table = tables.stock_levels
        nothing = rows.values(table, Level(place=place, part=part))
        await rows.insert_or_leave(self._connection, table, nothing)
        found = await self._connection.execute(
            sa.select(table).where(table.c.place == place, table.c.part == part).with_for_update()
        )
        return rows.build(Level, found.one())

    async def save(self, level: Level) -> None:
        """Write a level that was locked."""
        await rows.insert_or_replace(self._connection, tables.stock_levels, rows.values(tables.stock_levels, level))

    async def promised(self, order: WorkOrderId, place: str, part: str) -> int:
        """How many of the reserved ones at a place are for this order."""
        table = tables.stock_reservations
        found = await self._connection.execute(
            sa.select(table.c.quantity).where(table.c.order_id == order, table.c.place == place, table.c.part == part)
        )
        return int(found.scalar_one_or_none() or 0)

    async def promise(self, order: WorkOrderId, place: str, part: str, quantity: int) -> None:
        """Write how many are for this order."""
        await rows.insert_or_replace(
            self._connection,
            tables.stock_reservations,
            {"order_id": order, "place": place, "part": part, "quantity": quantity},
        )

    async def stale_promises(self) -> list[tuple[WorkOrderId, str, str, int]]:
        """Order, place, part and number of all that is still reserved for orders that are over."""
        table, orders = tables.stock_reservations, tables.work_orders
        found = await self._connection.execute(
            sa.select(table)
            .join(orders, orders.c.id == table.c.order_id)
            .where(table.c.quantity > 0, orders.c.state.not_in(OPEN_STATES))
            .order_by(table.c.place, table.c.part, table.c.order_id)
        )
        return [(WorkOrderId(row.order_id), row.place, row.part, row.quantity) for row in found]

    async def add(self, move: StockMove) -> bool:
        """Keep a move; False if one with its key was made before."""
        columns = rows.values(tables.stock_moves, move)
        return await rows.insert_or_leave(self._connection, tables.stock_moves, columns)

    async def by_key(self, key: str) -> StockMove | None:
        """The move with this key."""
        found = await self._connection.execute(sa.select(tables.stock_moves).where(tables.stock_moves.c.key == key))
        row = found.one_or_none()
        return None if row is None else rows.build(StockMove, row)

    async def moves(
        self, *, place: str | None = None, part: str | None = None, before: str | None = None, limit: int = 50
    ) -> list[StockMove]:
        """The newest first, from the one after ``before``."""
        table = tables.stock_moves
        statement = sa.select(table).order_by(table.c.id.desc()).limit(limit)
        for column, wanted in ((table.c.place, place), (table.c.part, part)):
            if wanted is not None:
                statement = statement.where(column == wanted)
        if before is not None:
            statement = statement.where(table.c.id < before)
        return [rows.build(StockMove, row) for row in await self._connection.execute(statement)]


class Expenses(RevisedRepository[ExpenseLine, str]):
    """Expense lines."""

    table = tables.expense_lines
    kind = ExpenseLine

    async def by_key(self, key: str) -> ExpenseLine | None:
        return await self._one(sa.select(self.table).where(self.table.c.key == key))

    async def of_record(self, record: RecordId) -> list[ExpenseLine]:
        """In the order they were written."""
        return await self._all(sa.select(self.table).where(self.table.c.record_id == record).order_by(self.table.c.id))

    async def in_state(self, state: ExpenseState, limit: int = 200) -> list[ExpenseLine]:
        """The oldest first."""
        return await self._all(
            sa.select(self.table).where(self.table.c.state == state).order_by(self.table.c.id).limit(limit)
        )

    async def unsettled(self, payee: str, before: datetime) -> list[ExpenseLine]:
        """Approved lines of a payee from before a moment that no settlement has paid."""
        table = self.table
        return await self._all(
            sa.select(table)
            .where(
                table.c.payee == payee,
                table.c.state == "approved",
                table.c.settlement_id.is_(None),
                table.c.at < before,
            )
            .order_by(table.c.id)
            .with_for_update()
        )

    async def settle(self, lines: list[str], settlement: str) -> None:
        """Note which settlement pays these lines."""
        table = self.table
        await self._connection.execute(
            sa.update(table)
            .where(table.c.id.in_(lines))
            .values(settlement_id=settlement, revision=table.c.revision + 1)
        )


class Settlements(Repository[Settlement, str]):
    """Settlements."""

    table = tables.settlements
    kind = Settlement

    async def of(self, payee: str, month: str) -> Settlement | None:
        return await self._one(sa.select(self.table).where(self.table.c.payee == payee, self.table.c.month == month))

    async def recent(self, limit: int = 100) -> list[Settlement]:
        """The newest first."""
        return await self._all(sa.select(self.table).order_by(self.table.c.id.desc()).limit(limit))
