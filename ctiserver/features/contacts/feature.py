"""Builds contacts: people and firms with their numbers."""

from __future__ import annotations

from dataclasses import dataclass

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.contacts.dialling import FlowDialling
from ctiserver.features.contacts.http import ContactsHttp
from ctiserver.features.contacts.lookups import ContactCard, ContactLookups
from ctiserver.features.contacts.service import Contacts

__all__ = ["ContactCard", "ContactLookups", "Contacts", "ContactsContribution", "FlowDialling", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsContribution(Contribution[Contacts]):
    """Contacts, and what menus ask of them."""

    lookups: ContactLookups
    dialling: FlowDialling


def build(context: FeatureContext) -> ContactsContribution:
    """Contacts, found by number or name."""
    region = context.settings.region
    contacts = Contacts(context.database, context.clock, region=region)
    http = ContactsHttp(context.database, contacts)
    lookups = ContactLookups(context.database, contacts)
    return ContactsContribution(
        service=contacts,
        lookups=lookups,
        dialling=FlowDialling(contacts, context.site, region=region),
        routes=http.routes(),
        rules=http.rules(),
    )
