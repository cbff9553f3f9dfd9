"""How many connections there may be, and how long each may take to say what it wants.

A connection that has not yet asked for anything as a logged-in person costs a stranger nothing and the server a
descriptor, of which FastAGI, AMI and the database need some too. So there is a waiting room for them, and one for each
address, where a new one takes the place of the one that has waited longest. A request must be
whole within a time: its header, and its body as long as it keeps coming. Connections of logged-in people have a bound
of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from aiohttp import web
from prometheus_client import Counter

from ctiserver.listening.waiting_room import WaitingRoom, has_unread
from ctiserver.logs import Seldom
from ctiserver.metrics import REGISTRY
from ctiserver.web.clients import Network, is_within
from ctiserver.web.problems import TooMany

CUT_OFF = Counter(
    "ctiserver_web_connections_cut_off_total",
    "Connections that the server ended, by why",
    ("why",),
    registry=REGISTRY,
)

seldom = Seldom(structlog.get_logger(__name__))

_UNPROVEN = 1024
_PROVEN = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class EntranceLimits:
    """What connections may cost. ``unproven``: on which no logged-in person has asked for anything yet."""

    unproven: int = _UNPROVEN
    unproven_per_address: int = _UNPROVEN // 4  #: trusted proxies are not counted so: everybody comes through them
    proven: int = _PROVEN
    header_s: float = 10.0  #: from the first byte of a request, or the connection's begin, to its header's end
    body_s: float = 30.0  #: within each such time a body must end, or bring ``body_bytes``
    body_bytes: int = 64 * 1024

    @classmethod
    def within(cls, descriptors: int) -> EntranceLimits:
        """For a process that may open so many: half of them are left for FastAGI, AMI, the database and files."""
        room = descriptors // 2
        unproven = min(_UNPROVEN, room // 4)
        return cls(unproven=unproven, unproven_per_address=max(1, unproven // 4), proven=min(_PROVEN, room - unproven))


class Entrance:
    """Every open connection of the web server."""

    def __init__(self, limits: EntranceLimits, trusted: Sequence[Network] = ()) -> None:
        self._limits = limits
        self._trusted = trusted
        self._visits: dict[asyncio.BaseTransport, _Visit] = {}
        self._unproven: WaitingRoom[_Visit] = WaitingRoom(limits.unproven)
        self._by_address: dict[str, WaitingRoom[_Visit]] = {}
        self._served: set[_Visit] = set()  #: not proven; their whole request is with us, so they don't wait for nothing
        self._proven: set[_Visit] = set()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._visits)

    @property
    def waiting(self) -> int:
        """On how many of them nobody has logged in, and no whole request has come that is not answered yet."""
        return len(self._unproven)

    def protocol(self, handlers: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Of a server: what each new connection speaks, with ``handlers`` behind it."""
        return lambda: _Visit(self, handlers())

    def asked(self, request: web.Request) -> None:
        """A request's header is whole; until :meth:`answered` only its body has a deadline."""
        visit = self._visits.get(request.transport) if request.transport is not None else None
        if visit is None:
            return
        visit.asked(request)
        if visit in self._unproven and request.content.is_eof():
            self._forget(visit)
            self._served.add(visit)

    def answered(self, request: web.Request) -> None:
        """The answer is made: the next request may come."""
        visit = self._visits.get(request.transport) if request.transport is not None else None
        if visit is None:
            return
        visit.answered()
        if visit in self._served:
            self._served.discard(visit)
            self._wait(visit)

    def is_let_in(self, request: web.Request) -> bool:
        """Count the connection as a logged-in person's; False where there are too many of those already."""
        visit = self._visits.get(request.transport) if request.transport is not None else None
        if visit is None or visit in self._proven:
            return True
        if len(self._proven) >= self._limits.proven:
            self._count("too many of logged-in people", visit.address)
            return False
        self._forget(visit)
        self._proven.add(visit)
        return True

    def enter(self, visit: _Visit, transport: asyncio.Transport) -> None:
        """A connection begins."""
        self._visits[transport] = visit
        visit.arm(self._limits.header_s, "no request in time")
        if len(self._served) >= self._limits.unproven:
            self.cut(visit, "too many requests")
        else:
            self._wait(visit)

    def _wait(self, visit: _Visit) -> None:
        """Nobody has logged in on this connection, and it asks for nothing now."""
        if is_within(visit.address, self._trusted):
            return
        now = asyncio.get_running_loop().time()
        own = self._by_address.get(visit.address)
        if own is not None and (longest := own.must_leave(now, _has_unread)) is not None:
            self.cut(longest, "too many of one address")
        elif (longest := self._unproven.must_leave(now, _has_unread)) is not None:
            self.cut(longest, "too many")
        self._unproven.enter(visit, now)
        if visit.address not in self._by_address:
            self._by_address[visit.address] = WaitingRoom(self._limits.unproven_per_address)
        self._by_address[visit.address].enter(visit, now)

    def leave(self, visit: _Visit, transport: asyncio.BaseTransport) -> None:
        """A connection is over."""
        self._visits.pop(transport, None)
        self._forget(visit)

    def cut(self, visit: _Visit, why: str) -> None:
        """End a connection at once."""
        self._count(why, visit.address)
        self._forget(visit)
        visit.abort()

    def _count(self, why: str, address: str) -> None:
        CUT_OFF.labels(why).inc()
        seldom.warning("web_connection_cut_off", why=why, peer=address)

    def _forget(self, visit: _Visit) -> None:
        self._unproven.leave(visit)
        self._served.discard(visit)
        self._proven.discard(visit)
        own = self._by_address.get(visit.address)
        if own is not None:
            own.leave(visit)
            if not own:
                del self._by_address[visit.address]

    @property
    def limits(self) -> EntranceLimits:
        """Those it keeps."""
        return self._limits


ENTRANCE = web.RequestKey("entrance", Entrance)


def prove(request: web.Request) -> None:
    """A request's connection is a logged-in person's from now on. Raises TooMany where there are too many of those."""
    if ENTRANCE in request and not request[ENTRANCE].is_let_in(request):
        raise TooMany("too many connections are open; close other windows and try again in 5 s", 5)


class _Visit(asyncio.Protocol):
    """One connection: passes everything on to aiohttp's protocol, and watches how long it takes."""

    def __init__(self, entrance: Entrance, inner: asyncio.Protocol) -> None:
        self.address = ""
        self._entrance = entrance
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._request: web.Request | None = None
        self._received = 0  #: bytes since the body's last deadline
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._inner.connection_made(transport)
        self._entrance.enter(self, transport)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._request is None and self._deadline is None:
            self.arm(self._entrance.limits.header_s, "no whole header in time")
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._transport is not None:
            self._entrance.leave(self, self._transport)
        self._request = None
        self._inner.connection_lost(exc)

    def arm(self, within_s: float, why: str) -> None:
        self._disarm()
        self._deadline = asyncio.get_running_loop().call_later(within_s, self._entrance.cut, self, why)

    def asked(self, request: web.Request) -> None:
        self._request = request
        self._disarm()
        if not request.content.is_eof():
            self._received = 0
            self._deadline = asyncio.get_running_loop().call_later(self._entrance.limits.body_s, self._look)

    def answered(self) -> None:
        self._request = None
        self._disarm()

    @property
    def has_unread(self) -> bool:
        return has_unread(self._transport)

    def abort(self) -> None:
        self._disarm()
        if self._transport is not None:
            self._transport.abort()

    def _look(self) -> None:
        """A time given to the body is over."""
        self._deadline = None
        if self._request is None or self._request.content.is_eof():
            return
        if self._received < self._entrance.limits.body_bytes:
            self._entrance.cut(self, "no whole body in time")
            return
        self._received = 0
        self._deadline = asyncio.get_running_loop().call_later(self._entrance.limits.body_s, self._look)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _has_unread(visit: _Visit) -> bool:
    return visit.has_unread
