"""What the routes of contacts answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from datetime import date

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
    id: str
    name: str
    address: str
    region: str


class DeviceAnswer(Answer):
    id: str
    serial: str
    model: str
    warranty_until: date | None


class WholeContactAnswer(ContactAnswer):
    """A contact with their sites and devices."""

    sites: list[SiteAnswer]
    devices: list[DeviceAnswer]
