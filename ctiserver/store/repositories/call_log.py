"""The call log, and the path each call took through its flow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ctiserver.model.calls.call_entry import CallEntry, PathStep
from ctiserver.model.events import CallOutcome
from ctiserver.model.ids import AgentId, CallId, ContactId, PbxName
from ctiserver.store import rows, tables
from ctiserver.store.repository import Repository

#: Made once, as every call asks it.
_CALLS_FROM = (
    sa.select(sa.func.count())
    .select_from(tables.calls)
    .where(tables.calls.c.ani == sa.bindparam("ani_"), tables.calls.c.started_at >= sa.bindparam("since_"))
)
_OF_CONTACT = (
    sa.select(tables.calls)
    .where(tables.calls.c.contact_id == sa.bindparam("contact"))
    .order_by(tables.calls.c.started_at.desc())
    .limit(sa.bindparam("limit_", type_=sa.Integer))
)
_PATH = (
    sa.select(tables.call_path)
    .where(tables.call_path.c.call_id == sa.bindparam("call"))
    .order_by(tables.call_path.c.seq)
)


_LONGEST = timedelta(days=1)
#: What a PBX says may be longer than its column, as a caller's number that somebody made up: it is cut, not refused.
_LENGTHS = {
    column.name: column.type.length
    for column in tables.calls.c
    if isinstance(column.type, sa.String) and column.type.length is not None
}


def _columns(entry: CallEntry) -> dict[str, Any]:
    columns = rows.values(tables.calls, entry)
    for name, length in _LENGTHS.items():
        value = columns[name]
        if value is not None and len(value) > length:
            columns[name] = value[:length]
    return columns


class CallLog(Repository[CallEntry, CallId]):
    """Every call, one entry each."""

    table = tables.calls
    kind = CallEntry

    async def save(self, *entries: CallEntry) -> None:
        """Write entries, each over an earlier one of the same call."""
        await rows.insert_or_replace(self._connection, self.table, *map(_columns, entries))

    async def to_change(self, ids: Collection[CallId]) -> dict[CallId, CallEntry]:
        """Entries, as far as they are there, which nobody else changes until this unit of work ends."""
        # In one order, so that two who do so don't wait for each other.
        locked = sa.select(self.table).where(self.table.c.id.in_(ids)).order_by(self.table.c.id)
        return {entry.id: entry for entry in await self._all(locked.with_for_update(key_share=True))}

    async def page(
        self, limit: int = 50, *, before: CallId | None = None, agent: AgentId | None = None
    ) -> list[CallEntry]:
        """The newest first, from the one after ``before``; of one agent, or of all. Ids sort by the call's second."""
        statement = sa.select(self.table).order_by(self.table.c.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(self.table.c.id < before)
        found, _ = await self._readable(statement if agent is None else statement.where(self.table.c.agent_id == agent))
        return found

    async def since(self, begin: datetime) -> list[CallEntry]:
        """Every call that started then or later, the oldest first."""
        return await self._all(
            sa.select(self.table).where(self.table.c.started_at >= begin).order_by(self.table.c.started_at)
        )

    async def complete(self, ids: Sequence[CallId]) -> set[CallId]:
        """Those of these calls whose entry is finished."""
        found = await self._connection.execute(
            sa.select(self.table.c.id).where(self.table.c.id.in_(ids), self.table.c.complete.is_(True))
        )
        return {CallId(call_id) for call_id in found.scalars()}

    async def of_contact(self, contact: ContactId, limit: int = 50) -> list[CallEntry]:
        """The newest first."""
        return await self._all(_OF_CONTACT, {"contact": contact, "limit_": limit})

    async def begun(self, pbx: PbxName, since: datetime, until: datetime) -> list[CallEntry]:
        """The calls of one PBX that began from ``since`` until before ``until``, the oldest first."""
        return await self._all(
            sa.select(self.table)
            .where(self.table.c.pbx == pbx, self.table.c.started_at >= since, self.table.c.started_at < until)
            .order_by(self.table.c.started_at, self.table.c.id)
        )

    async def incomplete(self) -> list[CallEntry]:
        """Calls whose end has not been seen, the oldest first."""
        found, _ = await self._readable(
            sa.select(self.table).where(self.table.c.complete.is_(False)).order_by(self.table.c.started_at)
        )
        return found

    async def ended(self, outcomes: Collection[CallOutcome], since: datetime) -> list[CallEntry]:
        """Inbound calls that started then or later and whose entry is finished with one of these, the oldest first."""
        return await self._all(
            sa.select(self.table)
            .where(
                self.table.c.started_at >= since,
                self.table.c.direction == "inbound",
                self.table.c.complete.is_(True),
                self.table.c.outcome.in_(outcomes),
            )
            .order_by(self.table.c.started_at)
        )

    async def ended_between(self, since: datetime, until: datetime) -> list[CallEntry]:
        """Calls that ended from ``since`` until before ``until`` and whose entry is finished."""
        return await self._all(
            sa.select(self.table)
            .where(
                # started, since there is an index of that; no call lasts longer than a day
                self.table.c.started_at >= since - _LONGEST,
                self.table.c.ended_at >= since,
                self.table.c.ended_at < until,
                self.table.c.complete.is_(True),
            )
            .order_by(self.table.c.id)
        )

    async def talked(self, number: str, since: datetime) -> bool:
        """Has this number, as it calls or is dialled, been talked to in a call that began then or later?"""
        of_number = sa.or_(self.table.c.ani == number, self.table.c.dnis == number)
        return bool(
            await self._all(
                sa.select(self.table)
                .where(self.table.c.started_at >= since, self.table.c.answered_at.is_not(None), of_number)
                .limit(1)
            )
        )

    async def unaccounted(self, limit: int = 100) -> list[CallEntry]:
        """Ended calls that have neither a record nor a reason for none."""
        linked = sa.select(tables.record_calls.c.call_id)
        return await self._all(
            sa.select(self.table)
            .where(
                self.table.c.complete.is_(True),
                self.table.c.no_record_reason.is_(None),
                self.table.c.id.not_in(linked),
            )
            .order_by(self.table.c.started_at)
            .limit(limit)
        )

    async def count_from(self, ani: str, since: datetime) -> int:
        """How many calls came from this number since then."""
        counted = await self._connection.execute(_CALLS_FROM, {"ani_": ani, "since_": since})
        return counted.scalar_one()

    async def begin(self, entry: CallEntry) -> None:
        """Keep the entry of a new call; one that stands there already stays as it is."""
        await rows.insert_or_leave(self._connection, self.table, _columns(entry))

    async def add_step(self, step: PathStep) -> None:
        """Keep one step of a call's path; the same ``seq`` again replaces it."""
        await self.add_steps([step])

    async def add_steps(self, steps: Sequence[PathStep]) -> None:
        """Keep steps of paths, as :meth:`add_step` does."""
        await rows.insert_or_replace(
            self._connection, tables.call_path, *(rows.values(tables.call_path, step) for step in steps)
        )

    async def path(self, call: CallId) -> list[PathStep]:
        return [rows.build(PathStep, row) for row in await self._connection.execute(_PATH, {"call": call})]
