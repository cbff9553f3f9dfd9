"""``/healthz``, ``/readyz``, ``/metrics``: for those who watch over the server, without a log-in."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from ctiserver.features.operations.health import Health, PbxHealth
from ctiserver.features.operations.measures import Measures
from ctiserver.web.access import PUBLIC
from ctiserver.web.clients import Network, is_within
from ctiserver.web.problems import NotAllowed
from ctiserver.web.routes import Route, json_answer

#: What reverse proxies add. A request with any of them was not sent by whom it seems to come from.
_BY_PROXY = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


class OperationsHttp:
    """Routes over the server's own state."""

    def __init__(
        self, health: Health, measures: Measures, allow: Sequence[Network], proxies: Sequence[Network] = ()
    ) -> None:
        """``allow``: from where figures and reasons may be read, never through one of ``proxies``; everybody may know
        whether the server is ready."""
        self._health = health
        self._measures = measures
        self._allow = allow
        self._proxies = proxies

    def routes(self) -> list[Route]:
        return [
            Route(method="GET", path="/healthz", handler=self._alive, roles=PUBLIC),
            Route(method="GET", path="/readyz", handler=self._ready, roles=PUBLIC),
            Route(method="GET", path="/metrics", handler=self._metrics, roles=PUBLIC),
        ]

    async def _alive(self, _: web.Request) -> web.Response:
        """The process lives and its loop turns; whatever else is wrong, a restart would not mend it."""
        return json_answer({"status": "alive"})

    async def _ready(self, request: web.Request) -> web.Response:
        found = await self._health.readiness()
        said: dict[str, object] = {"status": found.status}
        if self._is_allowed(request):
            said["reasons"] = [*found.reasons, *(str(failing) for failing in found.failing)]
            said["agi_port"] = found.agi_port
            said["pbxs"] = {pbx.name: _pbx_json(pbx) for pbx in found.pbxs}
        return json_answer(said, status=503 if found.reasons else 200)

    async def _metrics(self, request: web.Request) -> web.Response:
        if not self._is_allowed(request):
            raise NotAllowed("metrics are not for this address: setting web.metrics_allow")
        return web.Response(body=await self._measures.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _is_allowed(self, request: web.Request) -> bool:
        remote = request.remote or ""
        proxied = is_within(remote, self._proxies) or any(name in request.headers for name in _BY_PROXY)
        return not proxied and is_within(remote, self._allow)


def _pbx_json(pbx: PbxHealth) -> dict[str, object]:
    trouble = pbx.trouble
    return {
        "up": pbx.up,
        "since": pbx.since.isoformat(),
        "version": pbx.version,
        "signed_events": pbx.signed,
        "refused_events": pbx.refused,
        "trouble": None if trouble is None else trouble.kind,
        "why": None if trouble is None else trouble.why,
    }
