"""Lines of phones in browsers: who may have one, and the SIP that passes over each."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from aiohttp import ClientWebSocketResponse, WSMsgType, web

from ctiserver import net
from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.features.telephony.phones import Phones
from ctiserver.features.telephony.sip import Dialogue, SipAccount, SipRefused
from ctiserver.model.ids import AgentId, UserId
from ctiserver.settings import BrowserPhoneSettings
from ctiserver.web.access import agent_of
from ctiserver.web.allowance import Allowance
from ctiserver.web.problems import Away, NotFound

log = structlog.get_logger(__name__)

PROTOCOL = "sip"  # RFC 7118
#: A line that no browser opens within this is forgotten.
_OPENED_WITHIN_S = 30.0
_MESSAGE_MAX_BYTES = 64 * 1024
#: A phone registers, calls, holds and transfers with some messages each.
_MESSAGES_AT_ONCE = 100
_MESSAGES_A_SECOND = 10.0
_HEARTBEAT_S = 10.0
_TOLD_EVERY_S = 60.0
_CLOSE_POLICY = 1008
_CLOSE_RESTART = 1012
_CLOSE_AWAY = 1013
_CLOSE_LOGGED_OUT = 4401


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SipTunnel:
    """What a browser needs to be a phone. It opens one WebSocket, once, soon; that ends with the log-in session."""

    ticket: str
    user_id: UserId
    agent_id: AgentId
    account: SipAccount
    settings: BrowserPhoneSettings
    ends_at: datetime
    good_until: float  #: monotonic seconds
    over: asyncio.Event = field(default_factory=asyncio.Event)  #: the account was logged out


class Lines:
    """Every browser's line to the PBX."""

    def __init__(self, phones: Phones, clock: Clock, *, lost: Callable[[AgentId], None]) -> None:
        """``lost`` is told when an agent's last line is gone without the server having ended it; it must not wait."""
        self._phones = phones
        self._clock = clock
        self._lost = lost
        self._given: dict[str, SipTunnel] = {}  #: by their ticket, until they are opened
        self._open: dict[web.WebSocketResponse, SipTunnel] = {}
        self._closing = False
        self._told_at: dict[AgentId, float] = {}  #: when the log last heard of a line's misuse

    def connected(self, agent_id: AgentId) -> bool:
        """Whether a browser of this agent has a line open."""
        return any(line.agent_id == agent_id for line in self._open.values())

    def give(self, user_id: UserId, agent_id: AgentId, ends_at: datetime) -> SipTunnel:
        """A new line, good until ``ends_at``. Raises UserFault if the agent's phone is none for browsers."""
        phone = self._phones.browser_phone(self._phones.agent(agent_id))
        if phone is None:
            raise UserFault(
                f"the phone of {agent_id} is not a browser phone",
                where="setting browser_phones",
                fix="Name the PBX's WebSocket there, and the phone's password in its secrets_file",
            )
        name, settings = phone
        now = self._clock.monotonic()
        self._given = {ticket: line for ticket, line in self._given.items() if line.good_until > now}
        line = SipTunnel(
            ticket=secrets.token_urlsafe(32),
            user_id=user_id,
            agent_id=agent_id,
            account=SipAccount(name, secrets.token_urlsafe(24), settings.secrets[name].get_secret_value()),
            settings=settings,
            ends_at=ends_at,
            good_until=now + _OPENED_WITHIN_S,
        )
        self._given[line.ticket] = line
        return line

    def log_out(self, user_id: UserId) -> None:
        """End every line of an account."""
        self._given = {ticket: line for ticket, line in self._given.items() if line.user_id != user_id}
        for line in self._open.values():
            if line.user_id == user_id:
                line.over.set()

    async def run(self) -> None:
        """Until the server stops: then every line is closed with the word that it will be back."""
        try:
            await asyncio.Event().wait()
        finally:
            self._closing = True
            for socket in list(self._open):
                with suppress(Exception):  # one that is gone already, in whatever way, keeps no other from being told
                    await socket.close(code=_CLOSE_RESTART, message=b"restart")

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One browser's SIP, from its WebSocket to the PBX's and back. The server has checked Origin and session."""
        agent_id = agent_of(request)
        line = self._given.pop(request.query.get("line", ""), None)
        if line is None or line.agent_id != agent_id or line.good_until < self._clock.monotonic():
            raise NotFound("this phone line does not exist or has expired; request a new one")
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,),
            heartbeat=_HEARTBEAT_S,
            max_msg_size=_MESSAGE_MAX_BYTES,
            compress=False,
            timeout=1.0,
        )
        try:
            async with net.websocket(
                line.settings.url, PROTOCOL, timeout_s=line.settings.connect_timeout_s
            ) as upstream:
                await socket.prepare(request)
                self._open[socket] = line
                try:
                    await self._pass_on(socket, upstream, line)
                finally:
                    del self._open[socket]
                    if not self._closing and not self.connected(agent_id):
                        self._lost(agent_id)
        except net.RequestFailed as error:
            log.warning("phone_line_refused", agent=agent_id, reason=str(error))
            if not socket.prepared:
                raise Away("the PBX's WebSocket does not answer") from None
        return socket

    async def _pass_on(self, socket: web.WebSocketResponse, upstream: ClientWebSocketResponse, line: SipTunnel) -> None:
        dialogue = Dialogue(line.account)
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(self._from_pbx(socket, upstream, dialogue)),
                group.create_task(self._until_over(socket, line)),
            ]
            try:
                await self._from_browser(socket, upstream, dialogue)
            except SipRefused as error:
                self._misused(line.agent_id, str(error))
                await socket.close(code=_CLOSE_POLICY)
            except ConnectionError:
                pass  # the PBX's side broke under a write; the task beside tells the browser
            for task in beside:
                task.cancel()

    async def _until_over(self, socket: web.WebSocketResponse, line: SipTunnel) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout((line.ends_at - self._clock.now()).total_seconds()):
                await line.over.wait()
        await socket.close(code=_CLOSE_LOGGED_OUT)

    def _misused(self, agent_id: AgentId, reason: str) -> None:
        """One line in the log for each agent and minute: a line costs its owner nothing but a request."""
        now = self._clock.monotonic()
        if now < self._told_at.get(agent_id, float("-inf")) + _TOLD_EVERY_S:
            return
        self._told_at[agent_id] = now
        log.warning("phone_line_misused", agent=agent_id, reason=reason)

    async def _from_browser(
        self, socket: web.WebSocketResponse, upstream: ClientWebSocketResponse, dialogue: Dialogue
    ) -> None:
        allowance = Allowance(_MESSAGES_AT_ONCE, _MESSAGES_A_SECOND)
        async for message in socket:
            if not allowance.take(self._clock.monotonic()):
                raise SipRefused("too many messages")
            if message.type is WSMsgType.BINARY:
                raise SipRefused("a binary message")  # browsers send text
            if message.type is WSMsgType.TEXT and (told := dialogue.to_pbx(message.data)) is not None:
                await upstream.send_str(told)

    async def _from_pbx(
        self, socket: web.WebSocketResponse, upstream: ClientWebSocketResponse, dialogue: Dialogue
    ) -> None:
        try:
            async for message in upstream:
                if message.type is WSMsgType.TEXT:
                    dialogue.from_pbx(message.data)
                    await socket.send_str(message.data)
                elif message.type is WSMsgType.BINARY:
                    dialogue.from_pbx(message.data.decode("utf-8", "replace"))
                    await socket.send_bytes(message.data)
            await socket.close(code=_CLOSE_AWAY)
        except ConnectionError:
            pass  # the browser is gone; its own task notices too
