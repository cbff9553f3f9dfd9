"""``/api/v1/work-orders``: a person's inbox, and what they do with an order."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated

from aiohttp import web
from pydantic import Field

from ctiserver.features.dispatch.answers import TakenAnswer, WorkOrderAnswer, WorkOrdersAnswer
from ctiserver.features.dispatch.assigning import had_before
from ctiserver.features.dispatch.placing import Placing
from ctiserver.features.dispatch.service import Dispatch, HandedOn, NotChecked, NotYours, UnknownOutcome
from ctiserver.model.contact import Contact
from ctiserver.model.ids import RecordId, UserId, WorkOrderId
from ctiserver.model.json_value import Json, JsonObject, iso
from ctiserver.model.person import Role
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import IllegalAct, WorkOrder
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.unit_of_work import UnitOfWork
from ctiserver.web.access import DESK, EVERYBODY, SUPERVISORS, Intent, Person, person_of
from ctiserver.web.inputs import NearTime, Revision
from ctiserver.web.problems import Conflict, Invalid, NotFound
from ctiserver.web.routes import PAGED, Body, Route, json_answer, page_wanted, read_body

TEXT_MAX = 20_000
#: Those who give orders out and may look at, and act on, all of them.
DISPATCHERS: frozenset[Role] = frozenset[Role]({"dispatcher", "supervisor", "admin"})


class SomebodyElses(Conflict):
    """Somebody else was given it meanwhile; what was reported stands on its record's timeline."""

    code = "handed_on"


class ActBody(Body):
    """POST …/accept, …/set-out, …/start, …/resume: nothing more is to be said."""


class ReasonBody(Body):
    """POST …/decline, …/hold"""

    reason: Annotated[str, Field(max_length=TEXT_MAX)] = ""


class CompleteBody(Body):
    """POST …/complete"""

    outcome: Annotated[str, Field(min_length=1, max_length=40)]
    report: Annotated[str, Field(max_length=TEXT_MAX)] = ""
    values: Annotated[dict[str, str], Field(max_length=50)] = {}  # noqa: RUF012 - pydantic copies defaults
    """What else the order came to, such as ``labour`` or ``parts``; amounts are decimals as text."""
    checked: Annotated[list[str], Field(max_length=50)] = []  # noqa: RUF012
    """Names on the order's checklist that were ticked."""


class EventBody(Body):
    """POST /api/v1/records/{record_id}/events"""

    event: Annotated[str, Field(min_length=1, max_length=40)]  #: a name of the process's ``any_time``


class CallOffBody(Body):
    """POST /api/v1/records/{record_id}/call-off"""

    reason: Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]


class AssignBody(Body):
    """POST …/assign"""

    to: Annotated[str, Field(min_length=1, max_length=64)]  #: a log-in
    reason: Annotated[str, Field(max_length=TEXT_MAX)] = ""


class PlaceBody(Body):
    """POST …/place"""

    to: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """A log-in; nobody: the person who has it keeps it."""
    planned_at: NearTime | None = None
    """When it is to be begun; none: at the time it was planned for."""
    revision: Revision | None = None
    """The order's, as the asker saw it: with another one 409 is answered and nothing done."""
    reason: Annotated[str, Field(max_length=TEXT_MAX)] = ""


class DispatchHttp:
    """The routes of work orders."""

    def __init__(self, dispatch: Dispatch, placing: Placing, database: Database, site: Site) -> None:
        self._dispatch = dispatch
        self._placing = placing
        self._database = database
        self._site = site

    def routes(self) -> list[Route]:
        order, record = "/api/v1/work-orders/{order_id}", "/api/v1/records/{record_id}"
        return [
            Route(
                method="GET",
                path="/api/v1/work-orders",
                handler=self._list,
                roles=EVERYBODY,
                answer=WorkOrdersAnswer,
                query={"assignee": "`me`, the only value", "open": "`false`: those that are over too", **PAGED},
            ),
            Route(method="GET", path=order, handler=self._show, roles=EVERYBODY, answer=WorkOrderAnswer),
            Route(
                method="POST",
                path=f"{order}/accept",
                handler=self._accept,
                roles=EVERYBODY,
                body=ActBody,
                answer=WorkOrderAnswer,
                answers=True,
            ),
            Route(
                method="POST",
                path=f"{order}/set-out",
                handler=self._set_out,
                roles=EVERYBODY,
                body=ActBody,
                answer=WorkOrderAnswer,
                answers=True,
            ),
            Route(
                method="POST",
                path=f"{order}/start",
                handler=self._start,
                roles=EVERYBODY,
                body=ActBody,
                answer=WorkOrderAnswer,
                answers=True,
            ),
            Route(
                method="POST",
                path=f"{order}/decline",
                handler=self._decline,
                roles=EVERYBODY,
                body=ReasonBody,
                answer=WorkOrderAnswer,
                answers=True,
            ),
            Route(
                method="POST",
                path=f"{order}/hold",
                handler=self._hold,
                roles=EVERYBODY,
                body=ReasonBody,
                answer=WorkOrderAnswer,
                answers=True,
            ),
            Route(
                method="POST",
                path=f"{order}/resume",
                handler=self._resume,
                roles=EVERYBODY,
                body=ActBody,
                answer=WorkOrderAnswer,
                answers=True,
            ),
            Route(
                method="POST",
                path=f"{order}/complete",
                handler=self._complete,
                roles=EVERYBODY,
                body=CompleteBody,
                answer=WorkOrderAnswer,
                answers=True,
            ),
            Route(
                method="POST",
                path=f"{order}/assign",
                handler=self._assign,
                roles=DISPATCHERS,
                body=AssignBody,
                answer=WorkOrderAnswer,
            ),
            Route(
                method="POST",
                path=f"{order}/place",
                handler=self._place,
                roles=DISPATCHERS,
                body=PlaceBody,
                answer=WorkOrderAnswer,
            ),
            Route(
                method="POST",
                path=f"{record}/events",
                handler=self._report,
                roles=DESK,
                body=EventBody,
                answer=TakenAnswer,
                status=(202,),
            ),
            Route(
                method="POST",
                path=f"{record}/call-off",
                handler=self._call_off,
                roles=SUPERVISORS,
                body=CallOffBody,
                answer=TakenAnswer,
                status=(202,),
            ),
        ]

    async def may_reach(self, person: Person, order_id: str, intent: Intent) -> bool:
        """Whose order it is, those of its role while nobody has it, and those who give orders out; to say what became
        of it also the person it was taken from: they may have been there without a connection."""
        async with self._database.reading() as uow:
            order = await uow.work_orders.find(WorkOrderId(order_id))
        if order is None:
            return False
        if intent == "answer" and had_before(order, person.user_id):
            return True
        unclaimed = order.assignee is None and order.role == person.role
        return order.assignee == person.user_id or unclaimed or person.role in DISPATCHERS

    async def _list(self, request: web.Request) -> web.Response:
        if request.query.get("assignee", "me") != "me":
            raise Invalid("say assignee=me", {"assignee": "me"})
        after, limit = page_wanted(request)
        orders = await self._dispatch.inbox(
            person_of(request).user_id,
            open_only=request.query.get("open", "true") != "false",
            after=None if after is None else WorkOrderId(after),
            limit=limit + 1,
        )
        following = orders[limit - 1].id if len(orders) > limit else None
        return json_answer({"work_orders": await self._whole(orders[:limit]), "after": following})

    async def _show(self, request: web.Request) -> web.Response:
        async with self._database.reading() as uow:
            order = await uow.work_orders.get(_id(request))
        return json_answer((await self._whole([order]))[0])

    async def _accept(self, request: web.Request) -> web.Response:
        await read_body(request, ActBody)
        return await self._acted(self._dispatch.accept(_id(request), _me(request)))

    async def _set_out(self, request: web.Request) -> web.Response:
        await read_body(request, ActBody)
        return await self._acted(self._dispatch.set_out(_id(request), _me(request)))

    async def _start(self, request: web.Request) -> web.Response:
        await read_body(request, ActBody)
        return await self._acted(self._dispatch.start(_id(request), _me(request)))

    async def _resume(self, request: web.Request) -> web.Response:
        await read_body(request, ActBody)
        return await self._acted(self._dispatch.resume(_id(request), _me(request)))

    async def _decline(self, request: web.Request) -> web.Response:
        body = await read_body(request, ReasonBody)
        return await self._acted(self._dispatch.decline(_id(request), _me(request), body.reason))

    async def _hold(self, request: web.Request) -> web.Response:
        body = await read_body(request, ReasonBody)
        return await self._acted(self._dispatch.hold(_id(request), _me(request), body.reason))

    async def _complete(self, request: web.Request) -> web.Response:
        body = await read_body(request, CompleteBody)
        result: dict[str, Json] = {**body.values, "report": body.report}
        if body.checked:
            result["checked"] = list(body.checked)
        return await self._acted(self._dispatch.complete(_id(request), _me(request), body.outcome, result))

    async def _assign(self, request: web.Request) -> web.Response:
        body = await read_body(request, AssignBody)
        to = await account(self._database, body.to)
        return await self._acted(self._placing.place(_id(request), _me(request), to=to, reason=body.reason))

    async def _place(self, request: web.Request) -> web.Response:
        body = await read_body(request, PlaceBody)
        to = None if body.to is None else await account(self._database, body.to)
        return await self._acted(
            self._placing.place(
                _id(request),
                _me(request),
                to=to,
                planned_at=body.planned_at,
                revision=body.revision,
                reason=body.reason,
            )
        )

    async def _report(self, request: web.Request) -> web.Response:
        body = await read_body(request, EventBody)
        record_id = RecordId(request.match_info["record_id"])
        try:
            await self._dispatch.report(record_id, body.event, _me(request))
        except IllegalAct as error:
            raise Conflict(str(error)) from None
        return json_answer({}, status=202)

    async def _call_off(self, request: web.Request) -> web.Response:
        body = await read_body(request, CallOffBody)
        record_id = RecordId(request.match_info["record_id"])
        try:
            await self._dispatch.call_off(record_id, _me(request), body.reason)
        except IllegalAct as error:
            raise Conflict(str(error)) from None
        return json_answer({}, status=202)

    async def _acted(self, act: Awaitable[WorkOrder]) -> web.Response:
        try:
            order = await act
        except NotYours as error:
            raise NotFound(str(error)) from None
        except HandedOn as error:
            raise SomebodyElses(str(error)) from None
        except IllegalAct as error:
            raise Conflict(str(error)) from None
        except UnknownOutcome as error:
            raise Invalid(str(error), {"outcome": "unknown"}) from None
        except NotChecked as error:
            raise Invalid(str(error), {"checked": "missing"}) from None
        return json_answer((await self._whole([order]))[0])

    async def _whole(self, orders: list[WorkOrder]) -> list[JsonObject]:
        async with self._database.reading() as uow:
            photos = await uow.photos.of_orders([order.id for order in orders])
            return [
                {
                    **order_json(order),
                    "photos": [
                        {"id": photo.id, "added_at": iso(photo.added_at)}
                        for photo in photos
                        if photo.order_id == order.id
                    ],
                    "record": await self._record(uow, order),
                }
                for order in orders
            ]

    async def _record(self, uow: UnitOfWork, order: WorkOrder) -> JsonObject:
        """As much of the record as its doer needs."""
        record = await uow.records.get(order.record_id)
        contact = None if record.contact_id is None else await uow.contacts.find(record.contact_id)
        return {
            "id": record.id,
            "number": record.number,
            "subject": record.subject,
            "priority": record.priority,
            "repeat_calls": record.repeat_calls,
            "notes": record.notes,
            "caller_number": record.caller_number,
            "contact": None if contact is None else _contact(contact),
            "fields": self._fields(record),
        }

    def _fields(self, record: Record) -> list[Json]:
        known = self._site.record_types.get(record.type)
        titles = {} if known is None else {name: dict(field.title) for name, field in known.fields.items()}
        return [
            {"name": name, "title": titles.get(name, {}), "value": "" if value is None else str(value)}
            for name, value in record.fields.items()
        ]


async def account(database: Database, login: str, member: str = "to") -> UserId:
    """Who logs in so and works here. Raises Invalid, with the body's member that named them."""
    async with database.reading() as uow:
        user = await uow.users.by_login(login)
    if user is None or not user.active:
        raise Invalid(f"no account has the login {login}", {member: "unknown"})
    return user.id


def order_json(order: WorkOrder) -> dict[str, Json]:
    """An order as the API writes it."""
    return {
        "id": order.id,
        "number": order.number,
        "kind": order.kind,
        "step": order.step,
        "state": order.state,
        "outcome": order.outcome,
        "assignee": order.assignee,
        "role": order.role,
        "accept_by": iso(order.accept_by),
        "due_at": iso(order.due_at),
        "planned_at": iso(order.planned_at),
        "late": order.late,
        "outcomes": order.payload.get("outcomes", []),
        "considered": order.payload.get("considered", []),
        "assigned": order.payload.get("assigned"),
        "attempt": order.payload.get("attempt", 1),
        "call_back": _call_back(order),
        "checklist": order.payload.get("checklist", []),
        "result": dict(order.result),
        "created_at": iso(order.created_at),
        "revision": order.revision,
    }


def _call_back(order: WorkOrder) -> JsonObject | None:
    """Whom a callback is to call, and why."""
    if order.kind != "callback":
        return None
    return {name: str(order.payload.get(name) or "") for name in ("number", "reason", "queue", "call_id")}


def _contact(contact: Contact) -> JsonObject:
    return {"name": contact.name, "organisation": contact.organisation, "numbers": list(contact.numbers)}


def _id(request: web.Request) -> WorkOrderId:
    return WorkOrderId(request.match_info["order_id"])


def _me(request: web.Request) -> UserId:
    return person_of(request).user_id
