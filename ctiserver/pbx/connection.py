"""One connection to an AMI: panoramisk carries it and its actions, our own protocol class the bytes.

Only this module knows panoramisk, and uses of it what does not leak (docs/explanation/calls.md): one Manager per
connection, no ``username``, never ``Manager.connect``, no reconnecting and no replaying by the library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.manager import Manager
from panoramisk.message import Message as Answer

from ctiserver.errors import DeadlineExceeded, PbxRefused
from ctiserver.pbx import trouble
from ctiserver.pbx.authenticity import Authenticity, PbxNow
from ctiserver.pbx.codec import GREETING, AmiDecoder, AmiMessage, Wanted, refuse_unsafe
from ctiserver.pbx.resync import dialplan_key
from ctiserver.pbx.trouble import PbxAway
from ctiserver.settings import PbxSettings
from ctiserver.system_name import is_secret

#: How an AMI greets, its version aside; a proxy for AMI adds its own name.
_GREETS = b"Asterisk Call Manager"


class AmiProtocol(AMIProtocol):  # type: ignore[misc]  # panoramisk has no types
    """Bytes through our codec; answers to their actions, everything else to ``heard``."""

    def __init__(self, heard: Callable[[AmiMessage], None], wanted: Wanted | None, now: PbxNow) -> None:
        self.guard = Authenticity(now, lambda action: action in self.responses)
        self.decoder = AmiDecoder(wanted, guard=self.guard)
        self.lost: asyncio.Future[PbxAway] = asyncio.get_running_loop().create_future()
        self._heard = heard
        self._answers: dict[str, list[AmiMessage]] = {}
        self.received = 0  #: bytes
        self.first = b""  #: what was said first, as far as it tells who answers
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.shutting_down = False  #: it said that it ends now

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if not self.greeted.done():
            self.first += data[:60]
            if len(self.first) >= len(GREETING) or b"\n" in self.first:
                self.greeted.set_result(None)
        for message in self.decoder.feed(data):
            action = self.responses.get(message.get("ActionID"))
            if action is not None:
                self._answered(action, message)
            elif message.name:
                self._heard(message)

    def _answered(self, action: Any, message: AmiMessage) -> None:
        answers = self._answers.setdefault(action.id, [])
        answers.append(message)
        headers = {key: message.get(key) for key in ("Event", "Response", "Message", "EventList")}
        # panoramisk waits for ever for the list that follows a refused list action.
        refused = len(answers) == 1 and headers["Response"] == "Error"
        if action.add_message(Answer({key: value for key, value in headers.items() if value})) or refused:
            self.forget(action)
            if not action.future.done():
                action.future.set_result(None)

    def send(self, data: Any, as_list: bool = False) -> Any:
        for key, value in data.items():
            for one in value if isinstance(value, list) else [value]:
                refuse_unsafe(key, str(one))
        if self.guard.systemname and "ChannelId" in data:  # as the PBX does with ids of its own
            data["ChannelId"] = f"{self.guard.systemname}-{data['ChannelId']}"
        return super().send(data, as_list=as_list)

    def answers(self, action: Any) -> list[AmiMessage]:
        """What was answered to an action that is done."""
        return self._answers.pop(action.id, [])

    def forget(self, action: Any) -> None:
        """No answer is awaited any more."""
        self.responses.pop(action.id, None)

    def connection_lost(self, exc: Exception | None) -> None:
        # Not panoramisk's: that one would put our actions aside, and send them again after a reconnect.
        if self.shutting_down:
            self._end(PbxAway("stopping", "Asterisk was stopped, or is being restarted"))
        else:
            why = "the PBX closed the connection" if exc is None else f"the connection broke: {exc}"
            self._end(PbxAway("lost", why))

    def close(self) -> None:
        self._end(PbxAway("lost", "the link was closed"))
        self.transport.abort()  # a peer that has stopped reading must not keep the socket open

    def _end(self, reason: PbxAway) -> None:
        self.closed = True
        for action in list(self.responses.values()):
            if not action.future.done():
                action.future.set_exception(PbxAway(reason.kind, str(reason)))
        self.responses.clear()
        if not self.lost.done():
            self.lost.set_result(reason)
        if not self.greeted.done():
            self.greeted.set_result(None)


class AmiConnection:
    """A connection that stands; one that is lost is not made again."""

    def __init__(self, settings: PbxSettings, protocol: AmiProtocol, manager: Any) -> None:
        self._settings = settings
        self._manager = manager
        self.protocol = protocol

    @classmethod
    async def open(
        cls,
        settings: PbxSettings,
        where: str,
        heard: Callable[[AmiMessage], None],
        wanted: Wanted | None,
        *,
        now: PbxNow = lambda: None,
    ) -> AmiConnection:
        """Connect. ``where`` is the setting of the port; every event that is Asterisk's own goes to ``heard``. ``now``
        is the PBX's time, None while it is not known.

        Raises PbxAway; PbxFault where another program answers.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                made = await loop.create_connection(
                    lambda: AmiProtocol(heard, wanted, now), settings.host, settings.port
                )
        except TimeoutError:
            raise PbxAway("unreachable", f"no connection to {settings.host}:{settings.port} in time") from None
        except OSError as error:
            raise trouble.unreachable(settings, error) from None
        manager = Manager(host=settings.host, port=settings.port, encoding="utf8", loop=loop)
        finished = loop.create_future()
        finished.set_result(made)
        manager.connection_made(finished)
        manager.pinger.cancel()  # it would ping without looking for an answer
        connection = cls(settings, made[1], manager)
        try:
            await connection._greeted(where)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _greeted(self, where: str) -> None:
        """Asterisk speaks first: what says something else, or nothing, is told no secret."""
        protocol, settings = self.protocol, self._settings
        await asyncio.wait([protocol.greeted], timeout=settings.connect_timeout_s)
        if protocol.first.startswith(_GREETS):
            return
        if protocol.first:
            raise trouble.not_asterisk(settings, protocol.first, where)
        if protocol.lost.done():
            why = f"{protocol.lost.result()} before it said anything: see `authlimit` in manager.conf"
            raise PbxAway("lost", why)
        raise trouble.silent(
            settings, "accepts connections but sends nothing: it hangs, or this is a port for TLS (`tlsbindaddr`)"
        )

    async def learn_signs(self, systemname: str) -> bool:
        """By what the PBX's own events are known from now on; whether that is something new."""
        guard = self.protocol.guard
        before = guard.systemname, guard.key
        guard.systemname = systemname if is_secret(systemname) else ""
        guard.key = await dialplan_key(self.ask)
        return before != (guard.systemname, guard.key)

    def close(self) -> None:
        """End it at once."""
        self._manager.close()

    async def ask(
        self,
        action: str,
        fields: Mapping[str, str | Sequence[str]] | None = None,
        *,
        as_list: bool = False,
        timeout_s: float | None = None,
    ) -> list[AmiMessage]:
        """Send an action and wait for its answer: for a list all rows, else the response alone.

        Raises PbxRefused, UnsafeValue; DeadlineExceeded; PbxAway where the connection is lost, and for an Asterisk
        that shuts down: it does nothing that it is asked then.
        """
        protocol = self.protocol
        if protocol.closed:
            raise PbxAway("lost", "the connection to the PBX is closed")
        order = Action({"Action": action, **(fields or {})}, as_list=as_list)
        limit_s = self._settings.action_timeout_s if timeout_s is None else timeout_s
        future = self._manager.send_action(order, as_list=as_list)
        try:
            async with asyncio.timeout(limit_s):
                await future
        except TimeoutError:
            raise DeadlineExceeded(f"the PBX did not answer {action} within {limit_s:g} s") from None
        finally:
            protocol.forget(order)
            answers = protocol.answers(order)
        if answers[0].get("Response") == "Error":
            refusal = answers[0].get("Message") or f"{action} was refused"
            if refusal.startswith(trouble.SHUTTING_DOWN):
                raise trouble.stopping()
            raise PbxRefused(refusal)
        return answers
