"""Service records, the calls they are linked to, and their timelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.ids import AgentId, CallId, ContactId, RecordId, earliest_ulid, new_ulid
from ctiserver.model.json_value import Json
from ctiserver.model.work.record import Record, TimelineEntry
from ctiserver.store import rows, tables
from ctiserver.store.repositories.outbox import Outbox, OutboxRow
from ctiserver.store.repository import RevisedRepository

#: Made once, as every call asks it.
_OF_CALL = (
    sa.select(tables.records)
    .join(tables.record_calls, tables.record_calls.c.record_id == tables.records.c.id)
    .where(tables.record_calls.c.call_id == sa.bindparam("call"))
    .order_by(tables.records.c.id)
)
_OPEN_OF_CONTACT = (
    sa.select(tables.records)
    .where(tables.records.c.contact_id == sa.bindparam("contact"), tables.records.c.status == "open")
    .order_by(tables.records.c.opened_at.desc(), tables.records.c.id.desc())
)


async def next_number(connection: AsyncConnection, prefix: str, day: date) -> str:
    """The next number of a kind on a day: ``R20261121-0001``, without gaps."""
    key = f"{prefix}{day:%Y%m%d}"
    return f"{key}-{await rows.count_up(connection, tables.counters, key):04d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """A record in a line, with whose it is and where; empty where that is not known."""

    id: RecordId
    number: str
    type: str
    subject: str
    priority: int
    repeat_calls: int
    caller_number: str
    contact: str
    organisation: str
    address: str
    region: str


#: Topic of outbox rows that hand a timeline's line on.
TIMELINE = "timeline"


class Records(RevisedRepository[Record, RecordId]):
    """Service records."""

    table = tables.records
    kind = Record

    def __init__(self, connection: AsyncConnection, outbox: Outbox, followed: frozenset[str]) -> None:
        """``followed``: kinds of timeline line that somebody waits for; see ``Database.follow_timelines``."""
        super().__init__(connection)
        self._outbox = outbox
        self._followed = followed

    async def next_number(self, day: date, prefix: str = "R") -> str:
        """The number for a new record; ``day`` is the site's own date. One opener at a time gets past here."""
        return await next_number(self._connection, prefix, day)

    async def by_number(self, number: str) -> Record | None:
        return await self._one(sa.select(self.table).where(self.table.c.number == number))

    async def open_of_contact(self, contact: ContactId, type_: str | None = None) -> list[Record]:
        """Open records of a contact, of one type or any; the newest first."""
        if type_ is None:
            return await self._all(_OPEN_OF_CONTACT, {"contact": contact})
        return await self._all(_OPEN_OF_CONTACT.where(self.table.c.type == type_), {"contact": contact})

    async def open_of_owner(self, owner: AgentId) -> list[Record]:
        """Open records that one agent answers for, urgent ones first."""
        return await self._all(
            sa.select(self.table)
            .where(self.table.c.owner == owner, self.table.c.status == "open")
            .order_by(self.table.c.priority.desc(), self.table.c.opened_at)
        )

    async def of_call(self, call: CallId) -> list[Record]:
        """Records that a call is linked to, in the order they were opened."""
        return await self._all(_OF_CALL, {"call": call})

    async def closed_between(self, since: datetime, until: datetime) -> list[Record]:
        """Records that were closed from ``since`` until before ``until``."""
        its, lines = self.table.c, tables.record_timeline.c
        # Whatever closes a record writes a line of it, and lines are found by their time where records are not.
        touched = sa.select(lines.record_id).where(lines.id >= earliest_ulid(since))
        return await self._all(
            sa.select(self.table).where(
                its.id.in_(touched), its.status == "closed", its.closed_at >= since, its.closed_at < until
            )
        )

    async def recent(self, limit: int = 50, *, before: RecordId | None = None) -> list[Record]:
        """The newest first, from the one after ``before``. Ids sort by when they were opened."""
        statement = sa.select(self.table).order_by(self.table.c.id.desc()).limit(limit)
        return await self._all(statement if before is None else statement.where(self.table.c.id < before))

    async def briefs(self, ids: Sequence[RecordId]) -> dict[RecordId, Brief]:
        """What a list of orders says of each of these records."""
        its, people, places = self.table, tables.contacts, tables.sites
        found = await self._connection.execute(
            sa.select(
                its.c.id,
                its.c.number,
                its.c.type,
                its.c.subject,
                its.c.priority,
                its.c.repeat_calls,
                its.c.caller_number,
                people.c.name.label("contact"),
                people.c.organisation,
                places.c.address,
                places.c.region,
            )
            .select_from(
                its.outerjoin(people, its.c.contact_id == people.c.id).outerjoin(places, its.c.site_id == places.c.id)
            )
            .where(its.c.id.in_(ids))
        )
        briefs: dict[RecordId, Brief] = {}
        for row in found:
            known: dict[str, Any] = {name: "" if value is None else value for name, value in row._mapping.items()}
            briefs[row.id] = Brief(**known)
        return briefs

    async def link_call(self, record: RecordId, call: CallId) -> bool:
        """Link a call; False if it was linked already."""
        return await rows.insert_or_leave(self._connection, tables.record_calls, {"record_id": record, "call_id": call})

    async def calls(self, record: RecordId) -> list[CallId]:
        """Calls linked to a record, in the order they began."""
        links = tables.record_calls
        found = await self._connection.execute(
            sa.select(links.c.call_id).where(links.c.record_id == record).order_by(links.c.call_id)
        )
        return [CallId(key) for key in found.scalars()]

    async def write_line(
        self,
        record: RecordId,
        at: datetime,
        actor: str,
        kind: str,
        data: Mapping[str, Json] | None = None,
    ) -> TimelineEntry:
        """A new line on a record's timeline: who did what then."""
        entry = TimelineEntry(id=new_ulid(at), record_id=record, at=at, actor=actor, kind=kind, data=dict(data or {}))
        await self.note(entry)
        return entry

    async def note(self, entry: TimelineEntry) -> None:
        """Put an entry on a record's timeline."""
        await self.note_all([entry])

    async def note_all(self, entries: Sequence[TimelineEntry]) -> None:
        """Put several on timelines."""
        await rows.insert_all(self._connection, tables.record_timeline, entries)
        await self._outbox.add_all(
            [
                OutboxRow(
                    id=entry.id,
                    topic=TIMELINE,
                    key=f"{TIMELINE}/{entry.id}",
                    payload={
                        "record_id": entry.record_id,
                        "kind": entry.kind,
                        "actor": entry.actor,
                        "data": entry.data,
                    },
                    created_at=entry.at,
                    due_at=entry.at,
                )
                for entry in entries
                if entry.kind in self._followed
            ]
        )

    async def timeline(self, record: RecordId) -> list[TimelineEntry]:
        table = tables.record_timeline
        found = await self._connection.execute(
            sa.select(table).where(table.c.record_id == record).order_by(table.c.at, table.c.id)
        )
        return [rows.build(TimelineEntry, row) for row in found]
