"""``/api/v1/queues``: every queue as it stands."""

from __future__ import annotations

from aiohttp import web

from ctiserver.features.queues.answers import QueuesAnswer
from ctiserver.features.queues.push import state_json
from ctiserver.features.queues.service import Queues
from ctiserver.site import Site
from ctiserver.web.access import DESK
from ctiserver.web.routes import Route, json_answer


class QueuesHttp:
    """Routes over the queues."""

    def __init__(self, queues: Queues, site: Site) -> None:
        self._queues = queues
        self._site = site

    def routes(self) -> list[Route]:
        return [Route(method="GET", path="/api/v1/queues", handler=self._list, roles=DESK, answer=QueuesAnswer)]

    async def _list(self, _: web.Request) -> web.Response:
        titles = {name: dict(queue.title) for name, queue in self._site.queues.items()}
        queues = [{"title": titles.get(state.queue, {}), **state_json(state)} for state in self._queues.states()]
        return json_answer({"queues": queues})
