"""The link to one Asterisk: connects, asks for all that there is, listens, notices when it is gone, and comes back."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.errors import DeadlineExceeded, PbxRefused, PeerLost, UnsafeValue
from ctiserver.model.calls.tracking.book import Sides
from ctiserver.model.calls.tracking.standing import ChannelState
from ctiserver.model.events import CallSummary, MemberChanged, PbxDown, PbxEvent, PbxTroubled, PbxUp
from ctiserver.model.ids import Interface, PbxName
from ctiserver.pbx import trouble
from ctiserver.pbx.actions import Actions
from ctiserver.pbx.codec import AmiMessage, Wanted
from ctiserver.pbx.connection import AmiConnection
from ctiserver.pbx.first_tries import FirstTries
from ctiserver.pbx.gauges import PBX_UP, Tally
from ctiserver.pbx.intake import Intake
from ctiserver.pbx.resync import Ask, ProcessMark, allowed_actions, epoch_of, identify, refuse_old, take_snapshot
from ctiserver.pbx.translate import WANTED
from ctiserver.pbx.trouble import PbxAway, PbxFault, Trouble, TroubleKind
from ctiserver.settings import PbxSettings

log = structlog.get_logger(__name__)

#: What the link itself wants to hear: that the PBX is up, ends or was changed, and the rows of the lists it asks for.
_WANTED = WANTED | dict.fromkeys(
    (
        b"FullyBooted",
        b"Shutdown",
        b"Reload",
        b"Load",
        b"Unload",
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
#: Events that may wait while a snapshot is taken; more means that we can't keep up, and the link restarts.
_LONGEST_BUFFER = 100_000
_SECONDS = re.compile(r"\d{1,10}(\.\d+)?")
#: Modules whose loading, unloading or reloading changes what is known of the PBX without an event of its own: queues
#: and their members come and go, global variables are forgotten.
_CHANGING = frozenset({"All", "app_queue.so", "app_queue", "pbx_config.so", "pbx_config"})


class PbxLink(Actions):
    """One PBX: a supervised service that keeps the link, and what features may ask of it.

    Publishes PbxUp, PbxDown, every CallEvent and MemberChanged on the bus. After each connect it takes a snapshot and
    reconciles what it knew with it before the events that came meanwhile: PbxUp says that this is done.

    Every action raises PeerLost (no link, or it broke before the answer: whether the PBX acted is not known; nothing
    is sent again by itself), DeadlineExceeded (no answer in ``action_timeout_s``), PbxRefused, and UnsafeValue for a
    text with CR, LF or NUL, before anything is sent.
    """

    def __init__(
        self, name: PbxName, settings: PbxSettings, bus: Bus, clock: Clock, first_tries: FirstTries | None = None
    ) -> None:
        """``first_tries`` is shared by all links of a server; without it, this PBX is the only one."""
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
        self._connection: AmiConnection | None = None
        self._buffer: deque[AmiMessage] | None = None
        self._uptime: str | None = None
        self._booted = asyncio.Event()
        self._ready = asyncio.Event()
        self._started: str | None = None
        self._mark = ProcessMark()
        self._first_tries = first_tries or FirstTries([name])
        self._was_up = False
        self._changed = asyncio.Event()  #: something of the PBX was changed that no event tells
        self.trouble: Trouble | None = None  #: what is wrong with it, link up or down; None: nothing is known to be
        self._ahead_s: float | None = None  #: how far the PBX's clock is ahead of ours; None: not known yet
        self._consumed: Counter[str] = Counter()
        self.version = ""
        self.systemname = ""  #: the PBX's, where it is a secret; empty: events are judged by their looks
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

    def current_events(self) -> list[PbxEvent]:
        """What a new subscriber would be told: every seat, and the calls that go on. Asks nobody."""
        return self._intake.current_events()

    def standings(self, interface: Interface) -> list[ChannelState]:
        """Every channel that a phone has now, those that talk first."""
        return self._intake.tracker.standings(interface)

    def members(self) -> list[MemberChanged]:
        """Every seat in every queue, as app_queue has it now."""
        return list(self._intake.seats.known.values())

    @property
    def signs(self) -> tuple[str, ...]:
        """The secret systemnames that the PBX has and had, as far as is known, the present one first."""
        return tuple(dict.fromkeys(filter(None, (self.systemname, *self._settings.systemnames))))

    @property
    def calls_now(self) -> int:
        """How many calls go on, as far as is known."""
        return len(self._intake.tracker.going_on())

    def consumed(self) -> Mapping[str, int]:
        """How many events of each name were taken in since the start."""
        return self._consumed

    def counters(self) -> Mapping[str, int]:
        """Since the start: what could not be read, what broke, what was about channels that are not known."""
        if self._connection is not None:
            self._tally.take(self._connection.protocol.decoder, self._connection.protocol.guard)
        return {
            "unparsable": self._tally.unparsable,
            "refused": self._tally.refused.total(),
            "broken": self._intake.broken,
            "ignored": self._intake.tracker.ignored,
        }

    # -- the service --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the link, until cancelled.

        Raises PbxFault for what trying again does not mend (a refused log-in, a missing right, an Asterisk too old),
        but only while the server starts, and only if no other PBX can be served: see FirstTries. Later it tries on,
        whatever this PBX says or does: a secret that was changed over there, an upgrade, an ordinary stop must not
        end a server that leads the calls of other PBXs, and tells its agents what is the matter.
        """
        delay_s = self._settings.reconnect_first_s
        while True:
            fault = False
            try:
                await self._connected()
            except PbxAway as error:
                kind, reason = error.kind, str(error)
                self._first_tries.passed()
            except PbxFault as error:
                kind, reason, fault = error.kind, str(error), True
                if self._first_tries.refused(self._name):
                    raise
            except (OSError, PeerLost, DeadlineExceeded) as error:
                kind, reason = "lost", str(error) or type(error).__name__
                self._first_tries.passed()
            except Exception as error:
                # Whatever a PBX answers, the fault is this link's alone.
                kind, reason = "unreadable", f"what the PBX answered can't be read ({type(error).__name__}: {error})"
                log.exception("pbx_link_failed", pbx=self._name)
                self._first_tries.passed()
            finally:
                was_up = self.up
                self._down()
            self._in_trouble(kind, reason)
            if was_up:
                delay_s = self._settings.reconnect_first_s
                self._bus.publish(PbxDown(pbx=self._name, at=self._clock.now(), reason=reason))
            wait_s = delay_s * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, not a secret
            tell = log.warning if was_up else log.debug  # a PBX that stays away is told of once
            tell("pbx_link_down", pbx=self._name, trouble=kind, reason=reason, retry_in_s=round(wait_s, 2))
            await asyncio.sleep(wait_s)
            delay_s = (
                self._settings.reconnect_longest_s if fault else min(delay_s * 2, self._settings.reconnect_longest_s)
            )

    def _in_trouble(self, kind: TroubleKind, why: str) -> None:
        if self.trouble is None or (self.trouble.kind, self.trouble.why) != (kind, why):
            log.error("pbx_in_trouble", pbx=self._name, trouble=kind, why=why)
            self.trouble = Trouble(kind=kind, why=why, since=self._clock.now())
            self._bus.publish(PbxTroubled(pbx=self._name, at=self.trouble.since))

    async def _connected(self) -> None:
        """One connection, from connecting to its loss, which is raised."""
        self._buffer = deque()
        connection = await self._open(self._heard, _WANTED)
        try:
            await self._log_in()
            await self._synchronise()
            log.info("pbx_link_up", pbx=self._name, version=self.version)
            while True:
                await asyncio.wait([connection.protocol.lost], timeout=self._settings.ping_every_s)
                self._tally.take(connection.protocol.decoder, connection.protocol.guard)
                self._tally.tell(self._clock.monotonic())
                await self._still_there(connection)
        finally:
            self._tally.take(connection.protocol.decoder, connection.protocol.guard)
            connection.close()

    async def _still_there(self, connection: AmiConnection) -> None:
        """Raises PbxAway where the connection is over; asks again for what was changed without an event."""
        if connection.protocol.lost.done():
            raise connection.protocol.lost.result()
        stopping = self.trouble is not None and self.trouble.kind == "stopping"
        try:
            await self._ping(connection)
            if stopping:
                log.info("pbx_stop_called_off", pbx=self._name)
            if stopping or self._changed.is_set():
                await self._again()
        except PbxAway as error:
            if error.kind != "stopping" or connection.protocol.closed:
                raise
            # It refuses every action, and tells all that happens until its last call is over.
            self._in_trouble(error.kind, str(error))
            self._take_buffered()

    async def _again(self) -> None:
        """Ask for everything once more, over the connection that stands."""
        self._changed.clear()
        self._buffer = deque()
        await self._synchronise()

    async def _ping(self, connection: AmiConnection) -> None:
        """Raises PbxAway where nothing at all came: in a storm of events the answer waits behind them."""
        before = connection.protocol.received
        try:
            pong = (await self._ask("Ping", timeout_s=self._settings.ping_timeout_s))[0].get("Timestamp")
            self._ahead_s = float(pong) - self._now() if _SECONDS.fullmatch(pong) else None
        except PbxRefused as refusal:
            log.debug("pbx_ping_refused", pbx=self._name, reason=str(refusal))  # an answer all the same
        except DeadlineExceeded as error:
            if connection.protocol.received == before:
                raise trouble.silent(self._settings, f"answers nothing any more ({error})") from None

    @asynccontextmanager
    async def asking(self, heard: Callable[[AmiMessage], None] = lambda _: None) -> AsyncIterator[Ask]:
        """Log in for questions alone, instead of :meth:`run`: no snapshot, nothing is followed or published.

        Gives the way to ask; every event goes to ``heard``. Raises OSError, DeadlineExceeded, PeerLost where nobody
        answers, and UserFault for a refused log-in.
        """

        def take(message: AmiMessage) -> None:
            if message.name == "FullyBooted":
                self._booted.set()
            heard(message)

        connection = await self._open(take, None)
        try:
            await self._log_in()
            yield self._ask
        finally:
            connection.close()
            self._down()

    def _down(self) -> None:
        if self.up:
            self.since = self._clock.now()
        self._ready.clear()
        PBX_UP.labels(self._name).set(0)
        self._connection = None
        self._buffer = None

    async def _open(self, heard: Callable[[AmiMessage], None], wanted: Wanted | None) -> AmiConnection:
        self._booted.clear()
        self._connection = await AmiConnection.open(
            self._settings, self._setting("port"), heard, wanted, now=self._pbx_now
        )
        return self._connection

    async def _log_in(self) -> None:
        secret = self._settings.secret.get_secret_value()
        try:
            await self._ask("Login", {"Username": self._settings.username, "Secret": secret, "Events": "on"})
        except (PbxRefused, UnsafeValue) as refusal:
            where = self._setting("secret_file")
            raise trouble.login_refused(self._settings, str(refusal), where) from None
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await self._booted.wait()
        except TimeoutError:
            raise PbxAway(
                "starting",
                f"the PBX does not say FullyBooted: it is still starting, or the AMI account "
                f"{self._settings.username} lacks `system` in its `read =`",
            ) from None

    def _setting(self, key: str) -> str:
        return f"ctiserver.yaml: pbxs.{self._name}.{key}"

    async def _needed(self, action: str, *, as_list: bool = False) -> list[AmiMessage]:
        """Ask what the link can't do without. Raises PbxFault where that is refused."""
        try:
            return await self._ask(action, as_list=as_list)
        except PbxRefused as refusal:
            raise trouble.refused(self._settings, action, str(refusal), self._setting("username")) from None

    async def _synchronise(self) -> None:
        """Snapshot, reconcile, then what was said meanwhile.

        What is wrong with a PBX that was up before, and does not make the link useless, is shown and no more: its
        agents need the link however old it has become.
        """
        identity = await identify(self._needed)
        found: PbxFault | None = None
        try:
            refuse_old(identity.version, self._setting("host"))
        except PbxFault as fault:
            if not self._was_up:
                raise
            found = fault
        await self._learn_signs(identity.systemname)
        known = self._started is not None
        restarted = known and (identity.started != self._started or await self._mark.is_gone(self._ask))
        if restarted or not known:
            await self._mark.renew(self._ask, self._uptime or "")
        try:
            snapshot = await take_snapshot(self._needed, self._now(), restarted=restarted)
        except PbxFault as fault:
            if not self._was_up or fault.kind != "no_queues":
                raise
            found = fault
            snapshot = await take_snapshot(self._needed, self._now(), restarted=restarted, queues=False)
        weak = "" if found else trouble.lacking(self._settings, await allowed_actions(self._ask))
        now = self._clock.now()
        self.version, self._started = identity.version, identity.started
        for event in self._intake.reconcile(snapshot):
            self._bus.publish(event)
        self._take_buffered()
        self._first_tries.passed()
        if found is not None:
            self._in_trouble(found.kind, str(found))
        elif weak:
            self._in_trouble("rights", weak)
        elif self.trouble is not None:
            self.trouble = None
            self._bus.publish(PbxTroubled(pbx=self._name, at=now))
        if not self.up:
            self.since = now
        self._ready.set()
        self._was_up = True
        PBX_UP.labels(self._name).set(1)
        epoch = epoch_of(now, self._uptime or "")
        self._bus.publish(PbxUp(pbx=self._name, at=now, version=self.version, epoch=epoch, restarted=restarted))

    async def _learn_signs(self, systemname: str) -> None:
        if self._connection is None:
            raise PeerLost("the link was closed")
        if await self._connection.learn_signs(systemname) and self._buffer:
            self._buffer.clear()  # heard before it was known what is forged; the snapshot is asked for after it
        self.systemname = self._connection.protocol.guard.systemname
        if self.systemname not in (self._settings.systemnames or (self.systemname,))[:1]:
            log.error("pbx_systemname_differs", pbx=self._name, setting=self._setting("systemname_file"))

    def _take_buffered(self) -> None:
        """Take in what was said while a snapshot was awaited."""
        waiting, self._buffer = self._buffer, None
        for message in waiting or ():
            self._heard(message)

    def _heard(self, message: AmiMessage) -> None:
        self._consumed[message.name] += 1
        if message.name == "FullyBooted":
            self._uptime = message.get("Uptime")
            self._booted.set()
        elif message.name == "Shutdown":
            if self._connection is not None:
                self._connection.protocol.shutting_down = True
        elif message.name in ("Reload", "Load", "Unload"):
            if message.get("Module") in _CHANGING:
                self._changed.set()
        elif self._buffer is not None:
            self._buffer.append(message)
            if len(self._buffer) > _LONGEST_BUFFER and self._connection is not None:
                log.error("pbx_buffer_full", pbx=self._name)
                self._connection.close()
        else:
            for event in self._intake.take(message):
                self._bus.publish(event)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _pbx_now(self) -> float | None:
        return None if self._ahead_s is None else self._now() + self._ahead_s

    # -- actions ------------------------------------------------------------------------------------------------

    async def _ask(
        self,
        action: str,
        fields: Mapping[str, str | Sequence[str]] | None = None,
        *,
        as_list: bool = False,
        timeout_s: float | None = None,
    ) -> list[AmiMessage]:
        """See :meth:`Connection.ask`."""
        if self._connection is None:
            raise PeerLost(f"there is no link to the PBX {self._name}")
        return await self._connection.ask(action, fields, as_list=as_list, timeout_s=timeout_s)

    async def _order(self, action: str, /, **fields: str | Sequence[str]) -> None:
        self._must_be_up()
        await self._ask(action, fields)

    async def _answer(self, action: str, /, **fields: str) -> AmiMessage:
        self._must_be_up()
        return (await self._ask(action, fields))[0]

    async def _list(self, action: str, /, **fields: str) -> list[AmiMessage]:
        self._must_be_up()
        return [row for row in await self._ask(action, fields, as_list=True) if row.name]

    def _must_be_up(self) -> None:
        if not self.up:
            raise PeerLost(f"there is no link to the PBX {self._name}")
