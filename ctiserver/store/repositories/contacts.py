"""Contacts with their numbers, sites and devices."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model import search_text
from ctiserver.model.contact import Contact, Device, Premises
from ctiserver.model.ids import ContactId, DeviceId, SiteId
from ctiserver.store import rows, tables
from ctiserver.store.faults import NotFound

T = TypeVar("T")

#: Made once, as every call asks it.
_BY_NUMBER = (
    sa.select(tables.contacts)
    .join(tables.contact_numbers, tables.contact_numbers.c.contact_id == tables.contacts.c.id)
    .where(tables.contact_numbers.c.number == sa.bindparam("number_"))
    .order_by(tables.contacts.c.updated_at.desc(), tables.contacts.c.id)
)

_BY_ID = sa.select(tables.contacts).where(tables.contacts.c.id == sa.bindparam("key"))
_NUMBERS = sa.select(tables.contact_numbers).order_by(
    tables.contact_numbers.c.contact_id, tables.contact_numbers.c.position
)
_NUMBERS_OF_ONE = _NUMBERS.where(tables.contact_numbers.c.contact_id == sa.bindparam("contact"))
_SITES = sa.select(tables.sites).where(tables.sites.c.contact_id == sa.bindparam("contact")).order_by(tables.sites.c.id)
_SITES_IN_USE = _SITES.where(tables.sites.c.retired_at.is_(None))
_DEVICES = (
    sa.select(tables.devices)
    .where(tables.devices.c.contact_id == sa.bindparam("contact"))
    .order_by(tables.devices.c.serial)
    .limit(1000)
)
_DEVICES_IN_USE = _DEVICES.where(tables.devices.c.retired_at.is_(None))

#: Of those that a search finds, how many are read to put the best first.
_LOOKED_AT = 100
_PUNCTUATION = re.compile(r"[\s().\-/]")
_INSERT_TEXT = sa.insert(tables.contact_search)
_UPDATE_TEXT = (
    sa.update(tables.contact_search)
    .where(tables.contact_search.c.contact_id == sa.bindparam("key"))
    .values(text=sa.bindparam("text"))
)


class Contacts:
    """Contacts with their numbers, sites and devices."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, contact: Contact) -> None:
        """Keep a new contact and its numbers."""
        await rows.insert(self._connection, tables.contacts, contact)
        await self._write_numbers(contact)
        await self._connection.execute(
            _INSERT_TEXT, {"contact_id": contact.id, "text": search_text.encoded(_words(contact))}
        )

    async def lock(self, key: ContactId) -> None:
        """Nobody else who locks this contact gets past here until this unit of work ends."""
        table = tables.contacts
        await self._connection.execute(sa.select(table.c.id).where(table.c.id == key).with_for_update(key_share=True))

    async def update(self, contact: Contact) -> None:
        """Write the contact and its numbers over what was read. Raises Conflict."""
        await rows.update_checked(self._connection, tables.contacts, contact)
        await self._connection.execute(
            sa.delete(tables.contact_numbers).where(tables.contact_numbers.c.contact_id == contact.id)
        )
        await self._write_numbers(contact)
        await self._index(contact)

    async def find(self, key: ContactId) -> Contact | None:
        found = await self._contacts(_BY_ID, {"key": key})
        return found[0] if found else None

    async def get(self, key: ContactId) -> Contact:
        """Raises NotFound."""
        contact = await self.find(key)
        if contact is None:
            raise NotFound(f"there is no contact {key}")
        return contact

    async def by_number(self, number: str) -> list[Contact]:
        """Every contact that has this very number, the one changed last first."""
        return await self._contacts(_BY_NUMBER, {"number_": number})

    async def search(self, words: str, limit: int = 20) -> list[Contact]:
        """Contacts of whom something holds all ``words``: name, firm, a number, an address, a device.

        Those whose name or number is meant come first, then those that were added last. Of very many, only the
        last hundred are looked at. What says too little (see ``model.search_text``) finds nobody.
        """
        pieces = search_text.wanted(words)
        if not pieces:
            return []
        search = tables.contact_search
        if self._connection.dialect.name == "sqlite":
            windows = sa.table("contact_windows", sa.column("rowid"))
            statement = (
                sa.select(search.c.contact_id)
                .join(windows, windows.c.rowid == search.c.n)
                .where(sa.text("contact_windows MATCH :pieces"))
                .order_by(windows.c.rowid.desc())
                .params(pieces=" ".join(f'"{_tail(piece)}"' for piece in pieces))
            )
            for piece in pieces:
                if _tail(piece) != piece:
                    statement = statement.where(sa.func.instr(search.c.text, piece) > 0)
        else:
            statement = sa.select(search.c.contact_id).order_by(search.c.n.desc())
            for piece in pieces:
                in_piece = sa.func.ctiserver_windows(piece, type_=ARRAY(sa.Text))
                statement = statement.where(
                    sa.func.ctiserver_windows(search.c.text, type_=ARRAY(sa.Text)).contains(in_piece),
                    sa.func.strpos(search.c.text, piece) > 0,
                )
        keys = (await self._connection.execute(statement.limit(_LOOKED_AT))).scalars().all()
        found = {
            contact.id: contact
            for contact in await self._contacts(sa.select(tables.contacts).where(tables.contacts.c.id.in_(keys)))
        }
        return sorted((found[key] for key in keys), key=lambda contact: not _meant(contact, pieces))[:limit]

    async def add_site(self, site: Premises) -> None:
        await rows.insert(self._connection, tables.sites, site)
        await self._index(await self.get(site.contact_id))

    async def update_site(self, site: Premises) -> None:
        """Write a site over what was read. Raises Conflict."""
        await rows.update_checked(self._connection, tables.sites, site)
        await self._index(await self.get(site.contact_id))

    async def site(self, key: SiteId) -> Premises:
        """Raises NotFound."""
        return _must((await self._sites(tables.sites.c.id == key)), f"there is no site {key}")

    async def sites(self, contact: ContactId, *, retired: bool = False) -> list[Premises]:
        """Those in use; with ``retired`` also those that were."""
        found = await self._connection.execute(_SITES if retired else _SITES_IN_USE, {"contact": contact})
        return [rows.build(Premises, row) for row in found]

    async def add_device(self, device: Device) -> None:
        await rows.insert(self._connection, tables.devices, device)
        await self._index(await self.get(device.contact_id))

    async def update_device(self, device: Device) -> None:
        """Write a device over what was read. Raises Conflict."""
        await rows.update_checked(self._connection, tables.devices, device)
        await self._index(await self.get(device.contact_id))

    async def device(self, key: DeviceId) -> Device:
        """Raises NotFound."""
        return _must((await self._devices(tables.devices.c.id == key)), f"there is no device {key}")

    async def devices(self, contact: ContactId, *, retired: bool = False) -> list[Device]:
        """Those in use; with ``retired`` also those that were."""
        found = await self._connection.execute(_DEVICES if retired else _DEVICES_IN_USE, {"contact": contact})
        return [rows.build(Device, row) for row in found]

    async def devices_by_serial(self, ending: str, limit: int = 10) -> list[Device]:
        """Devices in use whose serial number ends so, whosever they are."""
        ends_so = tables.devices.c.serial.endswith(ending, autoescape=True)
        return await self._devices(ends_so & tables.devices.c.retired_at.is_(None), limit)

    async def _contacts(self, statement: sa.Select[Any], values: dict[str, str] | None = None) -> list[Contact]:
        found = (await self._connection.execute(statement, values)).all()
        if not found:
            return []
        numbers: dict[str, list[str]] = {row.id: [] for row in found}
        if len(found) == 1:
            rows_ = await self._connection.execute(_NUMBERS_OF_ONE, {"contact": found[0].id})
        else:
            rows_ = await self._connection.execute(_NUMBERS.where(tables.contact_numbers.c.contact_id.in_(numbers)))
        for row in rows_:
            numbers[row.contact_id].append(row.number)
        return [rows.build(Contact, row, numbers=tuple(numbers[row.id])) for row in found]

    async def _sites(self, condition: sa.ColumnElement[bool]) -> list[Premises]:
        found = await self._connection.execute(sa.select(tables.sites).where(condition).order_by(tables.sites.c.id))
        return [rows.build(Premises, row) for row in found]

    async def _devices(self, condition: sa.ColumnElement[bool], limit: int = 1000) -> list[Device]:
        found = await self._connection.execute(
            sa.select(tables.devices).where(condition).order_by(tables.devices.c.serial).limit(limit)
        )
        return [rows.build(Device, row) for row in found]

    async def _write_numbers(self, contact: Contact) -> None:
        numbers = list(dict.fromkeys(contact.numbers))
        if numbers:
            await self._connection.execute(
                sa.insert(tables.contact_numbers),
                [{"contact_id": contact.id, "number": n, "position": i} for i, n in enumerate(numbers)],
            )

    async def _index(self, contact: Contact) -> None:
        """Write down again by what the contact is found."""
        words = _words(contact)
        for site in await self.sites(contact.id):
            words += (site.name, site.address, site.local_person, _PUNCTUATION.sub("", site.local_number))
        for device in await self.devices(contact.id):
            words += (device.serial, device.model)
        await self._connection.execute(_UPDATE_TEXT, {"key": contact.id, "text": search_text.encoded(words)})


def _words(contact: Contact) -> list[str]:
    return [contact.name, contact.organisation, *contact.numbers]


def _tail(piece: str) -> str:
    """Of a long number its end: all of a country's numbers begin alike, and an index reads all that it is asked for."""
    return piece[-8:] if piece.isdecimal() else piece


def _meant(contact: Contact, pieces: tuple[str, ...]) -> bool:
    """Is it the beginning of the name, or a whole number or its end, that was looked for?"""
    name = search_text.encoded((contact.name,))
    return all(
        name.startswith((piece, f" {piece}", f" _{piece}")) or any(number.endswith(piece) for number in contact.numbers)
        for piece in pieces
    )


def _must(found: list[T], message: str) -> T:
    if not found:
        raise NotFound(message)
    return found[0]
