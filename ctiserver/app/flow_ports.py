"""What flows need of the rest of the system, given by the features and the store: the real side of ``ivr.ports``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

import structlog

from ctiserver.clock import Clock
from ctiserver.errors import CtiError, DeadlineExceeded, PbxRefused, PeerLost
from ctiserver.features.agents.feature import Agents
from ctiserver.features.callbacks.feature import Callbacks, Wish
from ctiserver.features.calls.feature import CallLogService
from ctiserver.features.contacts.feature import Contacts
from ctiserver.features.followups.feature import FollowUps
from ctiserver.features.queues.feature import Queues
from ctiserver.features.recordings.feature import Recordings
from ctiserver.features.records.feature import CallRecords, Records
from ctiserver.ivr.language.state import PathStep
from ctiserver.ivr.runtime.ports import AudioAction, CalledFacts, CallerFacts, Line, PortFailed
from ctiserver.model import numbers
from ctiserver.model.calls import call_entry
from ctiserver.model.contact import Contact, Device, only
from ctiserver.model.expression.expression import Money, Value
from ctiserver.model.ids import AgentId, CallId, ContactId, DeviceId, PbxName, QueueName, RecordId
from ctiserver.model.json_value import Json
from ctiserver.model.work.record import Record
from ctiserver.net import HttpClient, RequestFailed
from ctiserver.refused_calls import REFUSED
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.faults import StoreUnavailable
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

Found = Sequence[Mapping[str, Value]]
#: A flow tells none, one and several apart, no more.
_SEVERAL = 2


@contextmanager
def _told_as_failure() -> Iterator[None]:
    """Whatever went wrong below is one thing to a flow: what it asked for could not be done."""
    try:
        yield
    except CtiError as error:
        raise PortFailed(str(error)) from error


class StoreFlowPorts:
    """Flows' needs met by features and store. Every method raises PortFailed."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        site: Site,
        *,
        pbx: PbxName,
        agents: Agents,
        calls: CallLogService,
        contacts: Contacts,
        queues: Queues,
        records: Records,
        call_records: CallRecords,
        followups: FollowUps,
        recordings: Recordings,
        callbacks: Callbacks,
        http: HttpClient,
        region: str,
    ) -> None:
        """``region``: ISO 3166, how the numbers that flows dial are read."""
        self._database = database
        self._region = region
        self._clock = clock
        self._site = site
        self._pbx = pbx
        self._agents = agents
        self._calls = calls
        self._contacts = contacts
        self._queues = queues
        self._records = records
        self._call_records = call_records
        self._followups = followups
        self._recordings = recordings
        self._callbacks = callbacks
        self._http = http

    async def caller(self, call_id: CallId, ani: str, dnis: str, pbx: PbxName) -> CallerFacts:
        now = self._clock.now()
        with _told_as_failure():
            await self._calls.begin(
                call_entry.CallEntry(
                    id=call_id, pbx=pbx, direction="inbound", ani=ani, caller_name="", dnis=dnis, started_at=now
                )
            )
            number = self._contacts.key(ani)
            async with self._database.reading() as uow:
                found = [] if number is None else await uow.contacts.by_number(number)
                earlier = await uow.calls.count_from(ani, now - timedelta(hours=24)) - 1 if ani else 0
                contact = only(found)
                open_records = [] if contact is None else await uow.records.open_of_contact(contact.id)
                return CallerFacts(
                    contact=None if contact is None else await _contact(uow, contact, len(open_records)),
                    record=_record(open_records[0]) if open_records else None,
                    visits_24h=max(0, earlier),
                )

    async def called(self, call_id: CallId, key: str) -> CalledFacts:
        with _told_as_failure():
            answered = await self._followups.answered(key, call_id)
            await self._calls.begin(
                call_entry.CallEntry(
                    id=call_id,
                    pbx=self._pbx,
                    direction="outbound",
                    ani="",
                    caller_name="",
                    dnis=answered.number,
                    started_at=self._clock.now(),
                )
            )
            async with self._database.reading() as uow:
                contact = None if answered.contact is None else await _contact(uow, answered.contact, 0)
            return CalledFacts(
                flow=answered.flow, number=answered.number, contact=contact, record=_record(answered.record)
            )

    async def find(self, what: Literal["contact", "device", "record"], by: Mapping[str, Value]) -> Found:
        with _told_as_failure():
            async with self._database.reading() as uow:
                match what:
                    case "device":
                        return [_device(device) for device in (await _devices(uow, by))[:_SEVERAL]]
                    case "contact":
                        return [await _contact(uow, contact, 0) for contact in (await self._people(uow, by))[:_SEVERAL]]
                    case "record":
                        record = await uow.records.by_number(str(by.get("number", "")))
                        return [] if record is None else [_record(record)]

    async def open_record(self, call_id: CallId, kind: str, fields: Mapping[str, Value]) -> Mapping[str, Value]:
        with _told_as_failure():
            async with self._database.reading() as uow:
                entry = await uow.calls.get(call_id)
            contacts = await self._contacts.find_or_create(entry.ani)
            known = self._site.record_types[kind].fields if kind in self._site.record_types else {}
            opened = await self._records.open(
                kind,
                actor=f"call:{call_id}",
                call_id=call_id,
                # several people share this number: the agent chooses, a menu must not guess
                contact_id=None if (contact := only(contacts)) is None else contact.id,
                caller_number=entry.ani,
                fields={name: _json(value) for name, value in fields.items() if name in known},
            )
            await self._beside(opened.record, fields)
            return _record(opened.record)

    async def update_record(self, call_id: CallId, record_id: str, fields: Mapping[str, Value]) -> Mapping[str, Value]:
        with _told_as_failure():
            now = self._clock.now()
            async with self._database.unit_of_work() as uow:
                record = await uow.records.lock(RecordId(record_id))
                kept = {**record.fields, **{name: _json(value) for name, value in fields.items()}}
                await uow.records.update(replace(record, fields=kept, updated_at=now))
            return _record(record)

    async def queue_state(self, queue: str) -> Mapping[str, Value]:
        state = self._queues.state(QueueName(queue))
        return {"waiting": state.waiting, "agents_ready": state.agents_ready, "wait": state.expected_wait_s}

    async def agent_interface(self, agent: str, pbx: PbxName) -> str | None:
        for known, presence in self._agents.everybody():
            # On another PBX a phone of that name is somebody else's.
            if known.id == AgentId(agent) and presence.logged_in and self._agents.pbx_of(known.id) == pbx:
                return known.interface
        return None

    async def dialable(self, number: str, *, rostered: bool) -> str | None:
        rules = self._site.outbound
        allow = ("+",) if rostered else rules.allow
        found = numbers.dialable(number, self._region, allow=allow, refuse=rules.refuse)
        if found is None:
            REFUSED.note("flow")
            return None
        with _told_as_failure():
            return None if not rostered and await self._contacts.unwanted(found) else found

    async def request_callback(self, call_id: CallId, number: str, queue: str, line: Line | None) -> None:
        with _told_as_failure():
            async with self._call_record(call_id) as (uow, record):
                wish = Wish(call_id=call_id, number=number, queue=queue, reason="promised")
                await self._callbacks.promise(uow, record.id, wish)
        if line is None:
            return
        try:  # the order stands: a failed queue entry does not cancel the promise
            await self._callbacks.keep_place(call_id, number, queue, pbx=line.pbx, priority=line.priority)
        except (PeerLost, DeadlineExceeded, PbxRefused, StoreUnavailable) as error:
            log.warning("callback_without_place", call_id=call_id, reason=str(error))

    async def tell(self, call_id: CallId, event: str, data: Mapping[str, Value]) -> None:
        log.info("flow_event", call_id=call_id, event_name=event)
        with _told_as_failure():
            async with self._database.unit_of_work() as uow:
                for record in await uow.records.of_call(call_id):
                    await self._note(uow, record, call_id, "flow_event", {"event": event, "data": _json(data)})
            await self._followups.told(call_id, event, {name: _json(value) for name, value in data.items()})

    async def fetch(self, url: str, data: Mapping[str, Value]) -> Mapping[str, Value] | None:
        try:
            answer = await self._http.post_json(url, {name: _json(value) for name, value in data.items()})
        except RequestFailed as error:
            raise PortFailed(str(error)) from error
        if answer is not None and not isinstance(answer, dict):
            raise PortFailed(f"{url} did not answer with a JSON object")
        return answer

    async def control_audio(self, call_id: CallId, action: AudioAction, line: Line | None) -> None:
        if line is None or action in ("start", "stop"):
            return  # the dialplan did it, and says so by AMI
        with _told_as_failure():
            await self._recordings.mask(
                call_id, line.pbx, line.channel, on=action not in ("resume", "show"), why=action, by="flow"
            )

    async def voicemail(self, call_id: CallId, file: str, language: str) -> None:
        with _told_as_failure():
            async with self._call_record(call_id) as (uow, record):
                await self._note(uow, record, call_id, "message_left", {"file": file, "language": language})
                wish = Wish(call_id=call_id, number=record.caller_number, queue="", reason="message")
                await self._callbacks.promise(uow, record.id, wish)

    async def add_path(self, call_id: CallId, steps: Sequence[PathStep]) -> None:
        with _told_as_failure():
            async with self._database.unit_of_work() as uow:
                await uow.calls.add_steps(_path(call_id, steps))

    async def save_state(self, call_id: CallId, state: str, steps: Sequence[PathStep]) -> None:
        with _told_as_failure():
            async with self._database.unit_of_work() as uow:
                await uow.calls.add_steps(_path(call_id, steps))
                await uow.flow_states.save(call_id, {"state": state}, self._clock.now())

    async def load_state(self, call_id: CallId) -> str | None:
        with _told_as_failure():
            async with self._database.reading() as uow:
                kept = await uow.flow_states.load(call_id)
        return None if kept is None else str(kept["state"])

    async def delete_state(self, call_id: CallId, steps: Sequence[PathStep]) -> None:
        with _told_as_failure():
            async with self._database.unit_of_work() as uow:
                await uow.calls.add_steps(_path(call_id, steps))
                await uow.flow_states.remove(call_id)

    @asynccontextmanager
    async def _call_record(self, call_id: CallId) -> AsyncIterator[tuple[UnitOfWork, Record]]:
        """The call's record, and what commits with it; one is opened for a caller who has none yet, so that what they
        said is not lost."""
        async with self._database.unit_of_work() as uow:
            record, opened = await self._call_records.for_call(uow, await uow.calls.get(call_id))
            yield uow, record
        if opened:
            self._records.tell(record)

    async def _beside(self, record: Record, fields: Mapping[str, Value]) -> None:
        """What a flow says of a record beyond its type's own fields: the device, who pays."""
        device, payer = fields.get("device"), fields.get("payer")
        if not isinstance(device, Mapping) and not payer:
            return
        async with self._database.unit_of_work() as uow:
            kept = await uow.records.lock(record.id)
            if isinstance(device, Mapping) and device.get("id"):
                kept = replace(kept, device_id=DeviceId(str(device["id"])))
            if isinstance(payer, str):
                kept = replace(kept, payer=payer)
            await uow.records.update(replace(kept, updated_at=self._clock.now()))

    async def _note(
        self, uow: UnitOfWork, record: Record, call_id: CallId, kind: str, data: Mapping[str, Json]
    ) -> None:
        await uow.records.write_line(record.id, self._clock.now(), f"call:{call_id}", kind, data)

    async def _people(self, uow: UnitOfWork, by: Mapping[str, Value]) -> list[Contact]:
        if "id" in by:
            contact = await uow.contacts.find(ContactId(str(by["id"])))
            return [] if contact is None else [contact]
        number = self._contacts.key(str(by.get("number", "")))
        return [] if number is None else await uow.contacts.by_number(number)


def _path(call_id: CallId, steps: Sequence[PathStep]) -> list[call_entry.PathStep]:
    return [
        call_entry.PathStep(
            call_id=call_id,
            seq=step.seq,
            at=step.at,
            flow=step.flow,
            version=step.version,
            node=step.node,
            outcome=step.outcome,
            data={"kind": step.kind},
        )
        for step in steps
    ]


async def _devices(uow: UnitOfWork, by: Mapping[str, Value]) -> list[Device]:
    wanted = str(by.get("serial") or by.get("serial_ends") or "")
    if not wanted:
        return []
    found = await uow.contacts.devices_by_serial(wanted)
    return [device for device in found if device.serial == wanted] if "serial" in by else found


async def _contact(uow: UnitOfWork, contact: Contact, open_records: int) -> Mapping[str, Value]:
    calls = await uow.calls.of_contact(contact.id, limit=10)
    return {
        "id": contact.id,
        "name": contact.name,
        "tier": contact.tier,
        "language": contact.language,
        "open_records": open_records,
        "last_agent": next((call.agent_id for call in calls if call.agent_id), ""),
        "do_not_call": contact.do_not_call,
        "sites": tuple(site.name for site in await uow.contacts.sites(contact.id)),
        "devices": tuple(device.serial for device in await uow.contacts.devices(contact.id)),
    }


def _record(record: Record) -> Mapping[str, Value]:
    return {
        "id": record.id,
        "number": record.number,
        "type": record.type,
        "status": record.status,
        "owner": record.owner or "",
        "priority": record.priority,
        "opened_at": record.opened_at,
    }


def _device(device: Device) -> Mapping[str, Value]:
    return {
        "id": device.id,
        "serial": device.serial,
        "model": device.model,
        "bought_on": device.bought_on,
        "warranty_until": device.warranty_until,
        "contract": device.contract,
    }


def _json(value: Value) -> Json:
    match value:
        case Money(amount=amount):
            return str(amount)
        case Decimal():
            return str(value)
        case date() | datetime():
            return value.isoformat()
        case Mapping():
            return {str(key): _json(item) for key, item in value.items()}
        case None | bool() | int() | float() | str():
            return value
        case _:
            return [_json(item) for item in value]
