"""Records of calls that no person has opened one for: what a flow, a missed call or a message is put on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ctiserver.clock import Clock
from ctiserver.features.records.reports import ContactsOf
from ctiserver.features.records.service import Records
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.contact import only
from ctiserver.model.ids import AgentId, CallId, DeviceId, RecordId
from ctiserver.model.json_value import Json
from ctiserver.model.work.record import Record
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.unit_of_work import UnitOfWork


class CallRecords:
    """Use cases around the records of calls that no person has opened one for."""

    def __init__(
        self, database: Database, clock: Clock, site: Site, *, records: Records, contacts_of: ContactsOf
    ) -> None:
        self._database = database
        self._clock = clock
        self._site = site
        self._records = records
        self._contacts_of = contacts_of

    async def for_call(self, uow: UnitOfWork, call: CallEntry) -> tuple[Record, bool]:
        """The call's last record, or one opened for it; whether it was opened or linked, so that desks are told.

        It commits with ``uow``; who commits tells of it by :meth:`Records.tell`.
        """
        known = await uow.records.of_call(call.id)
        return (known[-1], False) if known else (await self.open(uow, call, owner=None), True)

    async def open(self, uow: UnitOfWork, call: CallEntry, *, owner: AgentId | None) -> Record:
        """Open a record for the call, or find the open one of its contact; commits with ``uow``."""
        return await self._open(uow, call, self._site.message_type, owner, {})

    async def open_of_type(
        self,
        call_id: CallId,
        type_: str,
        fields: Mapping[str, Json],
        *,
        device_id: DeviceId | None = None,
        payer: str | None = None,
    ) -> Record:
        """Open a record for the call, or find the one of this type that its contact has open; desks are told.

        Where several people share the number, none is chosen: an agent asks. ``fields`` that the type lacks are left
        out; ``device_id`` and ``payer`` stay as they are where they are None. Raises NotFound for an unknown call,
        UserFault for an unknown type, StoreUnavailable.
        """
        known = self._site.record_types[type_].fields if type_ in self._site.record_types else {}
        async with self._database.unit_of_work() as uow:
            call = await uow.calls.get(call_id)
            words = {name: value for name, value in fields.items() if name in known}
            record = await self._open(uow, call, type_, None, words)
            if device_id is not None or payer is not None:
                kept = await uow.records.lock(record.id)
                await uow.records.update(
                    replace(
                        kept,
                        device_id=kept.device_id if device_id is None else device_id,
                        payer=kept.payer if payer is None else payer,
                        updated_at=self._clock.now(),
                    )
                )
        self._records.tell(record)
        return record

    async def write_fields(self, record_id: RecordId, fields: Mapping[str, Json]) -> Record:
        """Write some fields of a record. Raises NotFound, StoreUnavailable."""
        async with self._database.unit_of_work() as uow:
            record = await uow.records.lock(record_id)
            await uow.records.update(replace(record, fields={**record.fields, **fields}, updated_at=self._clock.now()))
        return record

    async def by_number(self, number: str) -> Record | None:
        """The record that has this number, such as R20261201-0001. Raises StoreUnavailable."""
        async with self._database.reading() as uow:
            return await uow.records.by_number(number)

    async def note(self, call_id: CallId, kind: str, data: Mapping[str, Json]) -> None:
        """A line on the timeline of each record of the call. Raises StoreUnavailable."""
        async with self._database.unit_of_work() as uow:
            for record in await uow.records.of_call(call_id):
                await uow.records.write_line(record.id, self._clock.now(), f"call:{call_id}", kind, data)

    async def _open(
        self, uow: UnitOfWork, call: CallEntry, type_: str, owner: AgentId | None, fields: Mapping[str, Json]
    ) -> Record:
        contact = only(await self._contacts_of(uow, call.ani, ""))
        opened = await self._records.open_within(
            uow,
            type_,
            actor=f"call:{call.id}",
            call_id=call.id,
            contact_id=None if contact is None else contact.id,
            caller_number=call.ani,
            owner=owner,
            fields=fields,
        )
        return opened.record
