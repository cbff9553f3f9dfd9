"""What the routes of contacts answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from datetime import date
from typing import Self

from ctiserver.model.contact import Device, Premises
from ctiserver.web.routes import Answer


class ContactAnswer(Answer):
    """A person or firm that we know."""

    id: str
    name: str
    organisation: str
    email: str
    language: str
    tier: str
    do_not_call: bool
    note: str
    numbers: list[str]
    revision: int


class ContactsAnswer(Answer):
    """What was found: as many as fit on a screen, the best first."""

    contacts: list[ContactAnswer]


class SiteAnswer(Answer):
    """A place of a contact."""

    id: str
    name: str
    address: str
    region: str
    local_person: str
    local_number: str
    retired: bool
    """Not in use any more: neither shown on the desk nor found."""
    revision: int

    @classmethod
    def of_site(cls, site: Premises) -> Self:
        """A place."""
        return cls.of(site, retired=site.retired_at is not None)


class DeviceAnswer(Answer):
    """A thing that is serviced."""

    id: str
    site_id: str | None
    serial: str
    model: str
    bought_on: date | None
    warranty_until: date | None
    """The last day of it."""
    contract: str
    retired: bool
    """Not in use any more: neither shown on the desk, nor found, nor followed by care rules."""
    revision: int

    @classmethod
    def of_device(cls, device: Device) -> Self:
        """A device."""
        return cls.of(device, retired=device.retired_at is not None)


class WholeContactAnswer(ContactAnswer):
    """A contact with their sites and devices, the retired ones last."""

    sites: list[SiteAnswer]
    devices: list[DeviceAnswer]
