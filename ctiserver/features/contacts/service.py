"""Use cases of contacts: find who calls, make one for a number that nobody has."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime

from ctiserver.clock import Clock
from ctiserver.model import numbers
from ctiserver.model.contact import Contact, Device, Premises
from ctiserver.model.ids import ContactId, DeviceId, SiteId, new_ulid
from ctiserver.store.database import Database
from ctiserver.store.unit_of_work import UnitOfWork
from ctiserver.web.problems import Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteWords:
    """What somebody at the desk says of a place."""

    name: str
    address: str
    region: str
    local_person: str
    local_number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWords:
    """What somebody at the desk says of a device."""

    serial: str
    model: str
    site_id: SiteId | None
    bought_on: date | None
    warranty_until: date | None
    contract: str


class Contacts:
    """Whose number is it?"""

    def __init__(self, database: Database, clock: Clock, *, region: str, switchboards: Collection[str] = ()) -> None:
        """``region``: ISO 3166, how national numbers are read. ``switchboards``: numbers that many people call from,
        which therefore tell nothing of who it is."""
        self._database = database
        self._clock = clock
        self._region = region
        self._switchboards = {numbers.normal(number, region) for number in switchboards}

    def key(self, ani: str) -> str | None:
        """The number by which contacts are found; None where a caller ID tells nobody: withheld, or a switchboard."""
        number = numbers.normal(ani, self._region)
        return None if number in self._switchboards else number

    async def unwanted(self, number: str) -> bool:
        """Whether somebody who has this number does not want to be called. Raises StoreUnavailable."""
        async with self._database.reading() as uow:
            return any(contact.do_not_call for contact in await uow.contacts.by_number(number))

    async def find(self, ani: str) -> list[Contact]:
        """Everybody who has this number, the one changed last first. A withheld number is nobody's."""
        number = self.key(ani)
        if number is None:
            return []
        async with self._database.reading() as uow:
            return await uow.contacts.by_number(number)

    async def find_or_create(self, ani: str, name: str = "") -> list[Contact]:
        """Like :meth:`find`; for a number that nobody has there is a new contact afterwards, exactly one.

        Still empty for a withheld number: it makes no contact.
        """
        if self.key(ani) is None:
            return []
        async with self._database.unit_of_work() as uow:
            return await self.find_or_create_within(uow, ani, name)

    async def find_or_create_within(self, uow: UnitOfWork, ani: str, name: str = "") -> list[Contact]:
        """As :meth:`find_or_create`, but to commit with what else ``uow`` does."""
        number = self.key(ani)
        if number is None:
            return []
        found = await uow.contacts.by_number(number)
        if found:
            return found
        now = self._clock.now()
        contact = Contact(
            id=ContactId(new_ulid(now)), name=name.strip(), created_at=now, updated_at=now, numbers=(number,)
        )
        await uow.contacts.add(contact)
        return [contact]

    async def show(self, contact_id: ContactId) -> tuple[Contact, list[Premises], list[Device]]:
        """A contact with its sites and devices, the retired ones last. Raises NotFound."""
        async with self._database.reading() as uow:
            contact = await uow.contacts.get(contact_id)
            sites = await uow.contacts.sites(contact_id, retired=True)
            devices = await uow.contacts.devices(contact_id, retired=True)
        return contact, sorted(sites, key=_retired), sorted(devices, key=_retired)

    async def add_site(self, contact_id: ContactId, words: SiteWords) -> Premises:
        """A new place of a contact. Raises NotFound."""
        site = Premises(
            id=SiteId(new_ulid(self._clock.now())),
            contact_id=contact_id,
            **asdict(words),
        )
        async with self._database.unit_of_work() as uow:
            await uow.contacts.get(contact_id)
            await uow.contacts.add_site(site)
        return site

    async def change_site(self, site_id: SiteId, revision: int, words: SiteWords, *, retired: bool) -> Premises:
        """Write a place again, or say that it is not in use (any more). Raises NotFound, Conflict."""
        async with self._database.unit_of_work() as uow:
            site = await uow.contacts.site(site_id)
            await uow.contacts.update_site(
                replace(
                    site,
                    **asdict(words),
                    retired_at=self._retired_at(site, retired=retired),
                    revision=revision,
                )
            )
            return await uow.contacts.site(site_id)

    async def add_device(self, contact_id: ContactId, words: DeviceWords) -> Device:
        """A new device of a contact. Raises NotFound, Invalid for a site of somebody else."""
        device = Device(
            id=DeviceId(new_ulid(self._clock.now())),
            contact_id=contact_id,
            **asdict(words),
        )
        async with self._database.unit_of_work() as uow:
            await uow.contacts.get(contact_id)
            await _at_own_site(uow, device)
            await uow.contacts.add_device(device)
        return device

    async def change_device(self, device_id: DeviceId, revision: int, words: DeviceWords, *, retired: bool) -> Device:
        """Write a device again, or say that it is not in use (any more). Raises NotFound, Conflict, Invalid."""
        async with self._database.unit_of_work() as uow:
            device = await uow.contacts.device(device_id)
            changed = replace(
                device,
                **asdict(words),
                retired_at=self._retired_at(device, retired=retired),
                revision=revision,
            )
            await _at_own_site(uow, changed)
            await uow.contacts.update_device(changed)
            return await uow.contacts.device(device_id)

    def _retired_at(self, thing: Premises | Device, *, retired: bool) -> datetime | None:
        return (thing.retired_at or self._clock.now()) if retired else None

    async def search(self, words: str) -> list[Contact]:
        """Contacts by any part of name, firm, number, address or device; at most some twenty.

        What says too little finds nobody: a single letter or digit (one 汉字 is enough).
        """
        words = words.strip()
        async with self._database.reading() as uow:
            found = await uow.contacts.search(words)
            number = self.key(words)
            known = {contact.id for contact in found}
            by_number = await uow.contacts.by_number(number) if number is not None else []
        return [*(contact for contact in by_number if contact.id not in known), *found]

    async def rename(
        self,
        contact_id: ContactId,
        revision: int,
        *,
        name: str,
        organisation: str,
        note: str,
        email: str | None = None,
    ) -> Contact:
        """Say who it is; the e-mail address stays as it is without one. Raises NotFound, Conflict."""
        async with self._database.unit_of_work() as uow:
            contact = await uow.contacts.get(contact_id)
            changed = replace(
                contact,
                name=name.strip(),
                organisation=organisation.strip(),
                email=contact.email if email is None else email.strip(),
                note=note,
                updated_at=self._clock.now(),
                revision=revision,
            )
            await uow.contacts.update(changed)
            return await uow.contacts.get(contact_id)


def _retired(thing: Premises | Device) -> bool:
    return thing.retired_at is not None


async def _at_own_site(uow: UnitOfWork, device: Device) -> None:
    if device.site_id is None:
        return
    if device.site_id not in {site.id for site in await uow.contacts.sites(device.contact_id, retired=True)}:
        raise Invalid("this contact has no such site", {"site_id": "no site of this contact"})
