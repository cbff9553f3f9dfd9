"""What a menu asks of contacts: who calls, and what belongs to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ctiserver.model.contact import Contact, Device, only
from ctiserver.model.ids import AgentId, ContactId
from ctiserver.model.work.record import Record
from ctiserver.store.database import Database
from ctiserver.store.unit_of_work import UnitOfWork

_CALLS_LOOKED_AT = 10


class Keyed(Protocol):
    """How numbers are read."""

    def key(self, ani: str) -> str | None:
        """The number by which contacts are found, None where it tells nobody."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactCard:
    """A contact, and what belongs to them."""

    contact: Contact
    open_records: tuple[Record, ...]
    last_agent: AgentId | None  #: of their last ten calls
    sites: tuple[str, ...]  #: by name
    serials: tuple[str, ...]  #: of their devices


class ContactLookups:
    """Reads for flows. Each raises StoreUnavailable."""

    def __init__(self, database: Database, contacts: Keyed) -> None:
        self._database = database
        self._contacts = contacts

    async def of_caller(self, ani: str) -> ContactCard | None:
        """Whose number this is; None where nobody has it, several share it, or it is withheld."""
        number = self._contacts.key(ani)
        if number is None:
            return None
        async with self._database.reading() as uow:
            contact = only(await uow.contacts.by_number(number))
            return None if contact is None else await _card(uow, contact)

    async def by_id(self, contact_id: ContactId) -> ContactCard | None:
        """A contact."""
        async with self._database.reading() as uow:
            contact = await uow.contacts.find(contact_id)
            return None if contact is None else await _card(uow, contact)

    async def by_number(self, ani: str, most: int) -> list[ContactCard]:
        """Everybody who has this number, at most ``most``."""
        number = self._contacts.key(ani)
        if number is None:
            return []
        async with self._database.reading() as uow:
            return [await _card(uow, contact) for contact in (await uow.contacts.by_number(number))[:most]]

    async def devices(self, serial: str, *, ends: bool) -> list[Device]:
        """Devices with this serial number; with ``ends`` those whose serial number ends so."""
        if not serial:
            return []
        async with self._database.reading() as uow:
            found = await uow.contacts.devices_by_serial(serial)
        return found if ends else [device for device in found if device.serial == serial]


async def _card(uow: UnitOfWork, contact: Contact) -> ContactCard:
    calls = await uow.calls.of_contact(contact.id, limit=_CALLS_LOOKED_AT)
    return ContactCard(
        contact=contact,
        open_records=tuple(await uow.records.open_of_contact(contact.id)),
        last_agent=next((call.agent_id for call in calls if call.agent_id), None),
        sites=tuple(site.name for site in await uow.contacts.sites(contact.id)),
        serials=tuple(device.serial for device in await uow.contacts.devices(contact.id)),
    )
