"""``/api/v1/contacts``: search, show, say who it is, and which places and devices are theirs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import Field, StringConstraints

from ctiserver.features.contacts.answers import (
    ContactAnswer,
    ContactsAnswer,
    DeviceAnswer,
    SiteAnswer,
    WholeContactAnswer,
)
from ctiserver.features.contacts.service import Contacts, DeviceWords, SiteWords
from ctiserver.model.ids import ContactId, DeviceId, SiteId
from ctiserver.store.database import Database
from ctiserver.store.faults import NotFound
from ctiserver.web.access import DESK, Intent, Person, Rule
from ctiserver.web.inputs import Day, EmailAddress, Revision
from ctiserver.web.routes import Body, Route, json_answer, read_body


class ContactChange(Body):
    """PATCH /api/v1/contacts/{contact_id}"""

    name: Annotated[str, Field(max_length=200)]
    organisation: Annotated[str, Field(max_length=200)] = ""
    email: EmailAddress | None = None
    """Left out: it stays as it is."""
    note: Annotated[str, Field(max_length=10_000)] = ""
    revision: Revision


Key = TypeVar("Key")
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]
Named = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)]


class SiteBody(Body):
    """POST /api/v1/contacts/{contact_id}/sites"""

    name: Named
    address: Text = ""
    region: Word = ""
    local_person: Text = ""
    local_number: Word = ""

    def words(self) -> SiteWords:
        return SiteWords(
            name=self.name,
            address=self.address,
            region=self.region,
            local_person=self.local_person,
            local_number=self.local_number,
        )


class SiteChange(SiteBody):
    """PUT /api/v1/sites/{site_id}: all of it, as it shall be."""

    retired: bool = False
    revision: Revision


class DeviceBody(Body):
    """POST /api/v1/contacts/{contact_id}/devices"""

    serial: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
    model: Text = ""
    site_id: Annotated[str, Field(pattern=r"^[0-9A-Z]{26}$")] | None = None
    bought_on: Day | None = None
    warranty_until: Day | None = None
    contract: Text = ""

    def words(self) -> DeviceWords:
        return DeviceWords(
            serial=self.serial,
            model=self.model,
            site_id=None if self.site_id is None else SiteId(self.site_id),
            bought_on=self.bought_on,
            warranty_until=self.warranty_until,
            contract=self.contract,
        )


class DeviceChange(DeviceBody):
    """PUT /api/v1/devices/{device_id}: all of it, as it shall be."""

    retired: bool = False
    revision: Revision


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
            Route(
                method="POST",
                path="/api/v1/contacts/{contact_id}/sites",
                handler=self._add_site,
                roles=DESK,
                body=SiteBody,
                answer=SiteAnswer,
                status=(201,),
            ),
            Route(
                method="PUT",
                path="/api/v1/sites/{site_id}",
                handler=self._change_site,
                roles=DESK,
                body=SiteChange,
                answer=SiteAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/contacts/{contact_id}/devices",
                handler=self._add_device,
                roles=DESK,
                body=DeviceBody,
                answer=DeviceAnswer,
                status=(201,),
            ),
            Route(
                method="PUT",
                path="/api/v1/devices/{device_id}",
                handler=self._change_device,
                roles=DESK,
                body=DeviceChange,
                answer=DeviceAnswer,
            ),
        ]

    def rules(self) -> dict[str, Rule]:
        """Who may reach what the routes' parameters name."""
        return {
            "contact_id": self.may_reach,
            "site_id": self.may_reach_site,
            "device_id": self.may_reach_device,
        }

    async def may_reach(self, person: Person, contact_id: str, intent: Intent) -> bool:
        """Anyone who sits at the desk may look up and mend any contact: it is their work to know who calls."""
        if person.role not in DESK:
            return False
        async with self._database.reading() as uow:
            return await uow.contacts.find(ContactId(contact_id)) is not None

    async def may_reach_site(self, person: Person, site_id: str, intent: Intent) -> bool:
        """As its contact."""
        async with self._database.reading() as uow:
            return person.role in DESK and await _is_there(uow.contacts.site, SiteId(site_id))

    async def may_reach_device(self, person: Person, device_id: str, intent: Intent) -> bool:
        """As its contact."""
        async with self._database.reading() as uow:
            return person.role in DESK and await _is_there(uow.contacts.device, DeviceId(device_id))

    async def _add_site(self, request: web.Request) -> web.Response:
        body = await read_body(request, SiteBody)
        site = await self._contacts.add_site(ContactId(request.match_info["contact_id"]), body.words())
        return json_answer(SiteAnswer.of_site(site), status=201)

    async def _change_site(self, request: web.Request) -> web.Response:
        body = await read_body(request, SiteChange)
        key = SiteId(request.match_info["site_id"])
        site = await self._contacts.change_site(key, body.revision, body.words(), retired=body.retired)
        return json_answer(SiteAnswer.of_site(site))

    async def _add_device(self, request: web.Request) -> web.Response:
        body = await read_body(request, DeviceBody)
        device = await self._contacts.add_device(ContactId(request.match_info["contact_id"]), body.words())
        return json_answer(DeviceAnswer.of_device(device), status=201)

    async def _change_device(self, request: web.Request) -> web.Response:
        body = await read_body(request, DeviceChange)
        key = DeviceId(request.match_info["device_id"])
        device = await self._contacts.change_device(key, body.revision, body.words(), retired=body.retired)
        return json_answer(DeviceAnswer.of_device(device))

    async def _search(self, request: web.Request) -> web.Response:
        found = await self._contacts.search(request.query.get("q", ""))
        return json_answer(ContactsAnswer(contacts=[ContactAnswer.of(contact) for contact in found]))

    async def _show(self, request: web.Request) -> web.Response:
        contact, sites, devices = await self._contacts.show(ContactId(request.match_info["contact_id"]))
        return json_answer(
            WholeContactAnswer.of(
                contact,
                sites=[SiteAnswer.of_site(site) for site in sites],
                devices=[DeviceAnswer.of_device(device) for device in devices],
            )
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
        return json_answer(ContactAnswer.of(contact))


async def _is_there(get: Callable[[Key], Awaitable[object]], key: Key) -> bool:
    try:
        await get(key)
    except NotFound:
        return False
    return True
