"""``/api/v1/phone``: the agent's own phone, whether it stands on the desk or is this very browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from ctiserver.features.telephony.answers import (
    BookAnswer,
    CallAskedAnswer,
    LineAnswer,
    PhoneAnswer,
    RegisteredAnswer,
)
from ctiserver.features.telephony.lines import Lines
from ctiserver.features.telephony.lost import LostTalks
from ctiserver.features.telephony.outgoing import Outgoing, Wish
from ctiserver.features.telephony.phones import Phones
from ctiserver.features.telephony.service import Target, Telephony
from ctiserver.model.ids import AgentId, ContactId, RecordId, WorkOrderId
from ctiserver.model.person import Agent
from ctiserver.site.load import Site
from ctiserver.web.access import DESK, agent_of, person_of
from ctiserver.web.routes import Body, Route, json_answer, nothing, read_body
from ctiserver.web.server import SESSION


class TargetBody(Body):
    """Whom a call goes to."""

    kind: Literal["agent", "queue", "number"]
    key: Annotated[str, Field(min_length=1, max_length=80)]


Id = Annotated[str, Field(pattern=r"^[0-9A-Z]{26}$")]


class CallOutBody(Body):
    """POST /api/v1/phone/calls"""

    id: Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")]
    asked_at: Annotated[int, Field(ge=1_000_000_000, lt=10_000_000_000)]
    to: TargetBody
    queue: Annotated[str, Field(max_length=80)] | None = None
    contact_id: Id | None = None
    record_id: Id | None = None
    order_id: Id | None = None


class TelephonyHttp:
    """Routes over the asking agent's phone; nobody reaches another one's."""

    def __init__(
        self,
        site: Site,
        phones: Phones,
        *,
        telephony: Telephony,
        lines: Lines,
        lost: LostTalks,
        outgoing: Outgoing,
        colleagues: Callable[[], list[tuple[Agent, str]]],
    ) -> None:
        """``colleagues``: every agent, and their presence in a word."""
        self._telephony = telephony
        self._phones = phones
        self._lines = lines
        self._lost = lost
        self._outgoing = outgoing
        self._site = site
        self._colleagues = colleagues

    def routes(self) -> list[Route]:
        base = "/api/v1/phone"

        def act(name: str, handler: Callable[[web.Request], Awaitable[web.Response]], body: type[Body] | None) -> Route:
            return Route(method="POST", path=f"{base}/{name}", handler=handler, roles=DESK, body=body)

        return [
            Route(method="GET", path="/phone/ws", handler=self._lines.serve, roles=DESK),
            Route(method="GET", path=base, handler=self._phone, roles=DESK, answer=PhoneAnswer),
            Route(method="GET", path=f"{base}/book", handler=self._book, roles=DESK, answer=BookAnswer),
            Route(method="POST", path=f"{base}/line", handler=self._line, roles=DESK, answer=LineAnswer, status=(201,)),
            Route(
                method="POST", path=f"{base}/registered", handler=self._registered, roles=DESK, answer=RegisteredAnswer
            ),
            act("resume", self._plain(self._lost.resume), None),
            Route(
                method="POST",
                path=f"{base}/calls",
                handler=self._call,
                roles=DESK,
                body=CallOutBody,
                answer=CallAskedAnswer,
                status=(202,),
            ),
            act("hangup", self._plain(self._telephony.hang_up), None),
            act("hold", self._plain(self._telephony.hold), None),
            act("unhold", self._plain(self._telephony.unhold), None),
            act("mute", self._plain(self._telephony.mute), None),
            act("unmute", self._plain(self._telephony.unmute), None),
            act("transfer", self._aimed(self._telephony.transfer), TargetBody),
            act("consult", self._aimed(self._telephony.consult), TargetBody),
            act("consult/complete", self._plain(self._telephony.complete), None),
            act("consult/cancel", self._plain(self._telephony.cancel), None),
            act("consult/join", self._plain(self._telephony.join), None),
        ]

    def _plain(self, do: Callable[[AgentId], Awaitable[None]]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(request: web.Request) -> web.Response:
            await do(agent_of(request))
            return nothing()

        return handler

    def _aimed(
        self, do: Callable[[AgentId, Target], Awaitable[None]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(request: web.Request) -> web.Response:
            body = await read_body(request, TargetBody)
            await do(agent_of(request), Target(body.kind, body.key))
            return nothing()

        return handler

    async def _phone(self, request: web.Request) -> web.Response:
        agent = self._phones.agent(agent_of(request))
        phone = self._phones.browser_phone(agent)
        return json_answer(
            {
                "kind": "desk" if phone is None else "browser",
                "user": "" if phone is None else phone[0],
                "extension": agent.extension,
                "outbound": self._telephony.outbound,
            }
        )

    async def _book(self, request: web.Request) -> web.Response:
        asking = agent_of(request)
        return json_answer(
            {
                "agents": [
                    {"agent_id": agent.id, "name": agent.name, "extension": agent.extension, "state": state}
                    for agent, state in self._colleagues()
                    if agent.id != asking
                ],
                "queues": [{"name": name, "title": dict(queue.title)} for name, queue in self._site.queues.items()],
            }
        )

    async def _line(self, request: web.Request) -> web.Response:
        line = self._lines.give(person_of(request).user_id, agent_of(request), request[SESSION].expires_at)
        return json_answer(
            {
                "line": line.ticket,
                "user": line.account.user,
                "secret": line.account.session_secret,
                "ice_servers": list(line.settings.ice_servers),
            },
            status=201,
        )

    async def _registered(self, request: web.Request) -> web.Response:
        return json_answer({"resume": self._lost.waiting_for(agent_of(request))})

    async def _call(self, request: web.Request) -> web.Response:
        body = await read_body(request, CallOutBody)
        wish = Wish(
            id=body.id,
            asked_at=body.asked_at,
            to=Target(body.to.kind, body.to.key),
            queue=body.queue,
            contact_id=None if body.contact_id is None else ContactId(body.contact_id),
            record_id=None if body.record_id is None else RecordId(body.record_id),
            order_id=None if body.order_id is None else WorkOrderId(body.order_id),
        )
        call = await self._outgoing.call(agent_of(request), wish, person_of(request).actor)
        return json_answer({"call_id": call}, status=202)
