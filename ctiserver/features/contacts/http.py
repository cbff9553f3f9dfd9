"""``/api/v1/contacts``: search, show, say who it is."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from ctiserver.features.contacts.answers import ContactAnswer, ContactsAnswer, WholeContactAnswer
from ctiserver.features.contacts.service import Contacts
from ctiserver.model.contact import Contact, Device, Site
from ctiserver.model.ids import ContactId
from ctiserver.model.json_value import JsonObject
from ctiserver.store.database import Database
from ctiserver.web.access import DESK, Intent, Person
from ctiserver.web.routes import Body, Route, json_answer, read_body


class ContactChange(Body):
    """PATCH /api/v1/contacts/{contact_id}"""

    name: Annotated[str, Field(max_length=200)]
    organisation: Annotated[str, Field(max_length=200)] = ""
    email: Annotated[str, Field(max_length=320, pattern=r"^([^@\s]+@[^@\s]+)?$")] | None = None
    """Left out: it stays as it is."""
    note: Annotated[str, Field(max_length=10_000)] = ""
    revision: int


class ContactsHttp:
    """Routes over contacts."""

    def __init__(self, database: Database, contacts: Contacts) -> None:
        self._database = database
        self._contacts = contacts

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/contacts",
                handler=self._search,
                roles=DESK,
                answer=ContactsAnswer,
                query={"q": "any part of a name, a firm, a number, an address or a serial number"},
            ),
            Route(
                method="GET",
                path="/api/v1/contacts/{contact_id}",
                handler=self._show,
                roles=DESK,
                answer=WholeContactAnswer,
            ),
            Route(
                method="PATCH",
                path="/api/v1/contacts/{contact_id}",
                handler=self._rename,
                roles=DESK,
                body=ContactChange,
                answer=ContactAnswer,
            ),
        ]

    async def may_reach(self, person: Person, contact_id: str, intent: Intent) -> bool:
        """Whoever sits at the desk may look up and mend any contact: it is their work to know who calls."""
        if person.role not in DESK:
            return False
        async with self._database.reading() as uow:
            return await uow.contacts.find(ContactId(contact_id)) is not None

    async def _search(self, request: web.Request) -> web.Response:
        found = await self._contacts.search(request.query.get("q", ""))
        return json_answer({"contacts": [contact_json(contact) for contact in found]})

    async def _show(self, request: web.Request) -> web.Response:
        contact, sites, devices = await self._contacts.show(ContactId(request.match_info["contact_id"]))
        return json_answer(
            {
                **contact_json(contact),
                "sites": [_site(site) for site in sites],
                "devices": [_device(device) for device in devices],
            }
        )

    async def _rename(self, request: web.Request) -> web.Response:
        body = await read_body(request, ContactChange)
        contact = await self._contacts.rename(
            ContactId(request.match_info["contact_id"]),
            body.revision,
            name=body.name,
            organisation=body.organisation,
            email=body.email,
            note=body.note,
        )
        return json_answer(contact_json(contact))


def contact_json(contact: Contact) -> JsonObject:
    """A contact as the API writes it."""
    return {
        "id": contact.id,
        "name": contact.name,
        "organisation": contact.organisation,
        "email": contact.email,
        "language": contact.language,
        "tier": contact.tier,
        "do_not_call": contact.do_not_call,
        "note": contact.note,
        "numbers": list(contact.numbers),
        "revision": contact.revision,
    }


def _site(site: Site) -> JsonObject:
    return {"id": site.id, "name": site.name, "address": site.address, "region": site.region}


def _device(device: Device) -> JsonObject:
    return {
        "id": device.id,
        "serial": device.serial,
        "model": device.model,
        "warranty_until": None if device.warranty_until is None else device.warranty_until.isoformat(),
    }
