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
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import structlog
from aiohttp import WSMsgType, web
from pydantic import ValidationError

from ctiserver.clock import Clock
from ctiserver.model.ids import UserId
from ctiserver.model.json_value import Json
from ctiserver.model.person import Role
from ctiserver.web.access import Person
from ctiserver.web.problems import NotLoggedIn
from ctiserver.web.routes import Body

log = structlog.get_logger(__name__)

#: How often a snapshot is made anew because something changed meanwhile. The last one is sent with what changed: then
#: a browser may see an older state once more, but ends at the newest.
_SNAPSHOT_TRIES = 3
CLOSE_GOING_AWAY = 1001
CLOSE_BAD_MESSAGE = 1008
CLOSE_RESTART = 1012  #: "service restart"
CLOSE_TOO_SLOW = 1013
CLOSE_LOGGED_OUT = 4401


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Something that browsers follow, named ``kind:key`` (``presence:agent1``)."""

    kind: str
    roles: frozenset[Role]  #: who may follow topics of this kind at all
    may: Callable[[Person, str], bool]  #: may this person follow the topic with this key?
    snapshot: Callable[[str], Awaitable[Json]]  #: all that is so now, for a key


@dataclass(frozen=True, slots=True, kw_only=True)
class HubLimits:
    """What one browser may cost."""

    queued_frames: int = 256
    queued_bytes: int = 256 * 1024
    subscriptions: int = 64
    send_timeout_s: float = 0.8  #: one frame; a browser that takes none for so long is thrown out
    ticket_s: float = 30.0
    message_max_bytes: int = 4096
    heartbeat_s: float = 20.0


class ClientMessage(Body):
    """What a browser may say. ``ping`` is answered with ``pong``, since pages can't see WebSocket pings."""

    op: Literal["subscribe", "unsubscribe", "ping"]
    topic: str = ""


class _Client:
    """One browser's connection: what is still to be sent, bounded."""

    def __init__(self, person: Person, limits: HubLimits) -> None:
        self.person = person
        self.topics: dict[str, list[str] | None] = {}  #: frames held back until the snapshot is out; None: flowing
        self.close_code: int | None = None
        self.wake = asyncio.Event()
        self._limits = limits
        self._frames: deque[str] = deque()
        self._bytes = 0

    def offer(self, frame: str) -> None:
        """Queue a frame; the one that does not fit ends the connection instead."""
        if self.close_code is not None:
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        if len(self._frames) > self._limits.queued_frames or self._bytes > self._limits.queued_bytes:
            self.close(CLOSE_TOO_SLOW)
        self.wake.set()

    def offer_delta(self, topic: str, frame: str) -> None:
        """Queue a delta, or hold it back while its topic's snapshot is being made."""
        held = self.topics.get(topic)
        if held is None:
            self.offer(frame)
        elif len(held) < self._limits.queued_frames:
            held.append(frame)
        else:
            self.close(CLOSE_TOO_SLOW)

    def close(self, code: int) -> None:
        """Send nothing more; end with this code."""
        if self.close_code is None:
            self.close_code = code
        self._frames.clear()
        self._bytes = 0
        self.wake.set()

    def take(self) -> str | None:
        """The next frame to send, if there is one."""
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        return frame


@dataclass(slots=True)
class _Followed:
    """A topic that at least one browser follows."""

    seq: int = 0
    clients: set[_Client] = field(default_factory=set)


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
        self._clients: set[_Client] = set()
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

    def publish(self, kind: str, key: str, event: str, data: Json) -> int:
        """Send a delta to all who follow ``kind:key``; how many those are. Never waits."""
        if kind not in self._topics:
            raise ValueError(f"no topic is named {kind}")
        name = f"{kind}:{key}"
        followed = self._followed.get(name)
        if followed is None:
            return 0
        followed.seq += 1
        frame = _frame({"topic": name, "kind": "delta", "seq": followed.seq, "event": event, "data": data})
        for client in followed.clients:
            client.offer_delta(name, frame)
        return len(followed.clients)

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
        limits = self._limits
        socket = web.WebSocketResponse(
            timeout=limits.send_timeout_s,
            heartbeat=limits.heartbeat_s,
            max_msg_size=limits.message_max_bytes,
            compress=False,
        )
        await socket.prepare(request)
        client = _Client(ticket.person, limits)
        self._clients.add(client)
        left_s = (ticket.session_ends_at - self._clock.now()).total_seconds()
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send(socket, client, request))
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

    async def _read(self, socket: web.WebSocketResponse, client: _Client) -> None:
        async for message in socket:
            if client.close_code is not None:
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
                    client.offer('{"kind":"pong"}')

    async def _follow(self, client: _Client, name: str) -> None:
        if not self.may_follow(client.person, name) or len(client.topics) >= self._limits.subscriptions:
            client.offer(_frame({"topic": name, "kind": "refused"}))
            return
        kind, _, key = name.partition(":")
        followed = self._followed.setdefault(name, _Followed())
        followed.clients.add(client)
        held: list[str] = []
        client.topics[name] = held
        try:
            for _ in range(_SNAPSHOT_TRIES):
                held.clear()
                seq = followed.seq
                data = await self._topics[kind].snapshot(key)
                if not held:
                    break  # nothing changed while it was made, so it is of one moment
        except Exception:
            # One of the three edges where a failure is contained: the browser comes back for another snapshot.
            log.exception("snapshot_failed", topic=name)
            client.close(CLOSE_TOO_SLOW)
            return
        client.offer(_frame({"topic": name, "kind": "snapshot", "seq": seq, "data": data}))
        client.topics[name] = None
        for frame in held:
            client.offer(frame)

    def _unfollow(self, client: _Client, name: str) -> None:
        client.topics.pop(name, None)
        followed = self._followed.get(name)
        if followed is not None:
            followed.clients.discard(client)
            if not followed.clients:
                del self._followed[name]

    async def _send(self, socket: web.WebSocketResponse, client: _Client, request: web.Request) -> None:
        while True:
            frame = client.take()
            if frame is None:
                if client.close_code is not None:
                    break
                client.wake.clear()
                await client.wake.wait()
                continue
            try:
                async with asyncio.timeout(self._limits.send_timeout_s):
                    await socket.send_str(frame)
            except TimeoutError:
                client.close(CLOSE_TOO_SLOW)
            except ConnectionError:
                client.close(CLOSE_GOING_AWAY)
        if client.close_code == CLOSE_TOO_SLOW:
            log.warning("websocket_too_slow", login=client.person.login)
        try:
            async with asyncio.timeout(self._limits.send_timeout_s):
                await socket.close(code=client.close_code or CLOSE_GOING_AWAY)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            # What is still in the transport's buffer will never be read: give its memory back now.
            if request.transport is not None and client.close_code == CLOSE_TOO_SLOW:
                request.transport.abort()


def _frame(data: dict[str, Json]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _digest(secret: str) -> str:
    # Looked up by hash, so that the time a look-up takes says nothing of the secrets.
    return hashlib.sha256(secret.encode()).hexdigest()
