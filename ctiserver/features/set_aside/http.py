"""``/api/v1/set-aside``: work that could not be done, for admins to see, to have done again, or to drop."""

from __future__ import annotations

import structlog
from aiohttp import web

from ctiserver.bus import Bus, NotTakenIn
from ctiserver.features.set_aside.answers import SetAsideAnswer, SetAsidePageAnswer, TriedAnswer
from ctiserver.store.setting_aside import SettingAside
from ctiserver.web.access import ADMINS, Intent, Person, person_of
from ctiserver.web.problems import NotFound
from ctiserver.web.routes import Route, json_answer, nothing

log = structlog.get_logger(__name__)

_PAGE = 50
_EVENT = "event-"


class SetAsideHttp:
    """Routes over what is set aside: rows in the database, and events in the bus' memory."""

    def __init__(self, aside: SettingAside, bus: Bus) -> None:
        self._aside = aside
        self._bus = bus

    def routes(self) -> list[Route]:
        """Path parameter ``aside_id`` is guarded by :meth:`may_reach`."""
        return [
            Route(
                method="GET",
                path="/api/v1/set-aside",
                handler=self._page,
                roles=ADMINS,
                answer=SetAsidePageAnswer,
                query={"before": "the id of the last item of the page before"},
            ),
            Route(
                method="POST",
                path="/api/v1/set-aside/{aside_id}/again",
                handler=self._again,
                roles=ADMINS,
                answer=TriedAnswer,
            ),
            Route(method="POST", path="/api/v1/set-aside/{aside_id}/drop", handler=self._drop, roles=ADMINS),
        ]

    async def may_reach(self, person: Person, aside_id: str, intent: Intent) -> bool:
        """Admins reach each."""
        if person.role not in ADMINS:
            return False
        if aside_id.startswith(_EVENT):
            return any(item.id == aside_id for item in self._bus.not_taken_in)
        return await self._aside.find(aside_id) is not None

    async def _page(self, request: web.Request) -> web.Response:
        before = request.query.get("before")
        found = await self._aside.page(_PAGE, before)
        items = [SetAsideAnswer.of(item) for item in found]
        if before is None:
            items = [*(_event(item) for item in self._bus.not_taken_in), *items]
        return json_answer(SetAsidePageAnswer(items=items, before=found[-1].id if len(found) == _PAGE else None))

    async def _again(self, request: web.Request) -> web.Response:
        key, person = request.match_info["aside_id"], person_of(request)
        if not key.startswith(_EVENT):
            await self._aside.again(key, actor=person.actor, peer=person.peer)
            return json_answer(TriedAnswer(state="under_way"))
        item = next((item for item in self._bus.not_taken_in if item.id == key), None)
        if item is None:
            raise NotFound
        await self._aside.note("set_aside_again", key, item.service, item.reason, actor=person.actor, peer=person.peer)
        return json_answer(TriedAnswer(state="done" if await self._bus.again(key) else "failed"))

    async def _drop(self, request: web.Request) -> web.Response:
        key, person = request.match_info["aside_id"], person_of(request)
        if not key.startswith(_EVENT):
            await self._aside.drop(key, actor=person.actor, peer=person.peer)
            return nothing()
        item = next((item for item in self._bus.not_taken_in if item.id == key), None)
        if item is None:
            raise NotFound
        await self._aside.note(
            "set_aside_dropped", key, item.service, item.reason, actor=person.actor, peer=person.peer
        )
        self._bus.drop(key)
        return nothing()


def _event(item: NotTakenIn) -> SetAsideAnswer:
    call = getattr(item.event, "call_id", "")
    return SetAsideAnswer(
        id=item.id,
        kind="event",
        ref=f"{item.service}: {type(item.event).__name__}",
        about=call if isinstance(call, str) and call.isalnum() else "",
        record_id=None,
        reason=item.reason,
        tries=item.tries,
        at=item.at,
    )
