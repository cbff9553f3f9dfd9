"""What flows ask of the features, put into the features' words, and back: the real side of ``ivr.runtime.ports``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

import structlog

from ctiserver.clock import Clock
from ctiserver.errors import CtiError
from ctiserver.features.agents.feature import Agents
from ctiserver.features.callbacks.feature import Promises
from ctiserver.features.calls.feature import CallLogService, CallPaths
from ctiserver.features.contacts.feature import ContactCard, ContactLookups, FlowDialling
from ctiserver.features.followups.feature import FollowUps
from ctiserver.features.queues.feature import Queues
from ctiserver.features.recordings.feature import Recordings
from ctiserver.features.records.feature import CallRecords
from ctiserver.ivr.language.state import PathStep
from ctiserver.ivr.language.values import device_values, record_values
from ctiserver.ivr.runtime.ports import AudioAction, CalledFacts, CallerFacts, Line, PortFailed
from ctiserver.model.calls import call_entry
from ctiserver.model.expression.expression import Money, Value
from ctiserver.model.ids import AgentId, CallId, ContactId, DeviceId, PbxName, QueueName, RecordId
from ctiserver.model.json_value import Json
from ctiserver.net import HttpClient, RequestFailed

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
    """Flows' needs met by the features. Every method raises PortFailed."""

    def __init__(
        self,
        clock: Clock,
        *,
        pbx: PbxName,
        agents: Agents,
        calls: CallLogService,
        paths: CallPaths,
        lookups: ContactLookups,
        dialling: FlowDialling,
        queues: Queues,
        call_records: CallRecords,
        followups: FollowUps,
        recordings: Recordings,
        promises: Promises,
        http: HttpClient,
    ) -> None:
        self._clock = clock
        self._pbx = pbx
        self._agents = agents
        self._calls = calls
        self._paths = paths
        self._lookups = lookups
        self._dialling = dialling
        self._queues = queues
        self._call_records = call_records
        self._followups = followups
        self._recordings = recordings
        self._promises = promises
        self._http = http

    async def caller(self, call_id: CallId, ani: str, dnis: str, pbx: PbxName) -> CallerFacts:
        with _told_as_failure():
            await self._calls.begin(
                call_entry.CallEntry(
                    id=call_id,
                    pbx=pbx,
                    direction="inbound",
                    ani=ani,
                    caller_name="",
                    dnis=dnis,
                    started_at=self._clock.now(),
                )
            )
            card = await self._lookups.of_caller(ani)
            return CallerFacts(
                contact=None if card is None else _contact(card),
                record=None if card is None or not card.open_records else record_values(card.open_records[0]),
                visits_24h=await self._calls.earlier_calls(ani, timedelta(hours=24)),
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
            card = None if answered.contact is None else await self._lookups.by_id(answered.contact.id)
            return CalledFacts(
                flow=answered.flow,
                number=answered.number,
                contact=None if card is None else _contact(card),
                record=record_values(answered.record),
            )

    async def find(self, what: Literal["contact", "device", "record"], by: Mapping[str, Value]) -> Found:
        with _told_as_failure():
            match what:
                case "device":
                    ends = "serial" not in by
                    wanted = str(by.get("serial") or by.get("serial_ends") or "")
                    return [
                        device_values(device) for device in (await self._lookups.devices(wanted, ends=ends))[:_SEVERAL]
                    ]
                case "contact" if "id" in by:
                    card = await self._lookups.by_id(ContactId(str(by["id"])))
                    return [] if card is None else [_contact(card)]
                case "contact":
                    cards = await self._lookups.by_number(str(by.get("number", "")), _SEVERAL)
                    return [_contact(card) for card in cards]
                case "record":
                    record = await self._call_records.by_number(str(by.get("number", "")))
                    return [] if record is None else [record_values(record)]

    async def open_record(self, call_id: CallId, kind: str, fields: Mapping[str, Value]) -> Mapping[str, Value]:
        device, payer = fields.get("device"), fields.get("payer")
        known = isinstance(device, Mapping)
        with _told_as_failure():
            return record_values(
                await self._call_records.open_of_type(
                    call_id,
                    kind,
                    {name: _json(value) for name, value in fields.items()},
                    device_id=DeviceId(str(device["id"])) if isinstance(device, Mapping) and device.get("id") else None,
                    payer=payer if isinstance(payer, str) and (payer or known) else None,
                )
            )

    async def update_record(self, call_id: CallId, record_id: str, fields: Mapping[str, Value]) -> Mapping[str, Value]:
        with _told_as_failure():
            written = {name: _json(value) for name, value in fields.items()}
            return record_values(await self._call_records.write_fields(RecordId(record_id), written))

    async def queue_state(self, queue: str) -> Mapping[str, Value]:
        state = self._queues.state(QueueName(queue))
        return {"waiting": state.waiting, "agents_ready": state.agents_ready, "wait": state.expected_wait_s}

    async def agent_interface(self, agent: str, pbx: PbxName) -> str | None:
        return self._agents.interface_on(AgentId(agent), pbx)

    async def dialable(self, number: str, *, rostered: bool) -> str | None:
        with _told_as_failure():
            return await self._dialling.dialable(number, rostered=rostered)

    async def request_callback(self, call_id: CallId, number: str, queue: str, line: Line | None) -> None:
        with _told_as_failure():
            await self._promises.call_back(call_id, number, queue)
        if line is not None:
            await self._promises.keep_place(call_id, number, queue, pbx=line.pbx, priority=line.priority)

    async def tell(self, call_id: CallId, event: str, data: Mapping[str, Value]) -> None:
        log.info("flow_event", call_id=call_id, event_name=event)
        with _told_as_failure():
            await self._call_records.note(call_id, "flow_event", {"event": event, "data": _json(data)})
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
            await self._promises.message_left(call_id, file, language)

    async def add_path(self, call_id: CallId, steps: Sequence[PathStep]) -> None:
        with _told_as_failure():
            await self._paths.add(_path(call_id, steps))

    async def save_state(self, call_id: CallId, state: str, steps: Sequence[PathStep]) -> None:
        with _told_as_failure():
            await self._paths.keep_state(call_id, state, _path(call_id, steps))

    async def load_state(self, call_id: CallId) -> str | None:
        with _told_as_failure():
            return await self._paths.kept_state(call_id)

    async def delete_state(self, call_id: CallId, steps: Sequence[PathStep]) -> None:
        with _told_as_failure():
            await self._paths.forget_state(call_id, _path(call_id, steps))


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


def _contact(card: ContactCard) -> Mapping[str, Value]:
    return {
        "id": card.contact.id,
        "name": card.contact.name,
        "tier": card.contact.tier,
        "language": card.contact.language,
        "open_records": len(card.open_records),
        "last_agent": card.last_agent or "",
        "do_not_call": card.contact.do_not_call,
        "sites": card.sites,
        "devices": card.serials,
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
