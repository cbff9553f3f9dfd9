"""Contacts with their numbers, sites and devices."""

from __future__ import annotations

from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.contact import Contact, Device, Site
from ctiserver.model.ids import ContactId, DeviceId, SiteId
from ctiserver.store import rows, tables
from ctiserver.store.faults import NotFound

T = TypeVar("T")


class Contacts:
    """Contacts with their numbers, sites and devices."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, contact: Contact) -> None:
        """Keep a new contact and its numbers."""
        await rows.insert(self._connection, tables.contacts, contact)
        await self._write_numbers(contact)

    async def update(self, contact: Contact) -> None:
        """Write the contact and its numbers over what was read. Raises Conflict."""
        await rows.update_checked(self._connection, tables.contacts, contact)
        await self._connection.execute(
            sa.delete(tables.contact_numbers).where(tables.contact_numbers.c.contact_id == contact.id)
        )
        await self._write_numbers(contact)

    async def find(self, key: ContactId) -> Contact | None:
        found = await self._contacts(sa.select(tables.contacts).where(tables.contacts.c.id == key))
        return found[0] if found else None

    async def get(self, key: ContactId) -> Contact:
        """Raises NotFound."""
        contact = await self.find(key)
        if contact is None:
            raise NotFound(f"there is no contact {key}")
        return contact

    async def by_number(self, number: str) -> list[Contact]:
        """Every contact that has this very number, the one changed last first."""
        numbers = tables.contact_numbers
        return await self._contacts(
            sa.select(tables.contacts)
            .join(numbers, numbers.c.contact_id == tables.contacts.c.id)
            .where(numbers.c.number == number)
            .order_by(tables.contacts.c.updated_at.desc(), tables.contacts.c.id)
        )

    async def search(self, words: str, limit: int = 20) -> list[Contact]:
        """Contacts whose name, organisation or a number holds ``words``, by name."""
        like = f"%{words.replace('/', '//').replace('%', '/%').replace('_', '/_')}%"
        with_number = sa.select(tables.contact_numbers.c.contact_id).where(
            tables.contact_numbers.c.number.like(like, escape="/")
        )
        return await self._contacts(
            sa.select(tables.contacts)
            .where(
                tables.contacts.c.name.ilike(like, escape="/")
                | tables.contacts.c.organisation.ilike(like, escape="/")
                | tables.contacts.c.id.in_(with_number)
            )
            .order_by(tables.contacts.c.name, tables.contacts.c.id)
            .limit(limit)
        )

    async def add_site(self, site: Site) -> None:
        await rows.insert(self._connection, tables.sites, site)

    async def site(self, key: SiteId) -> Site:
        """Raises NotFound."""
        return _must((await self._sites(tables.sites.c.id == key)), f"there is no site {key}")

    async def sites(self, contact: ContactId) -> list[Site]:
        return await self._sites(tables.sites.c.contact_id == contact)

    async def add_device(self, device: Device) -> None:
        await rows.insert(self._connection, tables.devices, device)

    async def device(self, key: DeviceId) -> Device:
        """Raises NotFound."""
        return _must((await self._devices(tables.devices.c.id == key)), f"there is no device {key}")

    async def devices(self, contact: ContactId) -> list[Device]:
        return await self._devices(tables.devices.c.contact_id == contact)

    async def devices_by_serial(self, ending: str, limit: int = 10) -> list[Device]:
        """Devices whose serial number ends so, whosever they are."""
        return await self._devices(tables.devices.c.serial.endswith(ending, autoescape=True), limit)

    async def _contacts(self, statement: sa.Select[Any]) -> list[Contact]:
        found = (await self._connection.execute(statement)).all()
        numbers: dict[str, list[str]] = {row.id: [] for row in found}
        table = tables.contact_numbers
        for row in await self._connection.execute(
            sa.select(table).where(table.c.contact_id.in_(numbers)).order_by(table.c.contact_id, table.c.position)
        ):
            numbers[row.contact_id].append(row.number)
        return [rows.build(Contact, row, numbers=tuple(numbers[row.id])) for row in found]

    async def _sites(self, condition: sa.ColumnElement[bool]) -> list[Site]:
        found = await self._connection.execute(sa.select(tables.sites).where(condition).order_by(tables.sites.c.id))
        return [rows.build(Site, row) for row in found]

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


def _must(found: list[T], message: str) -> T:
    if not found:
        raise NotFound(message)
    return found[0]
