"""The WebSocket hub: browsers subscribe to topics and get a snapshot, then what changes.

Each subscription starts with ``{"topic", "kind": "snapshot", "seq": n, "data"}``; then come ``{"topic", "kind":
"delta", "seq": n + 1, "event", "data"}`` without a gap. A delta carries whole objects, so that one which the snapshot
already holds does no harm. Nobody is waited for: a browser that does not keep up is closed with 1013 ("try again
later"), comes back, and starts from a new snapshot. The protocol is written down in docs/reference/websocket.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import structlog
from aiohttp import WSMsgType, web
from pydantic import ValidationError

from ctiserver.clock import Clock
from ctiserver.logs import Seldom
from ctiserver.model.ids import UserId
from ctiserver.model.json_value import Json
from ctiserver.model.person import Role
from ctiserver.web.access import Person
from ctiserver.web.connection import (
    CLOSE_BAD_MESSAGE,
    CLOSE_GOING_AWAY,
    CLOSE_LOGGED_OUT,
    CLOSE_RESTART,
    CLOSE_TOO_SLOW,
    Connection,
    HubLimits,
)
from ctiserver.web.entrance import prove
from ctiserver.web.problems import NotLoggedIn, TooMany
from ctiserver.web.routes import Body

log = structlog.get_logger(__name__)
seldom = Seldom(log)

#: How often a snapshot is made again because something changed meanwhile. The last one is sent with what changed: then
#: a browser may see an older state once more, but ends at the newest.
_SNAPSHOT_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Something that browsers follow, named ``kind:key`` (``presence:agent1``)."""

    kind: str
    roles: frozenset[Role]  #: who may follow topics of this kind at all
    may: Callable[[Person, str], bool]  #: may this person follow the topic with this key?
    snapshot: Callable[[str], Awaitable[Json]]  #: all that is so now, for a key


class ClientMessage(Body):
    """What a browser may say. ``ping`` is answered with ``pong``, since pages can't see WebSocket pings."""

    op: Literal["subscribe", "unsubscribe", "ping"]
    topic: str = ""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """A topic's snapshot as it is sent."""

    seq: int
    frame: bytes
    made_at: float  #: monotonic seconds


@dataclass(slots=True)
class _Followed:
    """A topic that at least one browser follows."""

    seq: int = 0
    clients: set[Connection] = field(default_factory=set)
    snapshot: _Snapshot | None = None  #: the last that was made
    making: asyncio.Future[_Snapshot | None] | None = None  #: the one under way; None if anyone who made it gave up


@dataclass(frozen=True, slots=True)
class _Ticket:
    person: Person
    session_ends_at: datetime
    good_until: float  #: monotonic seconds


class Hub:
    """Topics on one side, browsers on the other."""

    def __init__(self, clock: Clock, limits: HubLimits | None = None) -> None:
        self._topics: dict[str, Topic] = {}
        self._clock = clock
        self._limits = limits or HubLimits()
        self._followed: dict[str, _Followed] = {}
        self._clients: set[Connection] = set()
        self._tickets: dict[str, _Ticket] = {}
        self.logged_out: list[Callable[[UserId], None]] = []  #: who else must know that an account's log-ins are over

    def add(self, topics: Iterable[Topic]) -> None:
        """Offer more topics. Raises ValueError if one is named like another."""
        for topic in topics:
            if topic.kind in self._topics:
                raise ValueError(f"two topics are named {topic.kind}")
            self._topics[topic.kind] = topic

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of topics there are."""
        return frozenset(self._topics)

    @property
    def clients(self) -> int:
        """How many browsers are connected."""
        return len(self._clients)

    def followers(self, kind: str, key: str) -> int:
        """How many browsers follow ``kind:key``, those included that have no snapshot yet."""
        followed = self._followed.get(f"{kind}:{key}")
        return 0 if followed is None else len(followed.clients)

    def publish(self, kind: str, key: str, event: str, data: Json) -> None:
        """Send a delta to all who follow ``kind:key``. Never waits."""
        if kind not in self._topics:
            raise ValueError(f"no topic is named {kind}")
        name = f"{kind}:{key}"
        followed = self._followed.get(name)
        if followed is None:
            return
        followed.seq += 1
        frame = _frame({"topic": name, "kind": "delta", "seq": followed.seq, "event": event, "data": data})
        for client in followed.clients:
            client.offer_delta(name, followed.seq, frame)

    def may_follow(self, person: Person, topic: str) -> bool:
        """May this person follow this topic? Unknown topics: no."""
        kind, _, key = topic.partition(":")
        known = self._topics.get(kind)
        return known is not None and person.role in known.roles and known.may(person, key)

    def ticket(self, person: Person, session_ends_at: datetime) -> str:
        """A secret that opens one connection, once, soon.

        A cookie alone would let any page on this host open one; a ticket is got by a request whose Origin was checked.
        """
        now = self._clock.monotonic()
        for old in [key for key, ticket in self._tickets.items() if ticket.good_until < now]:
            del self._tickets[old]
        secret = secrets.token_urlsafe(32)
        self._tickets[_digest(secret)] = _Ticket(person, session_ends_at, now + self._limits.ticket_s)
        return secret

    def log_out(self, user_id: UserId) -> None:
        """Close an account's connections; a browser whose session is still good comes back by itself."""
        for client in self._clients:
            if client.person.user_id == user_id:
                client.close(CLOSE_LOGGED_OUT)
        self._tickets = {key: ticket for key, ticket in self._tickets.items() if ticket.person.user_id != user_id}
        for tell in self.logged_out:
            tell(user_id)

    def close(self) -> None:
        """The server stops: tell every browser to come back soon."""
        for client in self._clients:
            client.close(CLOSE_RESTART)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One browser's connection, from ticket to close. The server has checked the Origin."""
        ticket = self._tickets.pop(_digest(request.query.get("ticket", "")), None)
        if ticket is None or ticket.good_until < self._clock.monotonic():
            raise NotLoggedIn("the ticket is used up or too old; ask for another")
        user_id = ticket.person.user_id
        if sum(client.person.user_id == user_id for client in self._clients) >= self._limits.connections:
            seldom.warning("websocket_refused", why="too many of one account", login=ticket.person.login)
            raise TooMany(f"this account has {self._limits.connections} connections open; close other windows", 5)
        client = Connection(ticket.person, self._limits)
        prove(request)
        socket = client.response()
        self._clients.add(client)
        left_s = (ticket.session_ends_at - self._clock.now()).total_seconds()
        try:
            await socket.prepare(request)
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(client.send(socket, request))
                try:
                    async with asyncio.timeout(left_s):
                        await self._read(socket, client)
                except TimeoutError:
                    client.close(CLOSE_LOGGED_OUT)
                else:
                    client.close(CLOSE_GOING_AWAY)
                await sending
        finally:
            self._clients.discard(client)
            for topic in list(client.topics):
                self._unfollow(client, topic)
        return socket

    async def _read(self, socket: web.WebSocketResponse, client: Connection) -> None:
        async for message in socket:
            if client.close_code is not None:
                return
            if not client.allowance.take(self._clock.monotonic()):
                seldom.warning("websocket_closed", why="too many messages", login=client.person.login)
                client.close(CLOSE_BAD_MESSAGE)
                return
            if message.type is not WSMsgType.TEXT:
                client.close(CLOSE_BAD_MESSAGE)
                return
            try:
                said = ClientMessage.model_validate_json(message.data)
            except ValidationError:
                log.info("websocket_message_refused", login=client.person.login, size=len(message.data))
                client.close(CLOSE_BAD_MESSAGE)
                return
            match said.op:
                case "subscribe":
                    await self._follow(client, said.topic)
                case "unsubscribe":
                    self._unfollow(client, said.topic)
                case "ping":
                    client.offer(_PONG)

    async def _follow(self, client: Connection, name: str) -> None:
        full = name not in client.topics and len(client.topics) >= self._limits.subscriptions
        if full or not self.may_follow(client.person, name):
            client.offer(_frame({"topic": name, "kind": "refused"}))
            return
        kind, _, key = name.partition(":")
        followed = self._followed.setdefault(name, _Followed())
        followed.clients.add(client)
        held: list[tuple[int, bytes]] = []
        client.topics[name] = held
        try:
            snapshot = await self._snapshot(kind, key, followed)
        except Exception:
            # One of the three edges where a failure is contained: the browser comes back for another snapshot.
            log.exception("snapshot_failed", topic=name)
            client.close(CLOSE_TOO_SLOW)
            return
        client.offer(snapshot.frame)
        client.topics[name] = None
        for seq, frame in held:
            if seq > snapshot.seq:
                client.offer(frame)

    async def _snapshot(self, kind: str, key: str, followed: _Followed) -> _Snapshot:
        """A snapshot not older than this moment: one for all who ask at once, as after a restart everybody does.

        The last one will do while nothing was published after it; for a second, as some tell how old their data is.
        """
        joined = followed.seq  # what is published from now on is held back for the one who asks
        while followed.making is not None:
            made = await asyncio.shield(followed.making)  # who gives up must not take it from the others
            if made is not None and made.seq >= joined:
                return made
        last = followed.snapshot
        if last is not None and last.seq >= joined and self._age_s(last) <= self._limits.snapshot_shared_s:
            return last
        return await self._make_snapshot(kind, key, followed)

    def _age_s(self, snapshot: _Snapshot) -> float:
        return self._clock.monotonic() - snapshot.made_at

    async def _make_snapshot(self, kind: str, key: str, followed: _Followed) -> _Snapshot:
        followed.making = making = asyncio.get_running_loop().create_future()
        try:
            for _ in range(_SNAPSHOT_TRIES):
                seq = followed.seq
                data = await self._topics[kind].snapshot(key)
                if followed.seq == seq:
                    break  # nothing changed while it was made, so it is of one moment
            frame = _frame({"topic": f"{kind}:{key}", "kind": "snapshot", "seq": seq, "data": data})
            followed.snapshot = _Snapshot(seq, frame, self._clock.monotonic())
            making.set_result(followed.snapshot)
            return followed.snapshot
        except Exception as error:
            making.set_exception(error)
            making.exception()  # nobody else may have waited, which is fine
            raise
        finally:
            followed.making = None
            if not making.done():  # anyone who made it gave up: the next one makes another
                making.set_result(None)

    def _unfollow(self, client: Connection, name: str) -> None:
        client.topics.pop(name, None)
        followed = self._followed.get(name)
        if followed is not None:
            followed.clients.discard(client)
            if not followed.clients:
                del self._followed[name]


def _frame(data: dict[str, Json]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


_PONG = _frame({"kind": "pong"})


def _digest(secret: str) -> str:
    # Looked up by hash, so that the time a look-up takes says nothing of the secrets.
    return hashlib.sha256(secret.encode()).hexdigest()
