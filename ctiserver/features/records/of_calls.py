"""The record that a call's message or callback is put on: the call's own, or one that is opened for it."""

from __future__ import annotations

from ctiserver.features.records.reports import ContactsOf
from ctiserver.features.records.service import Records
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.contact import only
from ctiserver.model.ids import AgentId
from ctiserver.model.work.record import Record
from ctiserver.store.unit_of_work import UnitOfWork


class CallRecords:
    """Use cases around the records of calls that no person has opened one for."""

    def __init__(self, records: Records, contacts_of: ContactsOf, *, message_type: str) -> None:
        """``message_type``: the type of the records that are opened."""
        self._records = records
        self._contacts_of = contacts_of
        self._message_type = message_type

    async def for_call(self, uow: UnitOfWork, call: CallEntry) -> tuple[Record, bool]:
        """The call's last record, or one opened for it; whether it was opened or linked, so that desks are told.

        It commits with ``uow``; who commits tells of it by :meth:`Records.tell`.
        """
        known = await uow.records.of_call(call.id)
        return (known[-1], False) if known else (await self.open(uow, call, owner=None), True)

    async def open(self, uow: UnitOfWork, call: CallEntry, *, owner: AgentId | None) -> Record:
        """Open a record for the call, or find the open one of its contact; commits with ``uow``."""
        contact = only(await self._contacts_of(uow, call.ani, ""))
        opened = await self._records.open_within(
            uow,
            self._message_type,
            actor=f"call:{call.id}",
            call_id=call.id,
            contact_id=None if contact is None else contact.id,
            caller_number=call.ani,
            owner=owner,
        )
        return opened.record
