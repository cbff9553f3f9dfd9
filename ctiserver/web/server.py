"""The web server: one place where every request is counted in, checked, served and answered."""

from __future__ import annotations

import asyncio
import errno
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from ctiserver.errors import CtiError, UserFault
from ctiserver.listening import accepting, descriptors
from ctiserver.logs import Seldom
from ctiserver.model.person import Session
from ctiserver.settings import WebSettings
from ctiserver.web import bodies, openapi, problems
from ctiserver.web.access import EVERYBODY, PERSON, PUBLIC, Access, person_of
from ctiserver.web.clients import CLIENT, client_of
from ctiserver.web.entrance import ENTRANCE, Entrance, EntranceLimits, prove
from ctiserver.web.hub import Hub
from ctiserver.web.pages import Pages
from ctiserver.web.problems import ForeignOrigin, Refusal
from ctiserver.web.routes import BODY_MAX, DECLARED_BODY, Answer, Handler, Route, json_answer
from ctiserver.web.sessions import Sessions, bearer

log = structlog.get_logger(__name__)
seldom = Seldom(log)

#: After these a body still comes that nobody reads.
_ENDS_CONNECTION = frozenset({413, 415})
SESSION = web.RequestKey("session", Session)
REQUEST_ID = web.RequestKey("request_id", str)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where this server's own pages come from."""

    url: str  #: ``scheme://host[:port]``, as browsers write it into the Origin header

    @classmethod
    def of(cls, settings: WebSettings, port: int) -> Origin:
        """From ``web.public_url``, else from host and port. Raises UserFault if the URL is none."""
        if not settings.public_url:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            return cls(f"http://{host}:{port}")
        parts = urlsplit(settings.public_url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
            raise UserFault(
                f"{settings.public_url!r} is not a server's address",
                where="setting web.public_url",
                fix="Write scheme and host alone, such as https://desk.example.com",
            )
        default = {"http": ":80", "https": ":443"}[parts.scheme]
        return cls(f"{parts.scheme}://{parts.netloc.lower().removesuffix(default)}")

    @property
    def secure(self) -> bool:
        return self.url.startswith("https:")


class TicketAnswer(Answer):
    """A secret that opens one WebSocket, once, within 30 seconds."""

    ticket: str


class WebServer:
    """Routes from every feature, behind one gate."""

    def __init__(
        self,
        settings: WebSettings,
        *,
        sessions: Sessions,
        access: Access,
        hub: Hub,
        routes: Iterable[Route],
        refusals: Mapping[type[CtiError], type[Refusal]],
    ) -> None:
        """``refusals`` says what errors of layers that know nothing of HTTP mean in it.

        Raises ValueError for a route with a path parameter that no access rule knows.
        """
        self._settings = settings
        self._sessions = sessions
        self._access = access
        self._hub = hub
        self._refusals = dict(refusals)
        pages = Pages()
        self._policy = pages.content_security_policy()
        self._origin = Origin.of(settings, settings.port)
        self.entrance = Entrance(EntranceLimits.within(descriptors.limit()), settings.trusted_proxies)
        self.routes: tuple[Route, ...] = (
            *pages.routes(),
            Route(
                method="POST",
                path="/api/v1/tickets",
                handler=self._ticket,
                roles=EVERYBODY,
                answer=TicketAnswer,
                status=(201,),
            ),
            Route(method="GET", path=openapi.PATH, handler=self._describe, roles=PUBLIC),
            Route(method="GET", path="/ws", handler=hub.serve, roles=PUBLIC),  # a ticket opens it, not a cookie
            *routes,
        )
        for route in self.routes:
            unknown = set(route.parameters) - access.parameters
            if unknown:
                raise ValueError(f"{route.method} {route.path}: no access rule for {', '.join(sorted(unknown))}")
        self._description: dict[str, Any] | None = None
        self._describing = asyncio.Lock()

    @property
    def url(self) -> str:
        """Where browsers find the console. Final once the server runs: port 0 becomes a real one."""
        return self._origin.url

    def application(self) -> web.Application:
        """The aiohttp application; a fresh one each time."""
        application = web.Application(middlewares=[self._contain], client_max_size=bodies.BODY_MAX_BYTES)
        for route in self.routes:
            application.router.add_route(route.method, route.path, self._guarded(route), expect_handler=bodies.go_on)
        return application

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen until the block ends; then browsers are told to come back, and what is under way is finished.

        Raises UserFault if the address can't be listened on.
        """
        runner = web.AppRunner(
            self.application(),
            access_log=None,
            handler_cancellation=False,
            shutdown_timeout=2.0,
            keepalive_timeout=75.0,
            lingering_time=bodies.LINGER_S,
            auto_decompress=False,
        )
        await runner.setup()
        assert runner.server is not None
        server = None
        try:
            try:
                server = await accepting.bound(
                    self.entrance.protocol(runner.server), self._settings.host, self._settings.port
                )
                await accepting.start(server)
            except OSError as error:
                raise _cannot_listen(self._settings, error) from None
            self._origin = Origin.of(self._settings, int(server.sockets[0].getsockname()[1]))
            log.info("web_listening", url=self.url)
            yield
        finally:
            self._hub.close()
            if server is not None:
                server.close()
            await runner.cleanup()

    async def _ticket(self, request: web.Request) -> web.Response:
        ticket = self._hub.ticket(person_of(request), request[SESSION].expires_at)
        return json_answer({"ticket": ticket}, status=201)

    async def _describe(self, _: web.Request) -> web.Response:
        async with self._describing:
            if self._description is None:
                # A third of a second's work that few ever ask for: not at each start, and not on the event loop.
                self._description = await asyncio.to_thread(openapi.document, self.routes)
        return json_answer(self._description)

    def _guarded(self, route: Route) -> Handler:
        body_max_bytes = route.body_max_bytes or (
            bodies.PUBLIC_BODY_MAX_BYTES if route.roles == PUBLIC else bodies.BODY_MAX_BYTES
        )

        async def guarded(request: web.Request) -> web.StreamResponse:
            bodies.check_size(request, body_max_bytes)
            request[BODY_MAX] = body_max_bytes
            said = bearer(request)  # no browser adds that for another site's page, so its origin does not matter
            if (route.intent != "read" and not said) or route.path.endswith("/ws"):
                self._check_origin(request)
            found = await self._sessions.identify(request) if _asks_who(route) else None
            person = None
            if found is not None:
                request[SESSION], person = found[0], replace(found[1], peer=request[CLIENT])
                request[PERSON] = person
                prove(request)
                structlog.contextvars.bind_contextvars(login=person.login)
            self._access.role(person, route.roles)
            for parameter in route.parameters:
                await self._access.reach(person, parameter, request.match_info[parameter], route.intent)
            if route.body is not None:
                request[DECLARED_BODY] = route.body
            response = await route.handler(request)
            if found is not None and not said and not response.prepared:
                await self._sessions.rotate(response, *found)
            return response

        return guarded

    def _check_origin(self, request: web.Request) -> None:
        """SameSite=Strict keeps other sites' cookies out; this also keeps out other ports of the same host."""
        origin = request.headers.get("Origin", "")
        if origin != self._origin.url:
            raise ForeignOrigin(
                f"this request says it comes from {origin[:200] or 'nowhere'}; the console is at {self._origin.url}. "
                "Open it there, or set web.public_url to the address that browsers use"
            )

    @web.middleware
    async def _contain(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The edge where a request's failure is contained: logged, counted, answered."""
        request_id = secrets.token_hex(8)
        request[REQUEST_ID] = request_id
        request[ENTRANCE] = self.entrance
        self.entrance.asked(request)
        request[CLIENT] = client_of(request, self._settings.trusted_proxies)
        try:
            return await self._answered(request, handler, request_id)
        finally:
            self.entrance.answered(request)

    async def _answered(self, request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
        # login: a connection serves one request after another, and the next may be somebody else's
        with structlog.contextvars.bound_contextvars(request_id=request_id, login=None):
            try:
                bodies.check_kind(request)
                response = await handler(request)
            except (CtiError, web.HTTPException) as error:
                response = problems.answer(self._refusal(error), request_id)
                if response.status in _ENDS_CONNECTION:
                    response.force_close()
                facts = {"method": request.method, "path": request.path, "status": response.status}
                if PERSON in request:
                    log.info("request_refused", **facts)
                else:  # a stranger may be refused as often as they like
                    seldom.info("request_refused", why=type(error).__name__, **facts)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.exception("request_failed", method=request.method, path=request.path)
                response = problems.answer(error, request_id)
        if not response.prepared:
            self._add_headers(response, request_id)
        return response

    def _refusal(self, error: CtiError | web.HTTPException) -> Exception:
        for kind, refusal in self._refusals.items():
            if isinstance(error, kind):
                return refusal(str(error))
        return error

    def _add_headers(self, response: web.StreamResponse, request_id: str) -> None:
        headers = response.headers
        headers["X-Request-Id"] = request_id
        headers["Content-Security-Policy"] = self._policy
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(self)"
        headers.setdefault("Cache-Control", "no-store")
        if self._origin.secure:
            headers["Strict-Transport-Security"] = "max-age=31536000"


def _asks_who(route: Route) -> bool:
    """Not for pages, which are the same for everybody; nor for a WebSocket, whose ticket says whose it is."""
    return route.roles != PUBLIC or not (route.path in ("/", "/ws") or route.path.startswith("/static/"))


def _cannot_listen(settings: WebSettings, error: OSError) -> UserFault:
    if error.errno == errno.EADDRINUSE:
        return UserFault(
            f"port {settings.port} on {settings.host} is in use by another program",
            where="setting web.port",
            fix="Choose another port there, or stop the other program (`ss -ltnp` names it)",
        )
    return UserFault(
        f"can't listen on {settings.host} port {settings.port}: {error.strerror or error}",
        where="settings web.host and web.port",
        fix="Choose an address of this machine, and a port above 1023 unless it runs as root",
    )
