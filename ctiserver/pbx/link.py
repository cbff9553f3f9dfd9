"""The link to one Asterisk: panoramisk carries the connection and its actions, our own protocol class the bytes.

Only this module knows panoramisk, and uses of it what does not leak (docs/explanation/calls.md): one Manager per
connection, no ``username``, never ``Manager.connect``, no reconnecting and no replaying by the library.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.manager import Manager
from panoramisk.message import Message as Answer

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.errors import DeadlineExceeded, PbxRefused, PeerLost, UnsafeValue, UserFault
from ctiserver.model.events import CallSummary, MemberChanged, PbxDown, PbxUp
from ctiserver.model.ids import Interface, PbxName
from ctiserver.model.tracking.book import Sides
from ctiserver.model.tracking.standing import Standing
from ctiserver.pbx.actions import Actions
from ctiserver.pbx.codec import AmiDecoder, Message, Wanted, refuse_unsafe
from ctiserver.pbx.gauges import PBX_UP, Tally
from ctiserver.pbx.intake import Intake
from ctiserver.pbx.resync import Ask, epoch_of, identify, take_snapshot
from ctiserver.pbx.translate import WANTED
from ctiserver.settings import PbxSettings

log = structlog.get_logger(__name__)

#: What the link itself wants to hear: that the PBX is up, and the rows of the lists it asks for.
_WANTED = WANTED | dict.fromkeys(
    (
        b"FullyBooted",
        b"CoreShowChannel",
        b"CoreShowChannelsComplete",
        b"QueueParams",
        b"QueueEntry",
        b"QueueStatusComplete",
        b"DBGetTreeResponse",
        b"DBGetTreeComplete",
    ),
    b"",
)
#: Events that may wait while a snapshot is taken; more means that we can't keep up, and the link starts anew.
_LONGEST_BUFFER = 100_000


class _AmiProtocol(AMIProtocol):  # type: ignore[misc]  # panoramisk has no types
    """Bytes through our codec; answers to their actions, everything else to ``heard``."""

    def __init__(self, heard: Callable[[Message], None], wanted: Wanted | None) -> None:
        self.decoder = AmiDecoder(wanted)
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._heard = heard
        self._answers: dict[str, list[Message]] = {}
        self.received = 0  #: bytes

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        for message in self.decoder.feed(data):
            action = self.responses.get(message.get("ActionID"))
            if action is not None:
                self._answered(action, message)
            elif message.name:
                self._heard(message)

    def _answered(self, action: Any, message: Message) -> None:
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
        return super().send(data, as_list=as_list)

    def answers(self, action: Any) -> list[Message]:
        """What was answered to an action that is done."""
        return self._answers.pop(action.id, [])

    def forget(self, action: Any) -> None:
        """No answer is awaited any more."""
        self.responses.pop(action.id, None)

    def connection_lost(self, exc: Exception | None) -> None:
        # Not panoramisk's: that one would put our actions aside, and send them again after a reconnect.
        self._end("the PBX closed the connection" if exc is None else f"the connection broke: {exc}")

    def close(self) -> None:
        self._end("the link was closed")
        self.transport.abort()  # a peer that has stopped reading must not keep the socket open

    def _end(self, reason: str) -> None:
        self.closed = True
        for action in list(self.responses.values()):
            if not action.future.done():
                action.future.set_exception(PeerLost(reason))
        self.responses.clear()
        if not self.lost.done():
            self.lost.set_result(reason)


class PbxLink(Actions):
    """One PBX: a supervised service that keeps the link, and what features may ask of it.

    Publishes PbxUp, PbxDown, every CallEvent and MemberChanged on the bus. After each connect it takes a snapshot and
    reconciles what it knew with it before the events that came meanwhile: PbxUp says that this is done.

    Every action raises PeerLost (no link, or it broke before the answer: whether the PBX acted is not known; nothing
    is sent again by itself), DeadlineExceeded (no answer in ``action_timeout_s``), PbxRefused, and UnsafeValue for a
    text with CR, LF or NUL, before anything is sent.
    """

    def __init__(self, name: PbxName, settings: PbxSettings, bus: Bus, clock: Clock) -> None:
        self._name = name
        self._settings = settings
        self._bus = bus
        self._clock = clock
        trunks = frozenset(
            Interface(f"{technology}/{trunk}")
            for trunk in settings.trunks
            for technology in ("PJSIP", "SIP", "IAX2", "DAHDI")
        )
        self._intake = Intake(name, Sides(trunks=trunks), midstream=False, now=self._now)
        self._tally = Tally(name)
        self._protocol: _AmiProtocol | None = None
        self._manager: Any = None
        self._buffer: deque[Message] | None = None
        self._uptime: str | None = None
        self._booted = asyncio.Event()
        self._ready = asyncio.Event()
        self._started: str | None = None
        self._tried = False
        self._consumed: Counter[str] = Counter()
        self.version = ""
        self.since = clock.now()  #: since when the link is what it is now: up, or down and what is known gets old

    @property
    def name(self) -> PbxName:
        """Its name in ctiserver.yaml."""
        return self._name

    @property
    def up(self) -> bool:
        """Whether the link is up and what is known of the PBX is true."""
        return self._ready.is_set()

    async def ready(self) -> None:
        """Wait until the link is up."""
        await self._ready.wait()

    def calls(self) -> list[CallSummary]:
        """The calls that go on, oldest first, as far as they are known now."""
        return [call.summary(complete=False) for call in self._intake.tracker.going_on()]

    def standings(self, interface: Interface) -> list[Standing]:
        """Every channel that a phone has now, those that talk first."""
        return self._intake.tracker.standings(interface)

    def members(self) -> list[MemberChanged]:
        """Every seat in every queue, as app_queue has it now."""
        return list(self._intake.seats.known.values())

    @property
    def calls_now(self) -> int:
        """How many calls go on, as far as is known."""
        return len(self._intake.tracker.going_on())

    def consumed(self) -> Mapping[str, int]:
        """How many events of each name were taken in since the start."""
        return self._consumed

    def counters(self) -> Mapping[str, int]:
        """Since the start: what could not be read, what broke, what was about channels that are not known."""
        if self._protocol is not None:
            self._tally.take(self._protocol.decoder)
        return {
            "unparsable": self._tally.unparsable,
            "broken": self._intake.broken,
            "ignored": self._intake.tracker.ignored,
        }

    # -- the service --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the link, until cancelled.

        Raises UserFault for what trying again does not mend: a refused log-in, a missing right, an Asterisk too old;
        but only of the first try, when the server starts. Later it tries on all the same: a secret that was changed
        over there, or an upgrade, must not end a server that leads the calls of other PBXs, and tells its agents what
        is the matter.
        """
        delay_s = self._settings.reconnect_first_s
        while True:
            refused = False
            try:
                await self._connected()
            except (OSError, PeerLost, DeadlineExceeded) as error:
                reason = str(error) or type(error).__name__
            except (UserFault, PbxRefused) as error:
                fault = error if isinstance(error, UserFault) else self._lacks_rights(error)
                if not self._tried:
                    raise fault from error
                refused, reason = True, str(fault)
                log.error("pbx_refuses_us", pbx=self._name, why=reason)
            finally:
                was_up = self.up
                self._down()
            self._tried = True
            if was_up:
                delay_s = self._settings.reconnect_first_s
                self._bus.publish(PbxDown(pbx=self._name, at=self._clock.now(), reason=reason))
            wait_s = delay_s * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, not a secret
            log.warning("pbx_link_down", pbx=self._name, reason=reason, retry_in_s=round(wait_s, 2))
            await asyncio.sleep(wait_s)
            delay_s = (
                self._settings.reconnect_longest_s if refused else min(delay_s * 2, self._settings.reconnect_longest_s)
            )

    async def _connected(self) -> None:
        """One connection, from connecting to its loss, which is raised."""
        self._buffer = deque()
        protocol = await self._open(self._heard, _WANTED)
        try:
            await self._log_in()
            await self._synchronise()
            log.info("pbx_link_up", pbx=self._name, version=self.version)
            while True:
                await asyncio.wait([protocol.lost], timeout=self._settings.ping_every_s)
                if protocol.lost.done():
                    raise PeerLost(protocol.lost.result())
                self._tally.take(protocol.decoder)
                await self._ping(protocol)
        finally:
            self._tally.take(protocol.decoder)
            self._manager.close()

    async def _ping(self, protocol: _AmiProtocol) -> None:
        """Raises DeadlineExceeded where nothing at all came: in a storm of events the answer waits behind them."""
        before = protocol.received
        try:
            await self._ask("Ping", timeout_s=self._settings.ping_timeout_s)
        except DeadlineExceeded:
            if protocol.received == before:
                raise

    @asynccontextmanager
    async def asking(self, heard: Callable[[Message], None] = lambda _: None) -> AsyncIterator[Ask]:
        """Log in for questions alone, instead of :meth:`run`: no snapshot, nothing is followed or published.

        Gives the way to ask; every event goes to ``heard``. Raises OSError, DeadlineExceeded, PeerLost where nobody
        answers, and UserFault for a refused log-in.
        """

        def take(message: Message) -> None:
            if message.name == "FullyBooted":
                self._booted.set()
            heard(message)

        await self._open(take, None)
        try:
            await self._log_in()
            yield self._ask
        finally:
            self._manager.close()
            self._down()

    def _down(self) -> None:
        if self.up:
            self.since = self._clock.now()
        self._ready.clear()
        PBX_UP.labels(self._name).set(0)
        self._protocol = None
        self._manager = None
        self._buffer = None

    async def _open(self, heard: Callable[[Message], None], wanted: Wanted | None) -> _AmiProtocol:
        loop = asyncio.get_running_loop()
        settings = self._settings
        self._booted.clear()
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                connection = await loop.create_connection(
                    lambda: _AmiProtocol(heard, wanted), settings.host, settings.port
                )
        except TimeoutError:
            raise DeadlineExceeded(f"no connection to {settings.host}:{settings.port} in time") from None
        self._manager = Manager(host=settings.host, port=settings.port, encoding="utf8", loop=loop)
        finished = loop.create_future()
        finished.set_result(connection)
        self._manager.connection_made(finished)
        self._manager.pinger.cancel()  # it would ping without looking for an answer
        self._protocol = connection[1]
        return connection[1]

    async def _log_in(self) -> None:
        secret = self._settings.secret.get_secret_value()
        try:
            await self._ask("Login", {"Username": self._settings.username, "Secret": secret, "Events": "on"})
        except (PbxRefused, UnsafeValue) as refusal:
            raise UserFault(
                f"the PBX refused the AMI log-in of {self._settings.username}: {refusal}",
                where=self._setting("secret_file"),
                fix=f"Make secret and username those of manager.conf on {self._settings.host}",
            ) from None
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await self._booted.wait()
        except TimeoutError:
            raise DeadlineExceeded(
                f"the PBX does not say FullyBooted: it is still starting, or the AMI account "
                f"{self._settings.username} lacks `system` in its `read =`"
            ) from None

    def _lacks_rights(self, refusal: PbxRefused) -> UserFault:
        return UserFault(
            f"the AMI account {self._settings.username} may not do what is needed: {refusal}",
            where=self._setting("username"),
            fix="Give it the classes of the shipped config/manager.conf",
        )

    def _setting(self, key: str) -> str:
        return f"ctiserver.yaml: pbxs.{self._name}.{key}"

    async def _synchronise(self) -> None:
        """Snapshot, reconcile, then what was said meanwhile."""
        identity = await identify(self._ask, self._setting("host"))
        restarted = self._started is not None and identity.started != self._started
        snapshot = await take_snapshot(self._ask, self._now(), restarted=restarted)
        now = self._clock.now()
        self.version, self._started = identity.version, identity.started
        for event in self._intake.reconcile(snapshot):
            self._bus.publish(event)
        waiting, self._buffer = self._buffer, None
        for message in waiting or ():
            self._heard(message)
        self._ready.set()
        self.since = now
        PBX_UP.labels(self._name).set(1)
        epoch = epoch_of(now, self._uptime or "")
        self._bus.publish(PbxUp(pbx=self._name, at=now, version=self.version, epoch=epoch, restarted=restarted))

    def _heard(self, message: Message) -> None:
        self._consumed[message.name] += 1
        if message.name == "FullyBooted":
            self._uptime = message.get("Uptime")
            self._booted.set()
        elif self._buffer is not None:
            self._buffer.append(message)
            if len(self._buffer) > _LONGEST_BUFFER and self._manager is not None:
                log.error("pbx_buffer_full", pbx=self._name)
                self._manager.close()
        else:
            for event in self._intake.take(message):
                self._bus.publish(event)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    # -- actions ------------------------------------------------------------------------------------------------

    async def _ask(
        self,
        action: str,
        fields: Mapping[str, str | Sequence[str]] | None = None,
        *,
        as_list: bool = False,
        timeout_s: float | None = None,
    ) -> list[Message]:
        """Send an action and wait for its answer: for a list all rows, else the response alone."""
        protocol, manager = self._protocol, self._manager
        if protocol is None or protocol.closed:
            raise PeerLost(f"there is no link to the PBX {self._name}")
        order = Action({"Action": action, **(fields or {})}, as_list=as_list)
        limit_s = self._settings.action_timeout_s if timeout_s is None else timeout_s
        future = manager.send_action(order, as_list=as_list)
        try:
            async with asyncio.timeout(limit_s):
                await future
        except TimeoutError:
            raise DeadlineExceeded(f"the PBX {self._name} did not answer {action} within {limit_s:g} s") from None
        finally:
            protocol.forget(order)
            answers = protocol.answers(order)
        if answers[0].get("Response") == "Error":
            raise PbxRefused(answers[0].get("Message") or f"{action} was refused")
        return answers

    async def _order(self, action: str, /, **fields: str | Sequence[str]) -> None:
        self._must_be_up()
        await self._ask(action, fields)

    async def _answer(self, action: str, /, **fields: str) -> Message:
        self._must_be_up()
        return (await self._ask(action, fields))[0]

    async def _list(self, action: str, /, **fields: str) -> list[Message]:
        self._must_be_up()
        return [row for row in await self._ask(action, fields, as_list=True) if row.name]

    def _must_be_up(self) -> None:
        if not self.up:
            raise PeerLost(f"there is no link to the PBX {self._name}")
