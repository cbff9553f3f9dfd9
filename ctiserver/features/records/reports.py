"""Records that another system reports: a CRM, an office system, a device's own alarm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.features.records.service import Opened, Records
from ctiserver.model.contact import Contact, Device, only
from ctiserver.model.ids import RecordId
from ctiserver.model.json_value import Json
from ctiserver.model.work.record import Record
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.unit_of_work import UnitOfWork
from ctiserver.web.access import Person

#: Everybody who has a number; a new contact, with this name, for one that nobody has. None for a withheld number.
ContactsOf = Callable[[UnitOfWork, str, str], Awaitable[list[Contact]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What another system says."""

    type: str  #: of record
    subject: str = ""
    notes: str = ""
    number: str = ""  #: the customer's telephone number
    name: str = ""  #: the customer's, used for a number that nobody has yet
    serial: str = ""  #: of the device, whole
    fields: Mapping[str, str] = field(default_factory=dict)
    start: bool = True  #: start the type's process at once, if it has one


class Reports:
    """Each report is one unit of work: the record, its process' start, and that this request was done."""

    def __init__(
        self, database: Database, clock: Clock, site: Site, *, records: Records, contacts_of: ContactsOf
    ) -> None:
        self._database = database
        self._clock = clock
        self._site = site
        self._records = records
        self._contacts_of = contacts_of

    async def report(self, by: Person, key: str, said: Report) -> Opened:
        """Open a record, or put the report to the one of this type that the customer has open.

        The same request once more (same ``key``) gives the same record and does nothing. Raises UserFault for what the
        site does not know: type, field, device; Conflict if the key came with something else before, or comes twice
        at this moment.
        """
        body_hash = hashlib.sha256(json.dumps(asdict(said), sort_keys=True).encode()).hexdigest()
        now = self._clock.now()
        async with self._database.unit_of_work() as uow:
            before = await uow.requests.answered(by.user_id, key, body_hash)
            if before is not None:
                return Opened(await uow.records.get(RecordId(str(before["record_id"]))), new=False)
            device = await self._device(uow, said.serial)
            contact = await self._contact(uow, said, device)
            opened = await self._records.open_within(
                uow,
                said.type,
                actor=by.actor,
                contact_id=None if contact is None else contact.id,
                caller_number=said.number,
                subject=said.subject,
                fields=self._fields(said),
            )
            record = await self._complete(uow, opened, said, device)
            if not opened.new:
                again = {"subject": said.subject, "notes": said.notes}
                await uow.records.write_line(record.id, now, by.actor, "reported_again", again)
            process = self._site.record_types[said.type].process
            if said.start and process is not None:
                await uow.outbox.start_process(record.id, process, now)
            await uow.requests.keep(by.user_id, key, body_hash, {"record_id": record.id}, now)
        self._records.tell(record)
        return Opened(record, new=opened.new)

    async def _device(self, uow: UnitOfWork, serial: str) -> Device | None:
        if not serial:
            return None
        device = next((one for one in await uow.contacts.devices_by_serial(serial) if one.serial == serial), None)
        if device is None:
            raise UserFault(
                f"no device has the serial number {serial}", where="serial", fix="Add it to its contact first"
            )
        return device

    async def _contact(self, uow: UnitOfWork, said: Report, device: Device | None) -> Contact | None:
        """Whose device it is; else whose number, if that is one person's."""
        if device is not None:
            return await uow.contacts.get(device.contact_id)
        found = await self._contacts_of(uow, said.number, said.name) if said.number else []
        return only(found)

    def _fields(self, said: Report) -> dict[str, Json]:
        known = self._site.record_types[said.type].fields if said.type in self._site.record_types else {}
        unknown = sorted(set(said.fields) - set(known))
        if unknown and said.type in self._site.record_types:
            raise UserFault(
                f"a record of type {said.type} has no {', '.join(unknown)}",
                where="fields",
                fix=f"It has {', '.join(known)}",
            )
        return dict(said.fields)

    async def _complete(self, uow: UnitOfWork, opened: Opened, said: Report, device: Device | None) -> Record:
        """What an open call does not bring: the notes and the device. An older record keeps what stands in it."""
        record = opened.record
        notes = record.notes or said.notes
        device_id, site_id = record.device_id, record.site_id
        if device is not None and device_id is None:
            device_id, site_id = device.id, device.site_id
        whole = replace(record, notes=notes, device_id=device_id, site_id=site_id)
        if whole == record:
            return record
        await uow.records.update(replace(whole, updated_at=self._clock.now()))
        return await uow.records.get(record.id)
