"""``/api/v1/records``: show, write down, dispose; and the words a site has for it."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from ctiserver.features.records.answers import (
    DispositionAnswer,
    DispositionsAnswer,
    OpenedAnswer,
    RecordAnswer,
    RecordOrderAnswer,
    RecordsAnswer,
    RecordTypeAnswer,
    RecordTypesAnswer,
    WholeRecordAnswer,
)
from ctiserver.features.records.reports import Report, Reports
from ctiserver.features.records.service import WRITABLE, Change, MissingFields, Records, WrongFields
from ctiserver.model.ids import AgentId, CallId, ContactId, RecordId
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.web.access import DESK, EVERYBODY, MACHINES, Intent, Person, person_of
from ctiserver.web.problems import Invalid, NotFound
from ctiserver.web.routes import Body, Route, json_answer, read_body

NOTES_MAX = 20_000
_PAGE = 50
#: A report with the key of an earlier one is that report once more.
IDEMPOTENCY_KEY = "Idempotency-Key"
_KEY_MAX = 128


class ChangeBody(Body):
    """A value as it was seen, and as it shall be."""

    was: Annotated[str, Field(max_length=NOTES_MAX)]
    now: Annotated[str, Field(max_length=NOTES_MAX)]

    def change(self) -> Change:
        return Change(self.was, self.now)


class WriteBody(Body):
    """PATCH /api/v1/records/{record_id}"""

    notes: ChangeBody | None = None
    subject: ChangeBody | None = None
    payer: ChangeBody | None = None
    contact_id: ChangeBody | None = None
    complainant: ChangeBody | None = None
    complainant_number: ChangeBody | None = None
    fields: dict[str, ChangeBody] = {}  # noqa: RUF012 - pydantic copies defaults


class DisposeBody(Body):
    """POST /api/v1/records/{record_id}/disposition"""

    code: Annotated[str, Field(min_length=1, max_length=40)]


class UrgeBody(Body):
    """POST /api/v1/records/{record_id}/calls: this call is about that record, and urges it on."""

    call_id: CallId


class OpenBody(Body):
    """POST /api/v1/records"""

    type: Annotated[str, Field(min_length=1, max_length=40)]
    call_id: CallId | None = None
    contact_id: ContactId | None = None
    caller_number: Annotated[str, Field(max_length=64)] = ""
    caller_name: Annotated[str, Field(max_length=200)] = ""
    """For a number that nobody has yet; from other systems only, like all that follows."""
    subject: Annotated[str, Field(max_length=500)] = ""
    notes: Annotated[str, Field(max_length=NOTES_MAX)] = ""
    serial: Annotated[str, Field(max_length=64)] = ""
    """The device's serial number, whole."""
    fields: dict[str, Annotated[str, Field(max_length=NOTES_MAX)]] = {}  # noqa: RUF012
    start: bool = True
    """Start the type's process at once, if it has one."""


class RecordsHttp:
    """Routes over service records."""

    def __init__(self, database: Database, records: Records, reports: Reports, site: Site) -> None:
        self._database = database
        self._records = records
        self._reports = reports
        self._site = site

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/records",
                handler=self._list,
                roles=DESK,
                answer=RecordsAnswer,
                query={
                    "before": "the id of the last record of the page before",
                    "owner": "`me`: the open ones that one answers for",
                },
            ),
            Route(
                method="POST",
                path="/api/v1/records",
                handler=self._open,
                roles=DESK | MACHINES,
                body=OpenBody,
                answer=OpenedAnswer,
                status=(200, 201),
            ),
            Route(
                method="GET",
                path="/api/v1/records/{record_id}",
                handler=self._show,
                roles=EVERYBODY,
                answer=WholeRecordAnswer,
            ),
            Route(
                method="PATCH",
                path="/api/v1/records/{record_id}",
                handler=self._write,
                roles=DESK,
                body=WriteBody,
                answer=RecordAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/records/{record_id}/disposition",
                handler=self._dispose,
                roles=DESK,
                body=DisposeBody,
                answer=RecordAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/records/{record_id}/calls",
                handler=self._urge,
                roles=DESK,
                body=UrgeBody,
                answer=RecordAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/record-types",
                handler=self._types,
                roles=EVERYBODY,
                answer=RecordTypesAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/dispositions",
                handler=self._dispositions,
                roles=EVERYBODY,
                answer=DispositionsAnswer,
            ),
        ]

    async def may_reach(self, person: Person, record_id: str, intent: Intent) -> bool:
        """The desk sees every record, since anybody may get a repeat call; the field sees those it has an order for."""
        async with self._database.reading() as uow:
            if await uow.records.find(RecordId(record_id)) is None:
                return False
            if person.role in DESK or (person.role == "dispatcher" and intent == "read"):
                return True
            if intent == "write":
                return False
            orders = await uow.work_orders.of_record(RecordId(record_id))
        return any(
            order.assignee == person.user_id or (order.assignee is None and order.role == person.role and order.is_open)
            for order in orders
        )

    async def _list(self, request: web.Request) -> web.Response:
        person = person_of(request)
        async with self._database.reading() as uow:
            if request.query.get("owner") == "me":
                found = await uow.records.open_of_owner(person.agent_id) if person.agent_id else []
                following = None  # all of them: nobody answers for so many that they would need pages
            else:
                before = request.query.get("before")
                found = await uow.records.recent(_PAGE, before=None if before is None else RecordId(before))
                following = found[-1].id if len(found) == _PAGE else None
        return json_answer(RecordsAnswer(records=[RecordAnswer.of(record) for record in found], before=following))

    async def _open(self, request: web.Request) -> web.Response:
        body = await read_body(request, OpenBody)
        person = person_of(request)
        if person.role in MACHINES:
            return await self._report(request, person, body)
        if body.call_id is not None:
            await self._check_call(person, body.call_id)
        opened = await self._records.open(
            body.type,
            actor=person.actor,
            call_id=body.call_id,
            contact_id=body.contact_id,
            caller_number=body.caller_number,
            owner=person.agent_id,
        )
        return json_answer(OpenedAnswer.of(opened.record, new=opened.new), status=201 if opened.new else 200)

    async def _report(self, request: web.Request, person: Person, body: OpenBody) -> web.Response:
        key = request.headers.get(IDEMPOTENCY_KEY, "")
        if not 1 <= len(key) <= _KEY_MAX:
            raise Invalid(f"send a header {IDEMPOTENCY_KEY} of 1 to {_KEY_MAX} characters, a new one for each report")
        opened = await self._reports.report(
            person,
            key,
            Report(
                type=body.type,
                subject=body.subject,
                notes=body.notes,
                number=body.caller_number,
                name=body.caller_name,
                serial=body.serial,
                fields=body.fields,
                start=body.start,
            ),
        )
        return json_answer(OpenedAnswer.of(opened.record, new=opened.new), status=201 if opened.new else 200)

    async def _check_call(self, person: Person, call_id: CallId) -> None:
        """A record is opened for a call that popped here; a supervisor may do so for any call."""
        async with self._database.reading() as uow:
            if person.role == "agent":
                known = any(pop.agent_id == person.agent_id for pop in await uow.pops.of_call(call_id))
            else:
                known = await uow.calls.find(call_id) is not None
        if not known:
            raise NotFound("call not found, or not yours")

    async def _show(self, request: web.Request) -> web.Response:
        return json_answer(await self._whole(RecordId(request.match_info["record_id"])))

    async def _write(self, request: web.Request) -> web.Response:
        body = await read_body(request, WriteBody)
        person = person_of(request)
        try:
            record = await self._records.write(
                RecordId(request.match_info["record_id"]),
                {name: value.change() for name in WRITABLE if (value := getattr(body, name)) is not None},
                {name: value.change() for name, value in body.fields.items()},
                actor=person.actor,
                peer=person.peer,
            )
        except WrongFields as wrong:
            raise Invalid(str(wrong), wrong.faults) from None
        return json_answer(RecordAnswer.of(record))

    async def _dispose(self, request: web.Request) -> web.Response:
        body = await read_body(request, DisposeBody)
        try:
            record = await self._records.dispose(
                RecordId(request.match_info["record_id"]), body.code, actor=person_of(request).actor
            )
        except MissingFields as missing:
            raise Invalid(str(missing), dict.fromkeys(missing.names, "required")) from None
        return json_answer(RecordAnswer.of(record))

    async def _urge(self, request: web.Request) -> web.Response:
        body, person = await read_body(request, UrgeBody), person_of(request)
        await self._check_call(person, body.call_id)
        record_id = RecordId(request.match_info["record_id"])
        return json_answer(RecordAnswer.of(await self._records.urge(record_id, body.call_id, actor=person.actor)))

    async def _types(self, request: web.Request) -> web.Response:
        types = self._site.record_types.items()
        return json_answer(RecordTypesAnswer(record_types=[RecordTypeAnswer.of_type(*named) for named in types]))

    async def _dispositions(self, request: web.Request) -> web.Response:
        codes = self._site.dispositions.items()
        return json_answer(DispositionsAnswer(dispositions=[DispositionAnswer.of(it, code=code) for code, it in codes]))

    async def _whole(self, record_id: RecordId) -> WholeRecordAnswer:
        async with self._database.reading() as uow:
            record = await uow.records.get(record_id)
            contact = None if record.contact_id is None else await uow.contacts.find(record.contact_id)
            orders = await uow.work_orders.of_record(record_id)
            timeline = await uow.records.timeline(record_id)
            calls = await uow.records.calls(record_id)
            owner = None if record.owner is None else await uow.agents.find(AgentId(record.owner))
        return WholeRecordAnswer.of(
            record,
            owner_name=None if owner is None else owner.name,
            contact=contact,
            calls=calls,
            work_orders=[RecordOrderAnswer.of_order(order) for order in orders],
            timeline=timeline,
        )
