"""Routes of screen-pops: painted, done with, and why there was one or none."""

from __future__ import annotations

from aiohttp import web

from ctiserver.features.screenpop.answers import MyPopAnswer, PopAnswer, PopsAnswer, ShownAnswer
from ctiserver.features.screenpop.service import ScreenPops, Shown
from ctiserver.model.ids import CallId
from ctiserver.web.access import DESK, Intent, Person, agent_of
from ctiserver.web.routes import Route, json_answer, nothing


class ScreenPopHttp:
    """Routes over screen-pops."""

    def __init__(self, pops: ScreenPops) -> None:
        self._pops = pops

    def routes(self) -> list[Route]:
        return [
            Route(method="GET", path="/api/v1/pops/mine", handler=self._mine, roles=DESK, answer=MyPopAnswer),
            Route(
                method="POST", path="/api/v1/pops/mine/refresh", handler=self._refresh, roles=DESK, answer=MyPopAnswer
            ),
            Route(method="POST", path="/api/v1/pops/mine/dismiss", handler=self._dismiss, roles=DESK),
            Route(method="POST", path="/api/v1/pops/{pop_id}/painted", handler=self._painted, roles=DESK),
            Route(
                method="GET", path="/api/v1/calls/{call_id}/pops", handler=self._of_call, roles=DESK, answer=PopsAnswer
            ),
        ]

    async def may_reach(self, person: Person, pop_id: str, intent: Intent) -> bool:
        """A pop is its agent's own."""
        shown = None if person.agent_id is None else self._pops.shown_to(person.agent_id)
        if shown is not None and shown.pop_id == pop_id:
            return True
        pop = await self._pops.book.find(pop_id)
        return pop is not None and pop.agent_id == person.agent_id

    async def _mine(self, request: web.Request) -> web.Response:
        return _mine(self._pops.shown_to(agent_of(request)))

    async def _refresh(self, request: web.Request) -> web.Response:
        return _mine(await self._pops.refresh(agent_of(request)))

    async def _dismiss(self, request: web.Request) -> web.Response:
        self._pops.dismiss(agent_of(request))
        return nothing()

    async def _painted(self, request: web.Request) -> web.Response:
        await self._pops.painted(request.match_info["pop_id"], agent_of(request))
        return nothing()

    async def _of_call(self, request: web.Request) -> web.Response:
        pops = await self._pops.of_call(CallId(request.match_info["call_id"]))
        return json_answer(PopsAnswer(pops=[PopAnswer.of(pop) for pop in pops]))


def _mine(shown: Shown | None) -> web.Response:
    return json_answer(MyPopAnswer(pop=None if shown is None else ShownAnswer.of_shown(shown)))
