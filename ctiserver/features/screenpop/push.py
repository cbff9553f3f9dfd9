"""The topic ``pop:<agent>``: what that agent's desk shows, to that agent and nobody else, not even a supervisor."""

from __future__ import annotations

from ctiserver.features.screenpop.service import ScreenPops, Shown
from ctiserver.model import numbers
from ctiserver.model.calls.call_entry import CallEntry, PathStep
from ctiserver.model.contact import Contact, Device, Premises
from ctiserver.model.ids import AgentId
from ctiserver.model.json_value import Json, JsonObject, iso
from ctiserver.model.work.record import Record
from ctiserver.web.access import DESK
from ctiserver.web.hub import Hub, Topic


def topics(pops: ScreenPops) -> list[Topic]:
    """What browsers can follow of screen-pops."""

    async def shown(key: str) -> Json:
        return shown_json(pops.shown_to(AgentId(key)))

    return [Topic(kind="pop", roles=DESK, may=lambda person, key: person.agent_id == key, snapshot=shown)]


def publish(hub: Hub, agent_id: AgentId, shown: Shown | None) -> None:
    """Push what the agent's desk shall show."""
    hub.publish("pop", agent_id, "changed", shown_json(shown))


def browsers(hub: Hub, agent_id: AgentId) -> int:
    """How many browsers show the agent's desk."""
    return hub.followers("pop", agent_id)


def shown_json(shown: Shown | None) -> JsonObject | None:
    """A pop as the API and the topic write it; None for an empty desk. A withheld number is empty."""
    if shown is None:
        return None
    return {
        "pop_id": shown.pop_id,
        "call_id": shown.call_id,
        "phase": shown.phase,
        "since": shown.since.isoformat(),
        "ani": "" if numbers.withheld(shown.ani) else shown.ani,
        "caller_name": "" if numbers.withheld(shown.caller_name) else shown.caller_name,
        "dnis": shown.dnis,
        "outbound": shown.outbound,
        "looked_up": shown.looked_up,
        "queue": shown.queue,
        "called_at": iso(shown.called_at),
        "contacts": [_contact(contact) for contact in shown.contacts],
        "sites": [_site(site) for site in shown.sites],
        "devices": [_device(device) for device in shown.devices],
        "records": [_record(record) for record in shown.records],
        "open_records": [_record(record) for record in shown.open_records],
        "last_calls": [_call(call) for call in shown.last_calls],
        "path": [_step(step) for step in shown.path],
    }


def _contact(contact: Contact) -> JsonObject:
    return {
        "id": contact.id,
        "name": contact.name,
        "organisation": contact.organisation,
        "email": contact.email,
        "tier": contact.tier,
        "note": contact.note,
        "numbers": list(contact.numbers),
        "revision": contact.revision,
    }


def _site(site: Premises) -> JsonObject:
    return {
        "name": site.name,
        "address": site.address,
        "local_person": site.local_person,
        "local_number": site.local_number,
    }


def _device(device: Device) -> JsonObject:
    until = device.warranty_until
    return {
        "serial": device.serial,
        "model": device.model,
        "warranty_until": iso(until),
    }


def _record(record: Record) -> JsonObject:
    return {
        "id": record.id,
        "number": record.number,
        "type": record.type,
        "status": record.status,
        "subject": record.subject,
        "priority": record.priority,
        "opened_at": iso(record.opened_at),
    }


def _call(call: CallEntry) -> JsonObject:
    return {
        "id": call.id,
        "direction": call.direction,
        "started_at": iso(call.started_at),
        "outcome": call.outcome,
        "agent_id": call.agent_id,
    }


def _step(step: PathStep) -> JsonObject:
    return {"flow": step.flow, "node": step.node, "outcome": step.outcome, "data": dict(step.data)}
