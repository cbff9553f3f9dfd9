"""Use cases of an agent's phone: hold, mute, hand a call on, ask somebody first. Done by AMI, for any phone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import structlog

from ctiserver.bus import Bus
from ctiserver.errors import DeadlineExceeded, PbxRefused, PeerLost, UserFault
from ctiserver.features.telephony.phones import Phones
from ctiserver.model.calls.tracking.standing import ChannelState
from ctiserver.model.events import CallEvent, CallHeld, CallsMerged, PbxEvent, PbxUp
from ctiserver.model.ids import AgentId, CallId, PbxName, Uniqueid
from ctiserver.model.numbers import dialable
from ctiserver.model.person import Agent
from ctiserver.pbx.port import Pbx
from ctiserver.refused_calls import REFUSED
from ctiserver.site.load import Site
from ctiserver.web.problems import Conflict, Refusal

log = structlog.get_logger(__name__)

#: Contexts and keys of dialplan/cti.conf and features.conf.
AGENTS, QUEUES, CONSULT = "cti-agents", "cti-queues", "cti-consult"
JOIN_KEYS = "*3"  #: atxferthreeway
HOLD_FEATURE, HOLD_KEYS, UNHOLD_KEY = "cti-hold", "*4", "*"
#: Of a channel: the other side while our feature holds it; whether the person on it is muted.
HELD, MUTED = "CTI_HELD", "CTI_MUTED"
#: The PBX takes about 0.3 s for the keys of a feature.
_HOLD_WITHIN_S = 3.0
_LOOK_EVERY_S = 0.05

Doing = Literal["ringing", "talking", "consulting", "conference"]


class NotDiallable(Refusal):
    """This number may not be called: dialling.yaml does not allow numbers that begin like it."""

    status = 422
    code = "not_diallable"


class NoHold(Refusal):
    """The PBX can't hold this call for you: its channel has no feature cti-hold (docs/how-to/browser-phone.md)."""

    status = 409
    code = "no_hold"


class HeldByPhone(Refusal):
    """Your phone holds the call by its own key: take it back there."""

    status = 409
    code = "held_by_phone"


class DoNotCall(Refusal):
    """This contact has asked not to be called."""

    status = 409
    code = "do_not_call"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a call goes to."""

    kind: Literal["agent", "queue", "number"]
    key: str


@dataclass(frozen=True, slots=True)
class ChannelRef:
    """A target as the dialplan has it."""

    context: str
    exten: str


@dataclass(frozen=True, slots=True)
class PhoneCall:
    """What an agent's phone does in a call."""

    call_id: CallId
    doing: Doing
    parties: int  #: others in the room with it
    waiting: int  #: others of the call who wait elsewhere
    held: bool = False  #: the others hear music
    muted: bool = False  #: by the console; what the phone's own key does, nobody knows


class Telephony:
    """What agents' phones do."""

    def __init__(
        self,
        bus: Bus,
        site: Site,
        phones: Phones,
        *,
        region: str,
        changed: Callable[[AgentId, PhoneCall | None], None],
        unwanted: Callable[[str], Awaitable[bool]],
    ) -> None:
        """``unwanted``: whether a number is of a contact who does not want to be called.

        ``changed`` is told what an agent's phone does, whenever that may have changed; it must not wait."""
        self._bus = bus
        self._site = site
        self._phones = phones
        self._region = region
        self._changed = changed
        self._unwanted = unwanted
        self._told: dict[AgentId, PhoneCall] = {}
        self._muted: dict[AgentId, Uniqueid] = {}  #: and which channel of theirs
        self._held_before: dict[AgentId, Uniqueid] = {}  #: held already when the link to the PBX came up

    async def run(self) -> None:
        """Tell each desk what its phone does, until the bus closes."""
        await self._bus.follow("telephony", (CallEvent, PbxUp), self._take_in, self._resync)

    async def _resync(self) -> None:
        for name in {self._phones.pbx_name(agent) for agent in self._phones.everybody()}:
            await self._recall(name)

    async def _take_in(self, event: PbxEvent) -> None:
        if isinstance(event, PbxUp):
            await self._recall(event.pbx)
        elif isinstance(event, CallEvent):
            self._heard(event)

    @property
    def outbound(self) -> bool:
        """Whether calls to outside may be made at all."""
        return bool(self._site.outbound.allow)

    def call(self, agent_id: AgentId) -> PhoneCall | None:
        """What the agent's phone does now."""
        standing = self._phones.standing(self._phones.agent(agent_id))
        if standing is None:
            return None
        return _phone_call(
            standing,
            held=self._held(agent_id, standing),
            muted=self._muted.get(agent_id) == standing.uniqueid,
        )

    def call_id(self, agent_id: AgentId) -> CallId | None:
        """The call that the agent's phone rings for or is in now."""
        doing = self.call(agent_id)
        return None if doing is None else doing.call_id

    async def hang_up(self, agent_id: AgentId) -> None:
        """End the agent's part of the call. Raises Conflict without one; PeerLost, DeadlineExceeded, PbxRefused."""
        pbx, standing = self._needed(agent_id)
        await pbx.hangup(standing.channel)

    async def hold(self, agent_id: AgentId) -> None:
        """Music for the other side; the agent's phone stays in the call, and hears nothing.

        Raises Conflict without a talk between two, NoHold; PeerLost …
        """
        pbx, standing = self._talk(agent_id)
        if standing.waiting or len(standing.others) > 1:
            raise Conflict("only a call between two parties can be held")
        if self._held(agent_id, standing):
            return
        # Where there is no such feature, its keys would be heard by the other side.
        if HOLD_FEATURE not in (await pbx.variable(standing.channel, "DYNAMIC_FEATURES")).split("#"):
            raise NoHold
        await self._press_until(pbx, standing, HOLD_KEYS, held=True)
        log.info("call_held", agent=agent_id, call_id=standing.call_id)

    async def unhold(self, agent_id: AgentId) -> None:
        """Back to the one on hold. Raises Conflict where nobody is, HeldByPhone; PeerLost …"""
        pbx, standing = self._needed(agent_id)
        if not self._held(agent_id, standing):
            raise Conflict("no caller is on hold")
        if not await self._take_back(agent_id, pbx, standing):
            raise HeldByPhone

    async def mute(self, agent_id: AgentId) -> None:
        """Nobody hears the agent until :meth:`unmute`, or the call's end. Raises Conflict without a talk; PeerLost …"""
        await self._mute(agent_id, muted=True)

    async def unmute(self, agent_id: AgentId) -> None:
        """The agent is heard again. Raises Conflict without a talk; PeerLost …"""
        await self._mute(agent_id, muted=False)

    async def transfer(self, agent_id: AgentId, to: Target) -> None:
        """Blind transfer. Raises Conflict without a talk, UserFault for a target that is none; PeerLost …"""
        (pbx, standing), place = self._talk(agent_id), self.place(agent_id, to)
        await self._refuse_unwanted(place)
        await self._take_back(agent_id, pbx, standing)
        await pbx.blind_transfer(standing.channel, context=place.context, exten=place.exten)
        log.info("call_transferred", agent=agent_id, call_id=standing.call_id, to=to.kind)

    async def consult(self, agent_id: AgentId, to: Target) -> None:
        """Ask somebody while the caller hears music: an attended transfer begins. Errors as :meth:`transfer`."""
        pbx, standing = self._talk(agent_id)
        if to.kind == "queue":
            raise UserFault("a queue can't be consulted", fix="Transfer to it, or consult one agent")
        place = self.place(agent_id, to)
        await self._refuse_unwanted(place)
        await self._take_back(agent_id, pbx, standing)
        # The keys of a feature can be pressed for digits alone, so where they lead is said beforehand.
        await pbx.set_variable(standing.channel, "__CTI_CONSULT", f"{place.context},{place.exten},1")
        await pbx.attended_transfer(standing.channel, context=CONSULT, exten="1")

    async def complete(self, agent_id: AgentId) -> None:
        """Put the one who waits through to the one who was asked. Raises Conflict if nobody waits; PeerLost …"""
        pbx, standing = self._consultation(agent_id)
        await pbx.hangup(standing.channel)

    async def cancel(self, agent_id: AgentId) -> None:
        """Back to the one who waits. Raises Conflict if nobody waits; PeerLost …"""
        pbx, standing = self._consultation(agent_id)
        await pbx.cancel_transfer(standing.channel)

    async def join(self, agent_id: AgentId) -> None:
        """All three talk. Raises Conflict if nobody waits; PeerLost …"""
        pbx, standing = self._consultation(agent_id)
        await pbx.press(standing.channel, JOIN_KEYS)

    def place(self, agent_id: AgentId, to: Target) -> ChannelRef:
        """Where a target is in the dialplan of the agent's PBX. Raises UserFault, NotDiallable."""
        agent = self._phones.agent(agent_id)
        match to.kind:
            case "agent":
                colleague = self._phones.agent(AgentId(to.key))
                if self._phones.pbx_name(colleague) != self._phones.pbx_name(agent):
                    raise UserFault(f"{colleague.name}'s phone is on another PBX", fix="Call their number there")
                return ChannelRef(AGENTS, colleague.extension)
            case "queue":
                if to.key not in self._site.queues:
                    raise UserFault(f"there is no queue {to.key}", where="queues.yaml", fix="Add it there")
                return ChannelRef(QUEUES, to.key)
            case "number":
                if self._inside(agent, to.key):
                    return ChannelRef(AGENTS, to.key)
                return ChannelRef(self._phones.settings(agent).outbound_context, self._dialable(to.key))

    async def _refuse_unwanted(self, place: ChannelRef) -> None:
        if place.context not in (AGENTS, QUEUES) and await self._unwanted(place.exten):
            raise DoNotCall("this contact has asked not to be called")

    def _inside(self, agent: Agent, number: str) -> bool:
        """Whether the agents' own context takes it: a colleague's extension, or a call for help."""
        home = self._phones.pbx_name(agent)
        extensions = (it.extension for it in self._phones.everybody() if self._phones.pbx_name(it) == home)
        return number in extensions or number in self._site.emergency.numbers

    def _dialable(self, number: str) -> str:
        rules = self._site.outbound
        found = dialable(number, self._region, allow=rules.allow, refuse=rules.refuse)
        if found is None:
            REFUSED.note("desk")
            raise NotDiallable
        return found

    def _needed(self, agent_id: AgentId) -> tuple[Pbx, ChannelState]:
        agent = self._phones.agent(agent_id)
        standing = self._phones.standing(agent)
        if standing is None:
            raise Conflict("your phone is not in a call")
        return self._phones.pbx(agent), standing

    def _talk(self, agent_id: AgentId) -> tuple[Pbx, ChannelState]:
        pbx, standing = self._needed(agent_id)
        if not standing.others:
            raise Conflict("you are not in a call")
        return pbx, standing

    def _consultation(self, agent_id: AgentId) -> tuple[Pbx, ChannelState]:
        pbx, standing = self._needed(agent_id)
        if not standing.waiting:
            raise Conflict("no consultation is in progress")
        return pbx, standing

    async def _mute(self, agent_id: AgentId, *, muted: bool) -> None:
        pbx, standing = self._talk(agent_id)
        await pbx.mute(standing.channel, muted=muted)
        # The PBX does not tell of it, and a server that restarts must not show a muted agent as one who is heard.
        await pbx.set_variable(standing.channel, MUTED, "1" if muted else "")
        if muted:
            self._muted[agent_id] = standing.uniqueid
        else:
            self._muted.pop(agent_id, None)
        self._look(self._phones.agent(agent_id))

    def _held(self, agent_id: AgentId, standing: ChannelState) -> bool:
        return standing.held or self._held_before.get(agent_id) == standing.uniqueid

    async def _take_back(self, agent_id: AgentId, pbx: Pbx, standing: ChannelState) -> bool:
        """End our hold; False if the phone itself holds, which is all the same to a transfer."""
        if not self._held(agent_id, standing):
            return True
        ours = bool(await pbx.variable(standing.channel, HELD))
        if ours:
            await self._press_until(pbx, standing, UNHOLD_KEY, held=False)
        before = self._held_before.pop(agent_id, None)
        self._look(self._phones.agent(agent_id))
        return ours or before is not None

    async def _press_until(self, pbx: Pbx, standing: ChannelState, keys: str, *, held: bool) -> None:
        """Raises NoHold if the PBX does not do what the keys say."""
        await pbx.press(standing.channel, keys)
        try:
            async with asyncio.timeout(_HOLD_WITHIN_S):
                while True:
                    if bool(await pbx.variable(standing.channel, HELD)) is held:
                        return
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            raise NoHold from None

    async def _recall(self, name: PbxName) -> None:
        """What no event says again: who was muted or on hold when the link came up."""
        for agent in self._phones.everybody():
            if self._phones.pbx_name(agent) != name:
                continue
            pbx, standing = self._phones.pbx(agent), self._phones.standing(agent)
            self._muted.pop(agent.id, None)
            self._held_before.pop(agent.id, None)
            if standing is None or not standing.talking:
                continue
            try:
                if await pbx.variable(standing.channel, MUTED):
                    self._muted[agent.id] = standing.uniqueid
                if await pbx.variable(standing.channel, HELD):
                    self._held_before[agent.id] = standing.uniqueid
            except (PeerLost, DeadlineExceeded, PbxRefused) as error:
                log.warning("phone_not_recalled", agent=agent.id, reason=str(error))
            if agent in self._phones.everybody():  # or deactivated meanwhile
                self._look(agent)

    def _heard(self, event: CallEvent) -> None:
        if isinstance(event, CallHeld):  # it is known by events from now on
            for agent in self._phones.everybody():
                if self._phones.owns(agent, event.pbx, event.interface):
                    self._held_before.pop(agent.id, None)
        calls = {event.call_id, event.absorbed} if isinstance(event, CallsMerged) else {event.call_id}
        interface = getattr(event, "interface", None)
        for agent in self._phones.everybody():
            told = self._told.get(agent.id)
            if (interface and self._phones.owns(agent, event.pbx, interface)) or (
                told is not None and told.call_id in calls
            ):
                self._look(agent)

    def _look(self, agent: Agent) -> None:
        now = self.call(agent.id)
        if now == self._told.get(agent.id):
            return
        if now is None:
            del self._told[agent.id]
        else:
            self._told[agent.id] = now
        self._changed(agent.id, now)


def _phone_call(standing: ChannelState, *, held: bool, muted: bool) -> PhoneCall:
    doing: Doing = "ringing"
    if standing.talking:
        doing = "talking"
        if standing.waiting:
            doing = "consulting"
        elif len(standing.others) > 1:
            doing = "conference"
    return PhoneCall(
        standing.call_id,
        doing,
        len(standing.others),
        len(standing.waiting),
        held=held and doing == "talking",
        muted=muted and doing != "ringing",
    )
