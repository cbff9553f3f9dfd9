"""Objects with a date, as rules of care look at them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.work.care_rule import Kind, Subject
from ctiserver.store import tables

_CONTACT = ("name", "organisation", "tier", "language")
_FIELDS: Mapping[Kind, tuple[sa.Table, str, tuple[str, ...]]] = {
    "device": (tables.devices, "device", ("serial", "model", "bought_on", "warranty_until", "contract")),
    "contact": (tables.contacts, "contact", _CONTACT),
    "record": (tables.records, "record", ("number", "type", "subject", "status")),
    "delivery": (tables.stock_moves, "delivery", ("part", "place", "quantity")),
}


class CareSubjects:
    """Reads objects of any kind, a batch at a time."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def batch(self, kind: Kind, date_name: str, after: str, limit: int, zone: ZoneInfo) -> list[Subject]:
        """The next objects that have this date, by id, from the one after ``after`` on; days are those of ``zone``."""
        table, name, fields = _FIELDS[kind]
        record, contact = tables.records, tables.contacts
        columns = [
            table.c.id,
            table.c[date_name].label("day"),
            *(table.c[field].label(f"{name}_{field}") for field in fields),
        ]
        source: Any = table
        if kind == "delivery":
            source = source.join(record, record.c.id == table.c.record_id)
            columns += [record.c[field].label(f"record_{field}") for field in _FIELDS["record"][2]]
        if kind == "contact":
            columns.append(table.c.id.label("contact_id"))
        else:
            holder = record if kind == "delivery" else table
            source = source.outerjoin(contact, contact.c.id == holder.c.contact_id)
            columns += [contact.c[field].label(f"contact_{field}") for field in _CONTACT]
            columns += [holder.c.contact_id, holder.c.site_id]
            columns.append(table.c.id.label("device_id") if kind == "device" else holder.c.device_id)
        statement = (
            sa.select(*columns)
            .select_from(source)
            .where(table.c.id > after, table.c[date_name].is_not(None))
            .order_by(table.c.id)
            .limit(limit)
        )
        if kind == "device":
            statement = statement.where(table.c.retired_at.is_(None))
        if kind == "delivery":
            statement = statement.where(table.c.kind.in_(("receive", "arrive")))
        found = await self._connection.execute(statement)
        return [_subject(row._mapping, zone) for row in found]


def _day(day: date | datetime, zone: ZoneInfo) -> date:
    if not isinstance(day, datetime):
        return day
    try:
        return day.astimezone(zone).date()
    except OverflowError:  # at either end of the calendar there is no other zone
        return day.date()


def _subject(row: Mapping[Any, Any], zone: ZoneInfo) -> Subject:
    names: dict[str, dict[str, Any]] = {}
    for label, value in row.items():
        thing, _, field = str(label).partition("_")
        if label not in ("contact_id", "site_id", "device_id") and thing in ("device", "contact", "record", "delivery"):
            names.setdefault(thing, {})[field] = value
    day: date | datetime = row["day"]
    return Subject(
        id=row["id"],
        day=_day(day, zone),
        names=names,
        contact_id=row["contact_id"],
        site_id=row.get("site_id"),
        device_id=row.get("device_id"),
    )
