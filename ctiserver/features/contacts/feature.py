"""Builds contacts: people and firms with their numbers."""

from __future__ import annotations

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.contacts.http import ContactsHttp
from ctiserver.features.contacts.service import Contacts

__all__ = ["Contacts", "build"]


def build(context: FeatureContext) -> Contribution[Contacts]:
    """Contacts, found by number or name."""
    contacts = Contacts(context.database, context.clock, region=context.settings.region)
    http = ContactsHttp(context.database, contacts)
    return Contribution(service=contacts, routes=http.routes(), rules=http.rules())
