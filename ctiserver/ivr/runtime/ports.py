"""What flows need of the rest of the system. The app implements it on the store, the simulator in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, assert_never

from ctiserver.errors import CtiError
from ctiserver.ivr.language.requests import ControlAudio, Find, OpenRecord, ReadQueues, RequestCallback, Tell
from ctiserver.ivr.language.state import PathStep
from ctiserver.model.expression.expression import Value
from ctiserver.model.ids import CallId, PbxName


class PortFailed(CtiError):
    """What a flow asked for could not be done; the node ends with its outcome ``error``."""


@dataclass(frozen=True, slots=True)
class CallerFacts:
    """What is known of a caller when the call begins. Maps have the fields of :mod:`ctiserver.ivr.language.names`."""

    contact: Mapping[str, Value] | None = None  #: None: unknown or withheld
    record: Mapping[str, Value] | None = None  #: the open record that a repeat caller most likely calls about
    visits_24h: int = 0
    blocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledFacts:
    """What is known of somebody who was called, and has answered."""

    flow: str  #: what they are to hear
    number: str
    contact: Mapping[str, Value] | None
    record: Mapping[str, Value]  #: what they were called about


@dataclass(frozen=True, slots=True)
class Line:
    """Where a call's channel is: a PBX, and the channel's name there."""

    pbx: PbxName
    channel: str
    priority: int = 0  #: with which it would wait again in a queue where it has waited, as app_queue counts


#: ``hide`` and ``show`` come of themselves around what is sensitive; the others are an ``audio`` node's.
AudioAction = Literal["start", "stop", "pause", "resume", "mask", "hide", "show"]


class FlowPorts(Protocol):
    """Every method may raise PortFailed; each is called with a deadline."""

    async def caller(self, call_id: CallId, ani: str, dnis: str, pbx: PbxName) -> CallerFacts:
        """Who calls, on which PBX. ``ani`` is empty where it is withheld."""
        ...

    async def called(self, call_id: CallId, key: str) -> CalledFacts:
        """Whom the server itself called; ``key`` is what the call carries."""
        ...

    async def find(
        self, what: Literal["contact", "device", "record"], by: Mapping[str, Value]
    ) -> Sequence[Mapping[str, Value]]:
        """What matches, at most two: a flow tells only none, one and several apart."""
        ...

    async def open_record(self, call_id: CallId, kind: str, fields: Mapping[str, Value]) -> Mapping[str, Value]:
        """Open a service record of a type for this call, or raise the caller's open one; gives the record."""
        ...

    async def update_record(self, call_id: CallId, record_id: str, fields: Mapping[str, Value]) -> Mapping[str, Value]:
        """Change a record's fields; gives the record."""
        ...

    async def queue_state(self, queue: str) -> Mapping[str, Value]:
        """``waiting``, ``agents_ready`` and ``wait`` (seconds) of a queue now."""
        ...

    async def agent_interface(self, agent: str, pbx: PbxName) -> str | None:
        """The device of an agent who is logged in on ``pbx``, such as ``PJSIP/agent1``; None for one who is not."""
        ...

    async def dialable(self, number: str, *, rostered: bool) -> str | None:
        """The number as a flow may dial it to outside, in E.164. None where dialling.yaml does not allow it, or its
        contact does not want to be called. ``rostered``: a roster has it, which is leave enough; what dialling.yaml
        refuses is refused all the same. Raises PortFailed."""
        ...

    async def request_callback(self, call_id: CallId, number: str, queue: str, line: Line | None) -> None:
        """Promise a call back, with the place in the queue that the caller has now. ``line``: None in a simulation."""
        ...

    async def tell(self, call_id: CallId, event: str, data: Mapping[str, Value]) -> None:
        """Tell the rest of the system that something happened."""
        ...

    async def fetch(self, url: str, data: Mapping[str, Value]) -> Mapping[str, Value] | None:
        """Ask a web service by POST of JSON; None where it answers 404."""
        ...

    async def control_audio(self, call_id: CallId, action: AudioAction, line: Line | None) -> None:
        """Write silence into what records the call, or sound again; a call that nothing records is no error.

        ``start`` and ``stop`` were done by the dialplan, and are told. ``line`` is None in a simulation.
        """
        ...

    async def voicemail(self, call_id: CallId, file: str, language: str) -> None:
        """The caller left a message in this file, as the PBX names it."""
        ...

    async def add_path(self, call_id: CallId, steps: Sequence[PathStep]) -> None:
        """Store steps of the call's path, in order."""
        ...

    async def save_state(self, call_id: CallId, state: str, steps: Sequence[PathStep]) -> None:
        """Keep a call's flow state while the dialplan has the call, and the path so far; replaces an older state."""
        ...

    async def load_state(self, call_id: CallId) -> str | None:
        """The state that was kept, None if there is none."""
        ...

    async def delete_state(self, call_id: CallId, steps: Sequence[PathStep]) -> None:
        """Forget a call's state, and store the last of its path; unknown calls are no error."""
        ...


#: What the engine asks of these ports, rather than of the caller or the dialplan.
PortRequest = ReadQueues | Find | OpenRecord | Tell | RequestCallback | ControlAudio


async def ask(ports: FlowPorts, call: CallId, request: PortRequest, line: Line | None = None) -> Value:
    """Carry out one request. Raises PortFailed."""
    match request:
        case ReadQueues(names=names):
            return {name: await ports.queue_state(name) for name in names}
        case Find(what="http", by=by, url=url):
            found = await ports.fetch(url, by)
            return () if found is None else (found,)
        case Find(what=what, by=by):
            assert what != "http"
            return tuple(await ports.find(what, by))
        case OpenRecord(type=kind, fields=fields, record_id=""):
            return await ports.open_record(call, kind, fields)
        case OpenRecord(fields=fields, record_id=record_id):
            return await ports.update_record(call, record_id, fields)
        case Tell(event=event, data=data, url=""):
            await ports.tell(call, event, data)
        case Tell(event=event, data=data, url=url):
            await ports.fetch(url, {"event": event, **data})
        case RequestCallback(number=number, queue=queue):
            await ports.request_callback(call, number, queue, line)
        case ControlAudio(action=action):
            await ports.control_audio(call, action, line)
        case _:
            assert_never(request)
    return None


@dataclass(slots=True)
class MemoryPorts:
    """Everything in memory: for the simulator, ``flow try`` and tests."""

    facts: CallerFacts = field(default_factory=CallerFacts)
    tables: dict[str, list[Mapping[str, Value]]] = field(default_factory=dict)
    queues: dict[str, Mapping[str, Value]] = field(default_factory=dict)
    agents: dict[str, str] = field(default_factory=dict)
    web: dict[str, Mapping[str, Value] | None] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)  #: names of methods that fail
    records: list[dict[str, Value]] = field(default_factory=list)
    callbacks: list[tuple[str, str]] = field(default_factory=list)
    events: list[tuple[str, Mapping[str, Value]]] = field(default_factory=list)
    audio: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)  #: the recording is masked of itself where keys are sensitive
    messages: list[str] = field(default_factory=list)
    path: dict[CallId, list[PathStep]] = field(default_factory=dict)
    states: dict[CallId, str] = field(default_factory=dict)

    def _may_fail(self, name: str) -> None:
        if name in self.fails:
            raise PortFailed(f"{name} fails here on purpose")

    async def caller(self, call_id: CallId, ani: str, dnis: str, pbx: PbxName) -> CallerFacts:
        self._may_fail("caller")
        return self.facts

    async def called(self, call_id: CallId, key: str) -> CalledFacts:
        raise PortFailed("no destination was called")

    async def find(
        self, what: Literal["contact", "device", "record"], by: Mapping[str, Value]
    ) -> Sequence[Mapping[str, Value]]:
        self._may_fail("find")
        return [row for row in self.tables.get(what, []) if _matches(row, by)]

    async def open_record(self, call_id: CallId, kind: str, fields: Mapping[str, Value]) -> Mapping[str, Value]:
        self._may_fail("open_record")
        number = len(self.records) + 1
        record: dict[str, Value] = {
            "id": f"record-{number}",
            "number": f"R-{number:04d}",
            "type": kind,
            "status": "open",
            "fields": dict(fields),
        }
        self.records.append(record)
        return record

    async def update_record(self, call_id: CallId, record_id: str, fields: Mapping[str, Value]) -> Mapping[str, Value]:
        self._may_fail("update_record")
        for record in self.records:
            if record["id"] == record_id:
                known = record.get("fields")
                record["fields"] = {**(known if isinstance(known, Mapping) else {}), **fields}
                return record
        raise PortFailed(f"there is no record {record_id!r}")

    async def queue_state(self, queue: str) -> Mapping[str, Value]:
        self._may_fail("queue_state")
        return self.queues.get(queue, {"waiting": 0, "agents_ready": 0, "wait": 0})

    async def agent_interface(self, agent: str, pbx: PbxName) -> str | None:
        return self.agents.get(agent)

    async def dialable(self, number: str, *, rostered: bool) -> str | None:
        return number

    async def request_callback(self, call_id: CallId, number: str, queue: str, line: Line | None) -> None:
        self._may_fail("request_callback")
        self.callbacks.append((number, queue))

    async def tell(self, call_id: CallId, event: str, data: Mapping[str, Value]) -> None:
        self._may_fail("tell")
        self.events.append((event, data))

    async def fetch(self, url: str, data: Mapping[str, Value]) -> Mapping[str, Value] | None:
        self._may_fail("fetch")
        return self.web.get(url)

    async def control_audio(self, call_id: CallId, action: AudioAction, line: Line | None) -> None:
        self._may_fail("control_audio")
        (self.hidden if action in ("hide", "show") else self.audio).append(action)

    async def voicemail(self, call_id: CallId, file: str, language: str) -> None:
        self.messages.append(file)

    async def add_path(self, call_id: CallId, steps: Sequence[PathStep]) -> None:
        self._may_fail("add_path")
        self.path.setdefault(call_id, []).extend(steps)

    async def save_state(self, call_id: CallId, state: str, steps: Sequence[PathStep]) -> None:
        self._may_fail("save_state")
        self.path.setdefault(call_id, []).extend(steps)
        self.states[call_id] = state

    async def load_state(self, call_id: CallId) -> str | None:
        return self.states.get(call_id)

    async def delete_state(self, call_id: CallId, steps: Sequence[PathStep]) -> None:
        self._may_fail("delete_state")
        self.path.setdefault(call_id, []).extend(steps)
        self.states.pop(call_id, None)


def _matches(row: Mapping[str, Value], by: Mapping[str, Value]) -> bool:
    """``serial: x`` is equality, ``serial_ends: x`` compares the end."""
    for name, wanted in by.items():
        if name.endswith("_ends"):
            if not str(row.get(name.removesuffix("_ends"), "")).endswith(str(wanted)):
                return False
        elif row.get(name) != wanted:
            return False
    return True
