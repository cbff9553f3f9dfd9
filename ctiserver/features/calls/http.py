"""``/api/v1/calls``: the call log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from aiohttp import web
from pydantic import Field

from ctiserver.features.calls.answers import CallAnswer, CallsAnswer, WholeCallAnswer
from ctiserver.features.calls.service import CallLogService
from ctiserver.model.ids import AgentId, CallId
from ctiserver.store.database import Database
from ctiserver.web.access import DESK, SUPERVISORS, Intent, Person, agent_of, person_of
from ctiserver.web.routes import Body, Route, json_answer, nothing, read_body

_PAGE = 50


class Reason(Body):
    """Why a call has no record."""

    reason: Annotated[str, Field(max_length=64)]


class CallsHttp:
    """Routes over the call log."""

    def __init__(
        self, database: Database, calls: CallLogService, *, at_phone: Callable[[AgentId], CallId | None]
    ) -> None:
        """``at_phone``: the call that rings an agent or that they are in now, before the log knows whose it is."""
        self._database = database
        self._calls = calls
        self._at_phone = at_phone

    def routes(self) -> list[Route]:
        """The routes; path parameter ``call_id`` is guarded by :meth:`may_reach`."""
        return [
            Route(
                method="GET",
                path="/api/v1/calls",
                handler=self._page,
                roles=DESK,
                answer=CallsAnswer,
                query={"before": "the id of the last call of the page before"},
            ),
            Route(method="GET", path="/api/v1/calls/{call_id}", handler=self._show, roles=DESK, answer=WholeCallAnswer),
            Route(method="POST", path="/api/v1/calls/{call_id}/reason", handler=self._reason, roles=DESK, body=Reason),
        ]

    async def may_reach(self, person: Person, call: str, _: Intent) -> bool:
        """Agents reach the calls they talk or talked in; supervisors all."""
        if person.agent_id is not None and self._at_phone(person.agent_id) == call:
            return True
        if await self._logged_for(person, CallId(call)):
            return True
        await self._calls.caught_up()  # they may ask a moment after the phone was put down
        return await self._logged_for(person, CallId(call))

    async def _logged_for(self, person: Person, call: CallId) -> bool:
        async with self._database.reading() as uow:
            entry = await uow.calls.find(call)
        return entry is not None and (person.role in SUPERVISORS or entry.agent_id == person.agent_id)

    async def _page(self, request: web.Request) -> web.Response:
        before = request.query.get("before")
        person = person_of(request)
        own = None if person.role in SUPERVISORS else agent_of(request)
        async with self._database.reading() as uow:
            entries = await uow.calls.page(_PAGE, before=None if before is None else CallId(before), agent=own)
        following = entries[-1].id if len(entries) == _PAGE else None
        return json_answer(CallsAnswer(calls=[CallAnswer.of_entry(entry) for entry in entries], before=following))

    async def _show(self, request: web.Request) -> web.Response:
        call = CallId(request.match_info["call_id"])
        async with self._database.reading() as uow:
            entry = await uow.calls.get(call)
            path = await uow.calls.path(call)
            records = await uow.records.of_call(call)
        return json_answer(WholeCallAnswer.of_entry(entry, path=path, records=records))

    async def _reason(self, request: web.Request) -> web.Response:
        body = await read_body(request, Reason)
        await self._calls.state_reason(CallId(request.match_info["call_id"]), body.reason)
        return nothing()
