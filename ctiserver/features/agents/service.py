"""Use cases of agents: log in to the queues, pause, wrap up; and one presence that follows from what the PBX says.

app_queue is who offers calls, so the truth about seats and pauses is Asterisk's: a use case asks the PBX, and the
presence follows from what it then tells. After-call work, which app_queue does not know, is a pause whose reason is
``wrap_up``; it is in app_queue, so a server that was killed meanwhile finds it there again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from ctiserver.bus import Bus, Lagged
from ctiserver.clock import Clock
from ctiserver.errors import DeadlineExceeded, PeerLost, UserFault
from ctiserver.model import agent as presence_of
from ctiserver.model.agent import Presence, PresenceEvent
from ctiserver.model.events import (
    AgentConnected,
    AgentDisconnected,
    AgentRingEnded,
    AgentRinging,
    CallEnded,
    MemberChanged,
    PbxDown,
    PbxEvent,
    PbxUp,
)
from ctiserver.model.ids import AgentId, Interface, PbxName, QueueName
from ctiserver.model.person import Agent
from ctiserver.pbx.port import Pbx, PbxRefused
from ctiserver.site import QueueConfig, Site, WrapUp
from ctiserver.store.database import Database

log = structlog.get_logger(__name__)

#: The pause reason that stands for after-call work in app_queue.
WRAP_UP = "wrap_up"
#: And the one for its time being up, where the queue's policy is to wait for the agent then.
AFTER_WRAP_UP = "after_wrap_up"
#: A seat that leads to a phone by its extension, as FreePBX makes them: Local/101@from-queue/n.
_LOCAL_SEAT = re.compile(r"Local/([0-9]{2,6})@")
#: And the one for not having answered, where the queue's policy is to offer such a phone no more calls.
NO_ANSWER = "no_answer"
_NO_WRAP_UP = WrapUp(limit=timedelta(0))


@dataclass(frozen=True, slots=True)
class _PauseOrder:
    interface: Interface
    paused: bool
    reason: str


class Agents:
    """Everybody who takes calls, on one PBX."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        site: Site,
        *,
        pbx: Pbx,
        changed: Callable[[Presence], None],
    ) -> None:
        """``changed`` is told of each new presence, at once; it must not wait."""
        self._database = database
        self._bus = bus
        self._clock = clock
        self._site = site
        self._pbx = pbx
        self._changed = changed
        self._agents: dict[AgentId, Agent] = {}
        self._by_interface: dict[Interface, AgentId] = {}
        self._presences: dict[AgentId, Presence] = {}
        self._by_extension: dict[str, AgentId] = {}
        self._seats: dict[Interface, dict[QueueName, MemberChanged]] = {}
        self._local_seats: dict[str, set[Interface]] = {}  #: by the extension that they lead to
        self._last_wrap_up: dict[AgentId, WrapUp] = {}
        self._unanswered: dict[AgentId, int] = {}  #: calls that rang out, since the last one that was answered
        self._wrap_up_seen: set[AgentId] = set()  #: whose pause for after-call work the PBX has confirmed
        self._orders: asyncio.Queue[_PauseOrder] = asyncio.Queue(maxsize=1000)
        self._deadline_moved = asyncio.Event()

    async def run(self) -> None:
        """Keep presences from the bus' events, and end wrap-ups in time, until the bus closes."""
        # Subscribed first: a link that is up before the database has answered tells of every seat, and only once.
        with self._bus.subscribe(PbxEvent) as events:
            await self.load()
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self._give_orders()), group.create_task(self._end_wrap_ups())]
                while True:
                    try:
                        async for event in events:
                            self.heard(event)
                        break
                    except Lagged as lagged:
                        log.error("agents_lagged", missed=str(lagged))
                for keeper in keepers:
                    keeper.cancel()

    async def load(self) -> None:
        """Read who the agents are; those known already keep their presence."""
        async with self._database.reading() as uow:
            found = await uow.agents.everybody()
        self._agents = {agent.id: agent for agent in found if agent.active}
        self._by_interface = {agent.interface: agent.id for agent in self._agents.values()}
        self._by_extension = {agent.extension: agent.id for agent in self._agents.values()}
        for agent_id in self._agents:
            self._presences.setdefault(agent_id, Presence(agent_id=agent_id, since=self._clock.now()))

    @property
    def pbx_up(self) -> bool:
        """Whether the PBX is heard; while it is not, presences are what they were."""
        return self._pbx.up

    def agent_at(self, pbx: PbxName, interface: Interface) -> AgentId | None:
        """Whose phone this is; on another PBX a phone of the same name is somebody else's."""
        return self.owner(interface) if pbx == self._pbx.name else None

    def owner(self, interface: Interface) -> AgentId | None:
        """Whose phone this is on the PBX that has the agents."""
        return self._by_interface.get(interface)

    def presence(self, agent_id: AgentId) -> Presence:
        """One agent's presence. Raises UserFault if there is no such agent."""
        try:
            return self._presences[agent_id]
        except KeyError:
            raise UserFault(f"there is no agent {agent_id}", fix="`ctiserver user list` shows them") from None

    def everybody(self) -> list[tuple[Agent, Presence]]:
        """All agents with their presence, by id."""
        return [(self._agents[key], self._presences[key]) for key in sorted(self._agents)]

    def queues(self, agent_id: AgentId) -> list[QueueName]:
        """The queues in which the agent sits now."""
        return sorted({seat.queue for seat in self._seats_of(agent_id)})

    def queues_for(self, agent: Agent) -> dict[QueueName, int]:
        """The queues that the agent's name or skills are asked for in, each with the penalty."""
        return {
            QueueName(name): _penalty(queue, agent) for name, queue in self._site.queues.items() if _fits(queue, agent)
        }

    def wrap_up_extension(self, agent_id: AgentId) -> timedelta:
        """What an extension would give now; zero if there is none to be had."""
        presence = self.presence(agent_id)
        if presence.wrap_up_until is None or presence.wrap_up_extended:
            return timedelta(0)
        return self._last_wrap_up.get(agent_id, _NO_WRAP_UP).extend_once

    async def log_in(self, agent_id: AgentId) -> Presence:
        """Take seats in all queues that fit. Raises UserFault if none fits; PeerLost, DeadlineExceeded, PbxRefused."""
        await self.load()
        self.presence(agent_id)
        agent = self._agents[agent_id]
        queues = self.queues_for(agent)
        if not queues:
            raise UserFault(
                f"no queue asks for {agent_id} or any of the skills {', '.join(agent.skills) or '(none)'}",
                where="queues.yaml",
                fix="Name the agent or a skill under members there, or give the account a skill",
            )
        seated = {seat.queue for seat in self._seats_of(agent_id) if seat.interface != agent.interface}
        for queue, penalty in queues.items():
            if queue in seated:
                continue  # by a Local channel: a second seat would ring the same phone twice
            await self._pbx.queue_add(queue, agent.interface, name=agent.name, penalty=penalty)
        return self._step(agent_id, presence_of.LoggedIn())

    async def log_out(self, agent_id: AgentId) -> Presence:
        """Leave all queues; a call under way goes on.

        Raises UserFault for a seat that queues.conf itself gives; PeerLost, DeadlineExceeded, PbxRefused.
        """
        self.presence(agent_id)
        agent, seats = self._agents[agent_id], self._seats_of(agent_id)
        fixed = sorted(seat.queue for seat in seats if not seat.dynamic)
        if fixed:
            raise UserFault(
                f"the PBX seats this phone in {', '.join(fixed)} for good, so nobody can log it out",
                where="queues.conf",
                fix="Pause instead; or take the member out there, and log in here",
            )
        leaving = {(seat.queue, seat.interface) for seat in seats}
        leaving |= {(queue, agent.interface) for queue in self.queues_for(agent)}
        for queue, interface in sorted(leaving):
            await self._pbx.queue_remove(queue, interface)
        return self._step(agent_id, presence_of.LoggedOut())

    async def pause(self, agent_id: AgentId, reason: str) -> Presence:
        """Take no calls for a while. Raises UserFault for an unknown reason or when logged out; PeerLost …"""
        if reason not in self._site.pause_reasons:
            raise UserFault(f"there is no pause reason {reason}", where="pause_reasons.yaml", fix="Add it there")
        if not self.presence(agent_id).logged_in:
            raise UserFault("log in to the queues first: who is logged out takes no calls anyway")
        await self._pause_seats(agent_id, paused=True, reason=reason)
        return self._step(agent_id, presence_of.WrapUpEnded(), presence_of.Paused(reason))

    async def ready(self, agent_id: AgentId) -> Presence:
        """Take calls again: ends a pause, and after-call work. Raises UserFault when logged out; PeerLost …"""
        if not self.presence(agent_id).logged_in:
            raise UserFault("log in to the queues first")
        await self._pause_seats(agent_id, paused=False, reason="")
        return self._step(agent_id, presence_of.WrapUpEnded(), presence_of.Unpaused())

    def extend_wrap_up(self, agent_id: AgentId) -> Presence:
        """More time after the call, once, as the queue allows. Raises UserFault if there is none to be had."""
        more = self.wrap_up_extension(agent_id)
        until = self.presence(agent_id).wrap_up_until
        if not more or until is None:
            raise UserFault("there is no after-call work to extend, or it was extended once already")
        return self._step(agent_id, presence_of.WrapUpExtended(until + more))

    def heard(self, event: PbxEvent) -> None:
        """Take in one event of the PBX."""
        if event.pbx != self._pbx.name:
            return
        match event:
            case PbxUp() | PbxDown():
                # Seats and calls were reconciled before PbxUp; here only everybody's desk is told whether it hears.
                for presence in self._presences.values():
                    self._changed(presence)
            case MemberChanged():
                self._member_changed(event)
            case AgentRinging():
                self._of(event.interface, presence_of.Ringing(event.call_id))
            case AgentRingEnded():
                self._ring_ended(event)
            case AgentConnected():
                self._of(event.interface, presence_of.Connected(event.call_id))
            case AgentDisconnected():
                self._disconnected(event)
            case CallEnded():
                for agent_id, presence in list(self._presences.items()):
                    if event.call_id in presence.talking | presence.ringing:
                        self._step(agent_id, presence_of.Disconnected(event.call_id))
            case _:
                pass

    def _ring_ended(self, event: AgentRingEnded) -> None:
        agent_id = self.owner(event.interface)
        if agent_id is None:
            return
        steps: list[PresenceEvent] = [presence_of.RingEnded(event.call_id)]
        if event.outcome == "answered":
            self._unanswered.pop(agent_id, None)
        elif event.outcome == "no_answer" and event.queue in self._site.queues:
            in_a_row = self._unanswered[agent_id] = self._unanswered.get(agent_id, 0) + 1
            limit = self._site.queues[event.queue].no_answer.pause_after
            before = self._presences[agent_id]
            if limit and in_a_row >= limit and before.logged_in and before.pause_reason is None:
                self._unanswered.pop(agent_id)
                steps.append(presence_of.Paused(NO_ANSWER))
                self._order(_PauseOrder(event.interface, True, NO_ANSWER))
        self._step(agent_id, *steps)

    def _disconnected(self, event: AgentDisconnected) -> None:
        agent_id = self.owner(event.interface)
        if agent_id is None:
            return
        before = self._presences[agent_id]
        steps: list[PresenceEvent] = [presence_of.Disconnected(event.call_id)]
        policy = self._site.queues[event.queue].wrap_up if event.queue in self._site.queues else _NO_WRAP_UP
        if event.call_id in before.talking and before.logged_in and before.pause_reason is None and policy.limit:
            self._last_wrap_up[agent_id] = policy
            steps.append(presence_of.WrapUpBegun(self._clock.now() + policy.limit))
            self._order(_PauseOrder(event.interface, True, WRAP_UP))
        self._step(agent_id, *steps)

    def _member_changed(self, event: MemberChanged) -> None:
        seats = self._seats.setdefault(event.interface, {})
        seated = event.queue in seats
        if event.present:
            seats[event.queue] = event
        else:
            seats.pop(event.queue, None)
        local = _LOCAL_SEAT.match(event.interface)
        if local is not None:
            self._local_seats.setdefault(local[1], set()).add(event.interface)
        agent_id = self.owner(event.interface)
        if agent_id is None and local is not None:
            agent_id = self._by_extension.get(local[1])
        if agent_id is None:
            return
        mine = self._seats_of(agent_id)
        steps: list[PresenceEvent] = [presence_of.LoggedIn() if mine else presence_of.LoggedOut()]
        if event.present:
            steps.append(presence_of.PhoneSeen(event.status not in ("unavailable", "invalid")))
            steps.extend(self._pause_steps(agent_id, mine))
        before = self._presences[agent_id]
        if self._step(agent_id, *steps) == before and seated != event.present:
            self._changed(before)  # another queue, and nothing else: the desk shows the queues too

    def _seats_of(self, agent_id: AgentId) -> list[MemberChanged]:
        """Every seat that leads to this agent's phone."""
        agent = self._agents.get(agent_id)
        if agent is None:
            return []
        names = (agent.interface, *self._local_seats.get(agent.extension, ()))
        return [seat for name in names for seat in self._seats.get(name, {}).values()]

    async def _pause_seats(self, agent_id: AgentId, *, paused: bool, reason: str) -> None:
        """Pause or unpause the agent wherever they sit. Raises PeerLost, DeadlineExceeded, PbxRefused."""
        names = {seat.interface for seat in self._seats_of(agent_id)} or {self._agents[agent_id].interface}
        for name in sorted(names):
            await self._pbx.queue_pause(name, paused=paused, reason=reason)

    def _pause_steps(self, agent_id: AgentId, seats: list[MemberChanged]) -> list[PresenceEvent]:
        """What app_queue's pause flags mean: all seats paused is a pause, or after-call work."""
        if not all(seat.paused for seat in seats):
            if agent_id in self._wrap_up_seen:
                return [presence_of.Unpaused(), presence_of.WrapUpEnded()]
            return [presence_of.Unpaused()]  # our order to pause for after-call work may still be on its way
        reason = seats[0].pause_reason
        if reason != WRAP_UP:
            return [presence_of.WrapUpEnded(), presence_of.Paused(reason or "paused")]
        self._wrap_up_seen.add(agent_id)
        if self._presences[agent_id].wrap_up_until is not None:
            return [presence_of.Unpaused()]
        # Begun before this server was started, or while the link was down: the time it had is not known any more.
        policy = self._longest_wrap_up([seat.queue for seat in seats])
        self._last_wrap_up[agent_id] = policy
        return [presence_of.Unpaused(), presence_of.WrapUpBegun(self._clock.now() + policy.limit)]

    def _longest_wrap_up(self, queues: list[QueueName]) -> WrapUp:
        known = [self._site.queues[queue].wrap_up for queue in queues if queue in self._site.queues]
        return max(known, key=lambda policy: policy.limit, default=_NO_WRAP_UP)

    def _of(self, interface: Interface, event: PresenceEvent) -> None:
        agent_id = self.owner(interface)
        if agent_id is not None:
            self._step(agent_id, event)

    def _step(self, agent_id: AgentId, *events: PresenceEvent) -> Presence:
        before = after = self._presences[agent_id]
        now = self._clock.now()
        for event in events:
            after = presence_of.step(after, event, now)
        if after.state == before.state:
            after = replace(after, since=before.since)
        self._presences[agent_id] = after
        if after.wrap_up_until is None:
            self._wrap_up_seen.discard(agent_id)
        if after.wrap_up_until != before.wrap_up_until:
            self._deadline_moved.set()
        if after != before:
            self._changed(after)
        return after

    def _order(self, order: _PauseOrder) -> None:
        try:
            self._orders.put_nowait(order)
        except asyncio.QueueFull:
            # The PBX has been away for a long time; its snapshot at the next connect says what is so.
            log.error("pause_order_dropped", interface=order.interface)

    async def _give_orders(self) -> None:
        while True:
            order = await self._orders.get()
            agent_id = self.owner(order.interface)
            if agent_id is None:
                continue
            if order.reason == WRAP_UP and self._presences[agent_id].wrap_up_until is None:
                continue  # the agent was ready before the order was given
            try:
                await self._pause_seats(agent_id, paused=order.paused, reason=order.reason)
            except (PeerLost, DeadlineExceeded, PbxRefused) as error:
                log.warning("pause_order_failed", interface=order.interface, error=str(error))

    async def _end_wrap_ups(self) -> None:
        while True:
            self._deadline_moved.clear()
            now = self._clock.now()
            ends = [(it.wrap_up_until, key) for key, it in self._presences.items() if it.wrap_up_until is not None]
            for until, agent_id in ends:
                if until <= now:
                    self._wrap_up_over(agent_id)
            left_s = min(((until - now).total_seconds() for until, _ in ends if until > now), default=None)
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._deadline_moved.wait()

    def _wrap_up_over(self, agent_id: AgentId) -> None:
        interface = self._agents[agent_id].interface
        if self._last_wrap_up.get(agent_id, _NO_WRAP_UP).then == "paused":
            self._step(agent_id, presence_of.WrapUpEnded(), presence_of.Paused(AFTER_WRAP_UP))
            self._order(_PauseOrder(interface, True, AFTER_WRAP_UP))
        else:
            self._step(agent_id, presence_of.WrapUpEnded())
            self._order(_PauseOrder(interface, False, ""))


def _fits(queue: QueueConfig, agent: Agent) -> bool:
    return agent.id in queue.members.agents or bool(set(queue.members.skills) & set(agent.skills))


def _penalty(queue: QueueConfig, agent: Agent) -> int:
    """The agent's own, else the least of the skills that make it a member."""
    penalties = queue.members.penalties
    if agent.id in penalties:
        return penalties[agent.id]
    return min((penalties.get(skill, 0) for skill in queue.members.skills if skill in agent.skills), default=0)
