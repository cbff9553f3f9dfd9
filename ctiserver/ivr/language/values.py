"""Records and devices as flows see them: the fields that :mod:`ctiserver.ivr.language.names` lists."""

from __future__ import annotations

from collections.abc import Mapping

from ctiserver.model.contact import Device
from ctiserver.model.expression.expression import Value
from ctiserver.model.work.record import Record


def record_values(record: Record) -> Mapping[str, Value]:
    """A record's fields."""
    return {
        "id": record.id,
        "number": record.number,
        "type": record.type,
        "status": record.status,
        "owner": record.owner or "",
        "priority": record.priority,
        "opened_at": record.opened_at,
    }


def device_values(device: Device) -> Mapping[str, Value]:
    """A device's fields."""
    return {
        "id": device.id,
        "serial": device.serial,
        "model": device.model,
        "bought_on": device.bought_on,
        "warranty_until": device.warranty_until,
        "contract": device.contract,
    }
