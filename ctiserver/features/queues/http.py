"""``/api/v1/queues``: every queue as it stands."""

from __future__ import annotations

from aiohttp import web

from ctiserver.features.queues.answers import QueuesAnswer
from ctiserver.features.queues.push import state_json
from ctiserver.features.queues.service import Queues
from ctiserver.site.load import Site
from ctiserver.web.access import DESK
from ctiserver.web.routes import PAGED, Route, json_answer, page_of


class QueuesHttp:
    """Routes over the queues."""

    def __init__(self, queues: Queues, site: Site) -> None:
        self._queues = queues
        self._site = site

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/queues",
                handler=self._list,
                roles=DESK,
                answer=QueuesAnswer,
                query=PAGED,
            )
        ]

    async def _list(self, request: web.Request) -> web.Response:
        titles = {name: dict(queue.title) for name, queue in self._site.queues.items()}
        states = self._queues.states()
        page, after = page_of(states, lambda state: state.queue, request)
        queues = [{"title": titles.get(state.queue, {}), **state_json(state)} for state in page]
        return json_answer({"queues": queues, "after": after})
