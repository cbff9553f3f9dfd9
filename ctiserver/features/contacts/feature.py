"""Builds contacts: people and firms with their numbers."""

from __future__ import annotations

from dataclasses import dataclass

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.contacts.http import ContactsHttp
from ctiserver.features.contacts.lookups import ContactCard, ContactLookups
from ctiserver.features.contacts.service import Contacts

__all__ = ["ContactCard", "ContactLookups", "Contacts", "ContactsContribution", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsContribution(Contribution[Contacts]):
    """Contacts, and what menus ask of them."""

    lookups: ContactLookups


def build(context: FeatureContext) -> ContactsContribution:
    """Contacts, found by number or name."""
    contacts = Contacts(context.database, context.clock, region=context.settings.region)
    http = ContactsHttp(context.database, contacts)
    lookups = ContactLookups(context.database, contacts)
    return ContactsContribution(service=contacts, lookups=lookups, routes=http.routes(), rules=http.rules())
