"""The FastAGI server: who may connect, how many at once, and which handler a script's name means."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

import structlog

from ctiserver.agi.codec import Request, RequestReader
from ctiserver.agi.connection import AgiConnection
from ctiserver.agi.session import HungUp, Session
from ctiserver.clock import Clock
from ctiserver.errors import CtiError, UserFault
from ctiserver.listening import accepting, descriptors
from ctiserver.listening.waiting_room import WaitingRoom
from ctiserver.logs import Seldom
from ctiserver.settings import AgiSettings

log = structlog.get_logger(__name__)
seldom = Seldom(log)

#: What serves one call; it returns when the dialplan shall go on.
Handler = Callable[[Session], Awaitable[None]]
#: Connections whose header is still to come, beyond the calls served. Asterisk sends its own at once.
MAX_UNPROVEN = 1024


@dataclass(slots=True)
class Counts:
    """What happened since the start, for metrics."""

    served: int = 0
    refused_peer: int = 0
    refused_header: int = 0
    refused_busy: int = 0
    unknown_script: int = 0
    failed: int = 0


def _no_signs(_: str) -> Collection[str]:
    return ()


class AgiServer:
    """Listens for Asterisk and gives each call to the handler that its script's name means."""

    def __init__(
        self,
        settings: AgiSettings,
        handlers: Mapping[str, Handler],
        clock: Clock,
        *,
        signs: Callable[[str], Collection[str]] = _no_signs,
    ) -> None:
        """``signs``: the secret systemnames of the PBX that a request names (empty: the first): the channel's id must
        begin with one of them, where there are any."""
        self._signs = signs
        self._settings = settings
        self._handlers = handlers
        self._clock = clock
        self._calls = 0
        self._unproven: WaitingRoom[AgiConnection] = WaitingRoom(min(MAX_UNPROVEN, descriptors.limit() // 8))
        self._open: set[AgiConnection] = set()
        self._none_open = asyncio.Event()
        self._fewer = asyncio.Event()  #: calls than a moment ago
        self._ending = False
        self._port: int | None = None
        self._listening = asyncio.Event()
        self.counts = Counts()

    @property
    def active(self) -> int:
        """Calls being served now."""
        return self._calls

    @property
    def port(self) -> int | None:
        """The port that is open now; None while none is."""
        return self._port if self._listening.is_set() else None

    async def listening(self) -> int:
        """Wait until the port is open; returns its number."""
        await self._listening.wait()
        assert self._port is not None
        return self._port

    async def run(self) -> None:
        """Serve until cancelled; calls under way then lose their session, and the dialplan carries them on.

        Raises UserFault when the address can't be listened on.
        """
        calls = asyncio.TaskGroup()

        def begun(connection: AgiConnection, request: Request) -> None:
            self._unproven.leave(connection)
            calls.create_task(self._serve(request, connection), name="agi-call")

        def accept() -> AgiConnection:
            return AgiConnection(
                RequestReader(self._settings.header_max_bytes),
                admitted=self._admitted,
                begun=begun,
                refused=self._refused,
                ended=self._ended,
                header_timeout_s=self._settings.header_timeout_s,
            )

        loop = asyncio.get_running_loop()
        try:
            server = await accepting.bound(accept, self._settings.host, self._settings.port)
        except OSError as error:
            raise UserFault(
                f"FastAGI can't listen on {self._settings.host}:{self._settings.port}: {error.strerror or error}",
                where="agi.host / agi.port",
                fix="Stop what uses the port, or give another one here and in the dialplan",
            ) from None
        try:
            async with calls:
                await accepting.start(server)
                self._port = server.sockets[0].getsockname()[1]
                self._listening.set()
                await loop.create_future()  # until cancelled
        finally:
            self._listening.clear()
            server.close()
            await self._close()

    async def drain(self, within_s: float) -> None:
        """Take no more calls, and let those under way finish; returns when they have, after ``within_s`` at the latest.

        Who calls meanwhile is told so at once, and the dialplan serves them. Who still talks with us after that is
        handed over in the same way by the end of :meth:`run`.
        """
        self._ending = True
        log.info("agi_draining", calls=self._calls)
        try:
            async with asyncio.timeout(within_s):
                while self._calls:
                    self._fewer.clear()
                    await self._fewer.wait()
        except TimeoutError:
            log.warning("agi_calls_handed_over", calls=self._calls)

    def _admitted(self, connection: AgiConnection, peer: object) -> bool:
        if not self._allowed(peer):
            self.counts.refused_peer += 1
            seldom.warning("agi_peer_refused", why="not in agi.allow", peer=str(peer))
            return False
        now = asyncio.get_running_loop().time()
        if (longest := self._unproven.must_leave(now, lambda it: it.has_unread)) is not None:
            longest.refuse("too many connections without a header")
        self._unproven.enter(connection, now)
        self._open.add(connection)
        return True

    def _refused(self, connection: AgiConnection, reason: str) -> None:
        self._unproven.leave(connection)
        self.counts.refused_header += 1
        seldom.warning("agi_refused", why="no whole header", reason=reason, peer=str(connection.peer))

    def _ended(self, connection: AgiConnection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._none_open.set()

    async def _close(self) -> None:
        for connection in self._open:
            connection.close()
        while self._open:
            self._none_open.clear()
            await self._none_open.wait()

    def _allowed(self, peer: object) -> bool:
        try:
            address = ip_address(peer[0] if isinstance(peer, tuple) else "")
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._settings.allow)

    async def _serve(self, request: Request, connection: AgiConnection) -> None:
        session = Session(
            request,
            connection,
            margin_s=self._settings.command_margin_s,
            dead_man_s=_seconds(request.query.get("deadman", "")),
            monotonic=self._clock.monotonic,
        )
        handler = self._handlers.get(request.script)
        with structlog.contextvars.bound_contextvars(uniqueid=request["uniqueid"], script=request.script):
            try:
                signs = self._signs(request.query.get("pbx", ""))
                if signs and request.sign not in signs:
                    # Any program of this machine can connect; only the PBX knows its systemname.
                    self.counts.refused_peer += 1
                    log.error("agi_not_from_the_pbx", pbx=request.query.get("pbx", "")[:32], peer=str(connection.peer))
                    await self._decline(session, "sign")
                elif handler is None:
                    self.counts.unknown_script += 1
                    log.error("agi_script_unknown", known=sorted(self._handlers))
                    await self._decline(session, "script")
                elif self._ending or self._calls >= self._settings.max_sessions:
                    self.counts.refused_busy += 1
                    log.warning("agi_busy", calls=self._calls, ending=self._ending)
                    await self._decline(session, "ending" if self._ending else "calls")
                else:
                    await self._handled(handler, session)
            finally:
                connection.close()

    async def _handled(self, handler: Handler, session: Session) -> None:
        self._calls += 1
        try:
            await handler(session)
            self.counts.served += 1
        except HungUp:
            self.counts.served += 1
        except CtiError as error:
            # The session ends without its done mark, so that the dialplan's fallback serves the caller.
            self.counts.failed += 1
            log.error("agi_call_failed", error=str(error), kind=type(error).__name__)
        except Exception:  # the edge of one call: nothing of it may reach another
            self.counts.failed += 1
            log.exception("agi_call_crashed")
        finally:
            self._calls -= 1
            self._fewer.set()

    async def _decline(self, session: Session, why: str) -> None:
        """End politely without the done mark: the dialplan falls back, and ``CTI_BUSY`` says why."""
        try:
            await session.set_variable("CTI_BUSY", why)
            await session.release()
        except CtiError as error:
            log.info("agi_decline_unheard", error=str(error))


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,3}(\.\d{1,3})?", text) else None
