"""Use cases of service records: open, write down, dispose. Each is one unit of work with its line on the timeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Required, TypedDict, Unpack
from zoneinfo import ZoneInfo

import structlog

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.model.calls import call_detail
from ctiserver.model.events import AgentConnected, CallSummary
from ctiserver.model.ids import AgentId, CallId, ContactId, Interface, PbxName, RecordId, new_ulid
from ctiserver.model.json_value import Json
from ctiserver.model.person import place_of
from ctiserver.model.work import record_fields
from ctiserver.model.work.record import Record
from ctiserver.pbx.port import Pbx, current_events
from ctiserver.site.files import Disposition, RecordType
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.faults import Conflict
from ctiserver.store.patience import until_stored
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

HIGHEST_PRIORITY = 9
#: After missed events the call log is read back so far before the last one that was heard, so many calls at a time.
_LONGEST_CALL = timedelta(hours=4)
_LOOKED_UP = 200
#: What a repeat call is to processes (``any_time``) and on timelines.
CALLED_AGAIN = "called_again"
#: What a desk may write of a record besides its type's own fields.
WRITABLE = frozenset({"notes", "subject", "payer", "contact_id", "complainant", "complainant_number"})
PAYERS = frozenset({"", "customer", "maker", "company"})


class MissingFields(UserFault):
    """The record can't be disposed of before these fields are filled in."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"to be filled in first: {', '.join(names)}")
        self.names = names


class WrongFields(UserFault):
    """These fields can't hold what was written: no number, no date, none of the choices."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {fault}" for name, fault in faults.items()))
        self.faults = dict(faults)  #: by field, a stable word each


class RecordWords(TypedDict, total=False):
    """What may be said of a record when it is opened."""

    actor: Required[str]  #: who opens it: ``user:…``, ``call:…``
    call_id: CallId | None  #: about which it is
    contact_id: ContactId | None
    caller_number: str
    owner: AgentId | None
    subject: str
    fields: Mapping[str, Json]  #: of its type


@dataclass(frozen=True, slots=True)
class Opened:
    """What happened to a wish to open a record."""

    record: Record
    new: bool  #: False: it was open already, and this call was put to it


@dataclass(frozen=True, slots=True)
class Change:
    """A value as the writer saw it, and as it shall be. Who saw an old value overwrites nobody."""

    was: str
    now: str


class Records:
    """Service records."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        site: Site,
        *,
        time_zone: str,
        changed: Callable[[Record], None],
        pbxs: Mapping[PbxName, Pbx],
        first_pbx: PbxName | None = None,
    ) -> None:
        """``time_zone``: whose day a record's number has. ``changed`` is told of each change after its commit.
        ``first_pbx`` is the PBX of agents who name none; None: there is but one."""
        self._database = database
        self._bus = bus
        self._clock = clock
        self._site = site
        self._zone = ZoneInfo(time_zone)
        self._changed = changed
        self._pbxs = pbxs
        self._first_pbx = first_pbx
        self._heard_until = clock.now()

    async def run(self) -> None:
        """Give records their owner: anyone who first talks with the caller answers for them until they are closed."""
        await self._bus.follow("records", (AgentConnected,), self._heard, self._resync)

    async def _resync(self) -> None:
        """The person who talks now, and the person who talked in the calls that ended since the last event."""
        talks = [event for event in current_events(self._pbxs.values()) if isinstance(event, AgentConnected)]
        since, self._heard_until = self._heard_until, self._clock.now()
        for event in talks:
            await until_stored(partial(self.answered, event), "owner of a record")
        await until_stored(partial(self._answered_since, since - _LONGEST_CALL), "owner of a record")

    async def _answered_since(self, since: datetime) -> None:
        last: CallId | None = None
        while True:
            async with self._database.reading() as uow:
                entries = await uow.calls.page(_LOOKED_UP, before=last)
            for entry in entries:
                if entry.complete and entry.agent_id is not None:
                    await self.told(call_detail.summary(entry))
            if not entries or entries[-1].started_at < since:
                return
            last = entries[-1].id

    async def _heard(self, event: AgentConnected) -> None:
        await until_stored(partial(self.answered, event), "owner of a record")
        self._heard_until = self._clock.now()

    async def answered(self, event: AgentConnected) -> None:
        """An agent talks in a call: its records that nobody answers for are theirs. Raises StoreUnavailable."""
        await self._answered(event.call_id, event.pbx, [event.interface])

    async def told(self, summary: CallSummary) -> None:
        """The same of a call that became known afterwards: the person who talked first. Raises StoreUnavailable."""
        await self._answered(summary.call_id, summary.pbx, summary.answered_by)

    async def _answered(self, call: CallId, pbx: PbxName, interfaces: Sequence[Interface]) -> None:
        place = place_of(pbx, self._first_pbx)
        async with self._database.reading() as uow:  # most often there is nothing to write, and nothing to wait for
            who = [agent for one in interfaces if (agent := await uow.agents.by_interface(one, place)) is not None]
            if not who or not any(_is_nobodys(record) for record in await uow.records.of_call(call)):
                return
        owned: list[Record] = []
        async with self._database.unit_of_work() as uow:
            for found in await uow.records.of_call(call):
                if _is_nobodys(found):
                    record = await self._keep(uow, replace(found, owner=who[0].id))
                    await self._note(uow, record, f"call:{call}", "answered", {"agent": who[0].id})
                    owned.append(record)
        for record in owned:
            self._changed(record)

    async def open(self, type_: str, **words: Unpack[RecordWords]) -> Opened:
        """Open a record, or raise the one of this type that the contact has open.

        Asking twice for the same call gives the same record. Raises UserFault for a type that the site lacks.
        """
        async with self._database.unit_of_work() as uow:
            opened = await self.open_within(uow, type_, **words)
        self._changed(opened.record)
        return opened

    async def open_within(self, uow: UnitOfWork, type_: str, **words: Unpack[RecordWords]) -> Opened:
        """As :meth:`open`, but to commit with what else ``uow`` does; who commits tells of it by :meth:`tell`."""
        call_id, contact_id = words.get("call_id"), words.get("contact_id")
        self._type(type_)
        now = self._clock.now()
        if call_id is not None and contact_id is not None:
            entry = await uow.calls.find_to_change(call_id)
            if entry is not None and entry.contact_id is None:
                await uow.calls.save(replace(entry, contact_id=contact_id))
        opened = await self._already_open(uow, type_, call_id, contact_id, now)
        if opened is not None:
            return opened
        record = Record(
            id=RecordId(new_ulid(now)),
            number=await self._number(uow, now),
            type=type_,
            subject=words.get("subject", ""),
            contact_id=contact_id,
            caller_number=words.get("caller_number", ""),
            owner=words.get("owner"),
            priority=self._site.record_types[type_].priority,
            fields=dict(words.get("fields", {})),
            opened_at=now,
            updated_at=now,
        )
        await uow.records.add(record)
        if call_id is not None:
            await uow.records.link_call(record.id, call_id)
        await self._note(uow, record, words["actor"], "opened", {"call": call_id, "type": type_})
        return Opened(record, new=True)

    async def urge(self, record_id: RecordId, call_id: CallId, *, actor: str) -> Record:
        """A call is about this open record, though its caller came another way: as if it had led here by itself.

        The same call once more changes nothing. Raises NotFound; Conflict for a record that is closed.
        """
        async with self._database.unit_of_work() as uow:
            record = await uow.records.lock(record_id)
            if record.status == "closed":
                raise Conflict(f"record {record.number} is closed; open another")
            if not await uow.records.link_call(record.id, call_id):
                return record
            record = await self._called_again(uow, record, call_id, actor, self._clock.now())
        self._changed(record)
        return record

    def tell(self, record: Record) -> None:
        """What a unit of work of somebody else's changed of a record is committed: desks are told."""
        self._changed(record)

    async def write(
        self,
        record_id: RecordId,
        changes: Mapping[str, Change],
        fields: Mapping[str, Change],
        *,
        actor: str,
        peer: str = "",
    ) -> Record:
        """Write values down; one that stands there already is not a conflict, so that a lost answer can be asked again.

        Another contact takes the calls along that this record is linked to: the history follows. Raises NotFound;
        Conflict if somebody else changed one of these values; WrongFields for what a field can't hold; UserFault for a
        name that the record lacks.
        """
        async with self._database.unit_of_work() as uow:
            record = await uow.records.lock(record_id)
            allowed = self._type(record.type).fields
            unknown = (set(changes) - WRITABLE) | (set(fields) - set(allowed))
            if unknown:
                raise UserFault(f"a record of type {record.type} has no {', '.join(sorted(unknown))}")
            if "payer" in changes and changes["payer"].now not in PAYERS:
                raise UserFault("the payer is customer, maker or company")
            self._check_fields(record.type, {name: change.now for name, change in fields.items()})
            values: dict[str, str | None] = {}
            for name, change in changes.items():
                _check(name, getattr(record, name) or "", change)
                values[name] = change.now or None if name == "contact_id" else change.now
            kept = dict(record.fields)
            for name, change in fields.items():
                _check(name, str(kept.get(name) or ""), change)
                kept[name] = change.now
            written = replace(record, fields=kept, **values)  # type: ignore[arg-type]
            if written == record:
                return record
            before, record = record.contact_id, await self._keep(uow, written)
            if record.contact_id != before:
                await self._relink(uow, record, before, actor, peer)
        self._changed(record)
        return record

    async def dispose(self, record_id: RecordId, code: str, *, actor: str) -> Record:
        """Save the result: what it does to the record, its timeline and the process it starts commit together.

        The same result once more changes nothing. Raises NotFound; MissingFields; UserFault for a result that the
        record's type does not have, or a closed record; Conflict if it was closed with another.
        """
        disposition = self._disposition(code)
        now = self._clock.now()
        async with self._database.unit_of_work() as uow:
            record = await uow.records.lock(record_id)
            if record.disposition == code:
                return record
            if record.status == "closed":
                raise Conflict(f"record {record.number} was closed as {record.disposition} in the meantime")
            self._check_disposable(record, code, disposition)
            closes = disposition.does == "close"
            record = await self._keep(
                uow,
                replace(
                    record,
                    disposition=code,
                    status="closed" if closes else "open",
                    closed_at=now if closes else None,
                    resolution=code if closes else None,
                ),
            )
            await self._note(uow, record, actor, "disposed", {"disposition": code, "does": disposition.does})
            process = self._process_of(record, disposition)
            if process is not None:
                # One process a record and kind: the key keeps a second wish from starting a second one. A call back may
                # be promised again when the first was made; while one is owed, the process keeps to that.
                again = str(record.revision) if disposition.does == "callback" else ""
                await uow.outbox.start_process(record.id, process, now, cause=again)
        self._changed(record)
        return record

    async def _relink(self, uow: UnitOfWork, record: Record, before: ContactId | None, actor: str, peer: str) -> None:
        """The record is another contact's now, and so are its calls; those that other records share stay."""
        for call_id in await uow.records.calls(record.id):
            entry = await uow.calls.find_to_change(call_id)
            if entry is not None and entry.contact_id == before:
                await uow.calls.save(replace(entry, contact_id=record.contact_id))
        await self._note(uow, record, actor, "linked", {"contact": record.contact_id})
        if before is not None:
            detail: dict[str, Json] = {"from": before, "to": record.contact_id, "number": record.number}
            await uow.audit.note(
                self._clock.now(), actor, "record_linked", f"record:{record.id}", peer=peer, detail=detail
            )

    def _check_fields(self, type_: str, values: Mapping[str, str]) -> None:
        known = self._type(type_).fields
        faults = {
            name: fault
            for name, value in values.items()
            if (fault := record_fields.fault(known[name].kind, value, known[name].choices)) is not None
        }
        if faults:
            raise WrongFields(faults)

    def _process_of(self, record: Record, disposition: Disposition) -> str | None:
        match disposition.does:
            case "process":
                return self._site.record_types[record.type].process
            case "callback":
                return "callback"
            case "close" | "keep_open":
                return None

    def _check_disposable(self, record: Record, code: str, disposition: Disposition) -> None:
        if disposition.types and record.type not in disposition.types:
            raise UserFault(f"the result {code} is not for records of type {record.type}")
        if disposition.does == "process" and self._type(record.type).process is None:
            raise UserFault(
                f"the result {code} starts a process, but the record type {record.type} has none",
                where="record_types.yaml",
                fix="Name a process there, or give the result another `does` in dispositions.yaml",
            )
        wanted = [
            name
            for name, field in self._type(record.type).fields.items()
            if field.required != "never" or (field.required_when and self._holds(field.required_when, record, code))
        ]
        wanted += [name for name in disposition.required if name not in wanted]
        missing = tuple(name for name in wanted if not _value(record, name).strip())
        if missing:
            raise MissingFields(missing)

    def _holds(self, condition: str, record: Record, code: str) -> bool:
        fields = {name: str(value or "") for name, value in record.fields.items()}
        return record_fields.holds(
            condition, fields=fields, payer=record.payer, disposition=code, now=self._clock.now()
        )

    async def _already_open(
        self, uow: UnitOfWork, type_: str, call_id: CallId | None, contact_id: ContactId | None, now: datetime
    ) -> Opened | None:
        if call_id is not None:
            for record in await uow.records.of_call(call_id):
                if record.type == type_:
                    return Opened(record, new=False)
        if contact_id is None:
            return None
        await uow.contacts.lock(contact_id)  # of two calls at once the second finds what the first opened
        still_open = await uow.records.open_of_contact(contact_id, type_)
        if not still_open:
            return None
        record = still_open[0]
        if call_id is not None and await uow.records.link_call(record.id, call_id):
            record = await self._called_again(uow, record, call_id, f"call:{call_id}", now)
        return Opened(record, new=False)

    async def _called_again(
        self, uow: UnitOfWork, record: Record, call_id: CallId, actor: str, now: datetime
    ) -> Record:
        """The call urges the record on (催单): it is more urgent by as much as its process says, else by one."""
        running = [process for process in await uow.processes.of_record(record.id) if process.status == "running"]
        process_says = any(CALLED_AGAIN in _any_time(process.definition) for process in running)
        raised = record.priority if process_says else min(HIGHEST_PRIORITY, record.priority + 1)
        record = replace(
            record, priority=raised, repeat_calls=record.repeat_calls + 1, repeat_call_at=now, updated_at=now
        )
        await uow.records.update(record)
        record = replace(record, revision=record.revision + 1)
        said: dict[str, Json] = {"priority": record.priority, "call": call_id, "times": record.repeat_calls}
        await self._note(uow, record, actor, CALLED_AGAIN, said)
        if process_says:
            await uow.outbox.add(
                "process_signal",
                f"{CALLED_AGAIN}/{record.id}/{call_id}",
                {"record_id": record.id, "event": CALLED_AGAIN, "event_id": f"{CALLED_AGAIN}/{call_id}"},
                now,
            )
        return record

    async def _number(self, uow: UnitOfWork, now: datetime) -> str:
        return await uow.records.next_number(now.astimezone(self._zone).date())

    async def _keep(self, uow: UnitOfWork, record: Record) -> Record:
        record = replace(record, updated_at=self._clock.now())
        await uow.records.update(record)
        return replace(record, revision=record.revision + 1)

    async def _note(
        self, uow: UnitOfWork, record: Record, actor: str, kind: str, data: Mapping[str, Json] | None = None
    ) -> None:
        await uow.records.write_line(record.id, self._clock.now(), actor, kind, data)

    def _type(self, name: str) -> RecordType:
        try:
            return self._site.record_types[name]
        except KeyError:
            raise UserFault(
                f"there is no record type {name}", where="record_types.yaml", fix="Add it there, or use another"
            ) from None

    def _disposition(self, code: str) -> Disposition:
        try:
            return self._site.dispositions[code]
        except KeyError:
            raise UserFault(
                f"there is no result {code}", where="dispositions.yaml", fix="Add it there, or use another"
            ) from None


def _check(name: str, stands: str, change: Change) -> None:
    if stands not in (change.was, change.now):
        raise Conflict(f"{name} was changed by another user in the meantime")


def _any_time(definition: Mapping[str, Json]) -> Mapping[str, Json]:
    """The events that a process takes at any time, by name."""
    events = definition.get("any_time")
    return events if isinstance(events, Mapping) else {}


def _value(record: Record, name: str) -> str:
    if name in WRITABLE:
        return str(getattr(record, name) or "")
    return str(record.fields.get(name) or "")


def _is_nobodys(record: Record) -> bool:
    return record.owner is None and record.status == "open"
