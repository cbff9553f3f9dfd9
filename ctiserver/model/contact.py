"""Contacts (a person or firm that we know), their sites and their devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from ctiserver.model.ids import ContactId, DeviceId, SiteId


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A person or firm that we know. It has many numbers, and a number may have many contacts."""

    id: ContactId
    name: str
    organisation: str = ""
    email: str = ""
    language: str = ""  #: BCP 47, empty when not known
    tier: str = ""  #: the site's own word, such as ``gold``
    do_not_call: bool = False
    note: str = ""
    created_at: datetime
    updated_at: datetime
    revision: int = 1
    numbers: tuple[str, ...] = ()  #: E.164, or as dialled where that can't be told; in the order they were added


def only(contacts: Sequence[Contact]) -> Contact | None:
    """The one contact that matches. Several share the number: None, a person has to choose."""
    return contacts[0] if len(contacts) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """A place of a contact where work is done."""

    id: SiteId
    contact_id: ContactId
    name: str
    address: str = ""
    region: str = ""
    local_person: str = ""
    local_number: str = ""
    retired_at: datetime | None = None  #: not in use any more; what names it stays
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A thing that is serviced."""

    id: DeviceId
    contact_id: ContactId
    site_id: SiteId | None = None
    serial: str
    model: str = ""
    bought_on: date | None = None
    warranty_until: date | None = None  #: the last day of it
    contract: str = ""
    retired_at: datetime | None = None  #: not in use any more; what names it stays
    revision: int = 1
