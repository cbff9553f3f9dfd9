"""Work orders."""

from __future__ import annotations

from datetime import date, datetime

import sqlalchemy as sa

from ctiserver.model.ids import ContactId, RecordId, UserId, WorkOrderId
from ctiserver.model.work.work_order import NUMBER_PREFIX, OPEN_STATES, OrderKind, WorkOrder
from ctiserver.store import tables
from ctiserver.store.repositories.records import next_number
from ctiserver.store.repository import RevisedRepository


class WorkOrders(RevisedRepository[WorkOrder, WorkOrderId]):
    """Work orders."""

    table = tables.work_orders
    kind = WorkOrder

    async def next_number(self, kind: OrderKind, day: date) -> str:
        """The number for a new order; ``day`` is the site's own date."""
        return await next_number(self._connection, NUMBER_PREFIX[kind], day)

    async def by_key(self, key: str) -> WorkOrder | None:
        return await self._one(sa.select(self.table).where(self.table.c.key == key))

    async def of_record(self, record: RecordId) -> list[WorkOrder]:
        """In the order they were made."""
        return await self._all(sa.select(self.table).where(self.table.c.record_id == record).order_by(self.table.c.id))

    async def of_process(self, process: str) -> list[WorkOrder]:
        """In the order they were made."""
        return await self._all(
            sa.select(self.table).where(self.table.c.process_id == process).order_by(self.table.c.id)
        )

    async def inbox(
        self, user: UserId, role: str, *, open_only: bool = True, limit: int = 200, after: WorkOrder | None = None
    ) -> list[WorkOrder]:
        """What a person has to do: what is assigned to them, and what anybody of their role may take; due first.

        ``after``: only what follows this one in that order.
        """
        table = self.table
        mine = (table.c.assignee == user) | (table.c.assignee.is_(None) & (table.c.role == role))
        statement = sa.select(table).where(mine)
        if open_only:
            statement = statement.where(table.c.state.in_(OPEN_STATES))
        if after is not None:
            later = table.c.id > after.id
            if after.due_at is None:
                statement = statement.where(table.c.due_at.is_(None) & later)
            else:
                same = (table.c.due_at == after.due_at) & later
                statement = statement.where(table.c.due_at.is_(None) | (table.c.due_at > after.due_at) | same)
        return await self._all(statement.order_by(table.c.due_at.is_(None), table.c.due_at, table.c.id).limit(limit))

    async def due_before(self, moment: datetime, limit: int = 500) -> list[WorkOrder]:
        """Open orders that are late, or to be taken or done before ``moment``; due first."""
        table = self.table
        return await self._all(
            sa.select(table)
            .where(
                table.c.state.in_(OPEN_STATES - {"draft", "on_hold"}),
                table.c.late
                | (table.c.due_at < moment)
                | ((table.c.state == "offered") & (table.c.accept_by < moment)),
            )
            .order_by(table.c.due_at.is_(None), table.c.due_at, table.c.id)
            .limit(limit)
        )

    async def of_day(self, kind: OrderKind, begin: datetime, end: datetime, limit: int = 2000) -> list[WorkOrder]:
        """Every open order of a kind, and those done that were planned for, or without a plan ended, from ``begin`` to
        ``end``; planned ones by time."""
        table = self.table
        planned = (table.c.planned_at >= begin) & (table.c.planned_at < end)
        done = (table.c.state == "done") & (table.c.updated_at >= begin) & (table.c.updated_at < end)
        return await self._all(
            sa.select(table)
            .where(
                table.c.kind == kind, table.c.state.in_(OPEN_STATES) | (done & (planned | table.c.planned_at.is_(None)))
            )
            .order_by(table.c.planned_at.is_(None), table.c.planned_at, table.c.id)
            .limit(limit)
        )

    async def open_of(self, user: UserId) -> list[WorkOrder]:
        """What somebody has and is not over, in the order in which it was made."""
        table = self.table
        return await self._all(
            sa.select(table).where(table.c.assignee == user, table.c.state.in_(OPEN_STATES)).order_by(table.c.id)
        )

    async def last_doer(self, kind: OrderKind, *, record: RecordId, contact: ContactId | None = None) -> UserId | None:
        """Who last did an order of a kind for this record; with ``contact`` for any record of theirs."""
        table, records = self.table, tables.records
        of_them = table.c.record_id == record
        if contact is not None:
            of_them |= table.c.record_id.in_(sa.select(records.c.id).where(records.c.contact_id == contact))
        found = await self._connection.execute(
            sa.select(table.c.assignee)
            .where(of_them, table.c.kind == kind, table.c.state == "done", table.c.assignee.is_not(None))
            .order_by(table.c.updated_at.desc(), table.c.id.desc())
            .limit(1)
        )
        user = found.scalar_one_or_none()
        return None if user is None else UserId(user)

    async def load(self, users: list[UserId]) -> dict[UserId, int]:
        """How many open orders each of these people has."""
        table = self.table
        counted = await self._connection.execute(
            sa.select(table.c.assignee, sa.func.count())
            .where(table.c.assignee.in_(users), table.c.state.in_(OPEN_STATES))
            .group_by(table.c.assignee)
        )
        return dict.fromkeys(users, 0) | {UserId(user): count for user, count in counted}
