"""Calls that the server makes to customers, and records that data raised."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.ids import CallId, ContactId, RecordId, WorkOrderId
from ctiserver.model.work.outbound_call import OutboundCall, Spent
from ctiserver.store import rows, tables
from ctiserver.store.repository import Repository

_UNDER_WAY = ("asked", "answered")


class OutboundCalls(Repository[OutboundCall, str]):
    """Calls to customers, by id."""

    table = tables.outbound_calls
    kind = OutboundCall

    async def add_once(self, call: OutboundCall) -> bool:
        """Plan a call; False if its order has one."""
        return await rows.insert_or_leave(self._connection, self.table, rows.values(self.table, call))

    async def save(self, call: OutboundCall) -> None:
        """Write over what is kept of it; anyone who does has locked it."""
        columns = rows.values(self.table, call)
        key = columns.pop("id")
        await self._connection.execute(sa.update(self.table).where(self.table.c.id == key).values(columns))

    async def claim(self, now: datetime) -> OutboundCall | None:
        """The next one that is due, for this unit of work alone; another server's are passed over."""
        return await self._one(
            sa.select(self.table)
            .where(self.table.c.state == "waiting", self.table.c.due_at <= now)
            .order_by(self.table.c.due_at, self.table.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )

    async def next_due(self, now: datetime) -> str | None:
        """The id of the one that :meth:`claim` gives, of which no more is read."""
        found = await self._connection.execute(
            sa.select(self.table.c.id)
            .where(self.table.c.state == "waiting", self.table.c.due_at <= now)
            .order_by(self.table.c.due_at, self.table.c.id)
            .limit(1)
        )
        key: str | None = found.scalar_one_or_none()
        return key

    async def set_state(self, key: str, state: str) -> None:
        """Of one whose row may not be readable."""
        await self._connection.execute(sa.update(self.table).where(self.table.c.id == key).values(state=state))

    async def lock_by_call(self, call: CallId) -> OutboundCall | None:
        """The one that this call of the PBX is, for this unit of work alone."""
        return await self._one(sa.select(self.table).where(self.table.c.call_id == call).with_for_update())

    async def find_by_call(self, call: CallId) -> OutboundCall | None:
        """The one that this call of the PBX is."""
        return await self._one(sa.select(self.table).where(self.table.c.call_id == call))

    async def of_order(self, order: WorkOrderId) -> OutboundCall | None:
        return await self._one(sa.select(self.table).where(self.table.c.order_id == order))

    async def of_record(self, record: RecordId) -> list[OutboundCall]:
        """The oldest first."""
        return await self._all(sa.select(self.table).where(self.table.c.record_id == record).order_by(self.table.c.id))

    async def under_way(self, asked_before: datetime) -> list[OutboundCall]:
        """Those that the PBX was asked for before then and that are not over, the oldest first."""
        found, _ = await self._readable(
            sa.select(self.table)
            .where(self.table.c.state.in_(_UNDER_WAY), self.table.c.asked_at <= asked_before)
            .order_by(self.table.c.asked_at)
        )
        return found

    async def spent(self, just_now_from: datetime, day_from: datetime) -> Spent:
        """What was done of the limits since then."""
        table = self.table
        just_now = sa.func.count().filter(table.c.asked_at > just_now_from)
        going_on = sa.func.count().filter(table.c.state.in_(_UNDER_WAY))
        minutes = sa.func.coalesce(sa.func.sum(table.c.minutes).filter(table.c.asked_at >= day_from), 0)
        found = (
            await self._connection.execute(
                sa.select(just_now, going_on, minutes).where(
                    (table.c.asked_at >= min(day_from, just_now_from)) | table.c.state.in_(_UNDER_WAY)
                )
            )
        ).one()
        costs = await self._connection.execute(
            sa.select(table.c.cost).where(table.c.asked_at >= day_from, table.c.cost != "0")
        )
        money = sum((Decimal(cost) for cost in costs.scalars()), Decimal(0))
        return Spent(just_now=found[0], going_on=found[1], minutes_today=int(found[2]), money_today=money)

    async def talked_to(self, contact: ContactId, since: datetime, *, but: RecordId) -> bool:
        """Whether a contact has answered a call of ours since then, about another record."""
        found = await self._connection.execute(
            sa.select(self.table.c.id)
            .where(
                self.table.c.contact_id == contact,
                self.table.c.answered_at >= since,
                self.table.c.record_id != but,
            )
            .limit(1)
        )
        return found.one_or_none() is not None

    async def going_on_with(self, contact: ContactId) -> bool:
        """Whether a contact is being called just now."""
        found = await self._connection.execute(
            sa.select(self.table.c.id)
            .where(self.table.c.contact_id == contact, self.table.c.state.in_(_UNDER_WAY))
            .limit(1)
        )
        return found.one_or_none() is not None

    async def answered(self, flow: str, since: datetime) -> int:
        """How many have answered a flow's questions since then."""
        found = await self._connection.execute(
            sa.select(sa.func.count())
            .select_from(self.table)
            .where(
                self.table.c.flow == flow,
                self.table.c.answered_at >= since,
                self.table.c.told.in_(("answered", "dissatisfied")),
            )
        )
        return int(found.scalar_one())


class RaisedRecords:
    """What data has raised a record already: once for each rule, object and day."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, rule: str, object_id: str, due_on: date, record: RecordId, at: datetime) -> None:
        """Note that a record is raised. Raises Duplicate if one was raised for this before."""
        await self._connection.execute(
            sa.insert(tables.raised_records),
            {"rule": rule, "object_id": object_id, "due_on": due_on, "record_id": record, "at": at},
        )

    async def known(self, rule: str, since: date) -> frozenset[tuple[str, date]]:
        """The objects and days that a rule has raised records for, of days from ``since`` on."""
        table = tables.raised_records
        found = await self._connection.execute(
            sa.select(table.c.object_id, table.c.due_on).where(table.c.rule == rule, table.c.due_on >= since)
        )
        return frozenset((str(key), day) for key, day in found)
