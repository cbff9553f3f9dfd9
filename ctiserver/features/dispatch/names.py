"""What expressions of a process read: the record with those around it, and what its orders came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctiserver.model.expression.expression import Value
from ctiserver.model.process.decide import results
from ctiserver.model.process.state import ProcessState
from ctiserver.model.work.record import Record
from ctiserver.store.unit_of_work import UnitOfWork


async def names_of(uow: UnitOfWork, record: Record, state: ProcessState) -> Mapping[str, Value]:
    """The names that ``process_check.scope`` promises."""
    contact = None if record.contact_id is None else await uow.contacts.find(record.contact_id)
    site = None if record.site_id is None else await uow.contacts.site(record.site_id)
    device = None if record.device_id is None else await uow.contacts.device(record.device_id)
    orders: Any = results(state)
    fields: Any = record.fields
    return {
        "record": {
            "number": record.number,
            "type": record.type,
            "subject": record.subject,
            "caller_number": record.caller_number,
            "owner": record.owner,
            "payer": record.payer,
            "priority": record.priority,
            "disposition": record.disposition,
            "opened_at": record.opened_at,
            "product": None if device is None else device.model,
            "fields": fields,
            "site": None if site is None else {"name": site.name, "address": site.address, "region": site.region},
            "device": None
            if device is None
            else {
                "serial": device.serial,
                "model": device.model,
                "warranty_until": device.warranty_until,
                "contract": device.contract,
            },
            "contact": None
            if contact is None
            else {
                "name": contact.name,
                "organisation": contact.organisation,
                "tier": contact.tier,
                "language": contact.language,
            },
        },
        "orders": orders,
    }
