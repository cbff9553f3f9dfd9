"""A day of the field: technicians of two departments, and visits given out, planned, under way and late."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from ctiserver.model.contact import Premises
from ctiserver.model.ids import SiteId, WorkOrderId, new_ulid
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.store.database import Database
from tests.support.rows import a_contact, a_record

_numbers = count(1)


async def a_visit(database: Database, now: datetime, assignee: str | None = None, **changes: Any) -> WorkOrder:
    """A visit to a customer of its own that somebody, or nobody, has; it has no process that waits for it.

    ``customer``, ``subject``, ``region`` and ``repeat_calls`` are those of its record.
    """
    number = next(_numbers)
    contact = a_contact(name=changes.pop("customer", f"客户{number}"), numbers=(f"+86138{number:08d}",))
    region = changes.pop("region", "")
    site = Premises(id=SiteId(new_ulid(now)), contact_id=contact.id, name="", address="世纪大道100号", region=region)
    record = a_record(
        contact_id=contact.id,
        site_id=site.id,
        subject=changes.pop("subject", "空调不制冷"),
        repeat_calls=changes.pop("repeat_calls", 0),
        priority=5,
    )
    async with database.unit_of_work() as uow:
        user = None if assignee is None else await uow.users.by_login(assignee)
        await uow.contacts.add(contact)
        await uow.contacts.add_site(site)
        await uow.records.add(record)
        order = WorkOrder(
            id=WorkOrderId(new_ulid(now)),
            number=f"D20261123-{number:04d}",
            key=f"none/{record.id}",
            kind="dispatch",
            record_id=record.id,
            process_id=None,
            step="visit",
            state="offered",
            assignee=None if user is None else user.id,
            role="technician",
            due_at=now + timedelta(hours=8),
            payload={"outcomes": ["done", "not_home"], "choose": "least_loaded", "region": region},
            created_at=now,
            updated_at=now,
        )
        order = replace(order, **changes)
        await uow.work_orders.add(order)
    return order
