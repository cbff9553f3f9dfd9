"""Use cases of agents: log in to the queues, pause, wrap up; and one presence that follows from what the PBXs say.

app_queue is who offers calls, so the truth about seats and pauses is Asterisk's: a use case asks the PBX that has the
agent's phone, and the presence follows from what it then tells. After-call work, which app_queue does not know, is a
pause whose reason is ``wrap_up``; it is in app_queue, so a server that was killed meanwhile finds it there again, and
in the database until when it was to last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from ctiserver.bus import Bus, Lagged
from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.features.agents.orders import Orders, Pause, Seat
from ctiserver.features.agents.seating import Seating
from ctiserver.model import agent as presence_of
from ctiserver.model.agent import Presence, PresenceEvent, WrapUpKept
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
from ctiserver.pbx.port import Pbx
from ctiserver.site import QueueConfig, Site, WrapUp
from ctiserver.store.database import Database
from ctiserver.store.faults import StoreUnavailable

log = structlog.get_logger(__name__)

#: The pause reason that stands for after-call work in app_queue.
WRAP_UP = "wrap_up"
#: And the one for its time being up, where the queue's policy is to wait for the agent then.
AFTER_WRAP_UP = "after_wrap_up"
#: And the one for not having answered, where the queue's policy is to offer such a phone no more calls.
NO_ANSWER = "no_answer"
#: How long a PBX may be unheard before nobody can say any more what its agents do: a restart takes less.
UNKNOWN_AFTER = timedelta(seconds=1)
_NO_WRAP_UP = WrapUp(limit=timedelta(0))


@dataclass(frozen=True, slots=True)
class _Before:
    """How an agent stood when the PBX was last heard."""

    presence: Presence
    seats: tuple[MemberChanged, ...]


class Agents:
    """Everybody who takes calls, on every PBX."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        site: Site,
        *,
        pbxs: Mapping[PbxName, Pbx],
        changed: Callable[[Presence], None],
    ) -> None:
        """``pbxs``: the first is that of agents who name none. ``changed`` is told of each new presence, at once; it
        must not wait."""
        self._database = database
        self._bus = bus
        self._clock = clock
        self._site = site
        self._pbxs = pbxs
        self._changed = changed
        self._seating = Seating(next(iter(pbxs)))
        self._presences: dict[AgentId, Presence] = {}
        self._wrap_up_queue: dict[AgentId, QueueName] = {}  #: whose policy the last after-call work followed
        self._kept: dict[AgentId, WrapUpKept] | None = None  #: what a server before this one kept; None: not read yet
        self._to_keep: dict[AgentId, WrapUpKept] = {}
        self._unanswered: dict[AgentId, int] = {}  #: calls that rang out, since the last one that was answered
        self._wrap_up_seen: set[AgentId] = set()  #: whose pause for after-call work the PBX has confirmed
        self._orders = Orders(pbx_of=self._pbx_for, due=self._due, pause=self._pause_seats)
        self._unheard_since: dict[PbxName, datetime] = {}
        self._before: dict[PbxName, dict[AgentId, _Before]] = {}
        self._deadline_moved = asyncio.Event()
        self._wrap_up_moved = asyncio.Event()

    async def run(self) -> None:
        """Keep presences from the bus' events, and end wrap-ups in time, until the bus closes."""
        # Subscribed first: a link that is up before the database has answered tells of every seat, and only once.
        with self._bus.subscribe(PbxEvent) as events:
            await self.load()
            now = self._clock.now()
            self._unheard_since |= {name: now for name, pbx in self._pbxs.items() if not pbx.up}
            async with asyncio.TaskGroup() as group:
                keepers = [
                    group.create_task(keeper())
                    for keeper in (self._orders.run, self._keep_deadlines, self._keep_wrap_ups)
                ]
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
        """Read who the agents are; those known already keep their presence, the others get it from their seats."""
        async with self._database.reading() as uow:
            found = await uow.agents.everybody()
            kept = await uow.wrap_ups.everybody() if self._kept is None else []
        if self._kept is None:
            self._kept = {wrap_up.agent_id: wrap_up for wrap_up in kept}
        for agent_id in self._seating.know(agent for agent in found if agent.active):
            presence = Presence(agent_id=agent_id, since=self._clock.now())
            self._presences.setdefault(agent_id, presence)
            self._step(agent_id, *self._by_seats(agent_id))
        self._deadline_moved.set()  # their PBX may be one of which nothing is heard

    def pbx_of(self, agent_id: AgentId) -> PbxName:
        """On which PBX the agent's phone is. Raises UserFault if there is no such agent."""
        self.presence(agent_id)
        return self._seating.pbx_of(agent_id)

    def pbx_up(self, agent_id: AgentId) -> bool:
        """Whether the agent's PBX is heard; while it is not, the presence is what it was."""
        pbx = self._pbx_for(agent_id)
        return pbx is not None and pbx.up

    def agent_at(self, pbx: PbxName, interface: Interface) -> AgentId | None:
        """Whose phone this is; on another PBX a phone of the same name is somebody else's."""
        return self._seating.whose(pbx, interface)

    def owner(self, interface: Interface) -> AgentId | None:
        """Whose phone this is on the first PBX."""
        return self._seating.whose(self._seating.first, interface)

    def presence(self, agent_id: AgentId) -> Presence:
        """One agent's presence. Raises UserFault if there is no such agent."""
        if agent_id not in self._seating.agents:
            raise UserFault(f"there is no agent {agent_id}", fix="`ctiserver user list` shows them")
        return self._presences[agent_id]

    def everybody(self) -> list[tuple[Agent, Presence]]:
        """All agents with their presence, by id."""
        agents = self._seating.agents
        return [(agents[key], self._presences[key]) for key in sorted(agents)]

    def queues(self, agent_id: AgentId) -> list[QueueName]:
        """The queues in which the agent sits now."""
        return sorted({seat.queue for seat in self._seating.of(agent_id)})

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
        return self._policy(agent_id).extend_once

    async def log_in(self, agent_id: AgentId) -> Presence:
        """Take seats in all queues that fit. Raises UserFault if none fits; PeerLost, DeadlineExceeded, PbxRefused."""
        await self.load()
        agent, pbx = self._agent_and_pbx(agent_id)
        queues = self.queues_for(agent)
        if not queues:
            raise UserFault(
                f"no queue asks for {agent_id} or any of the skills {', '.join(agent.skills) or '(none)'}",
                where="queues.yaml",
                fix="Name the agent or a skill under members there, or give the account a skill",
            )
        seated = {seat.queue for seat in self._seating.of(agent_id) if seat.interface != agent.interface}
        for queue, penalty in queues.items():
            if queue in seated:
                continue  # by a Local channel: a second seat would ring the same phone twice
            await pbx.queue_add(queue, agent.interface, name=agent.name, penalty=penalty)
        return self._step(agent_id, presence_of.LoggedIn())

    async def log_out(self, agent_id: AgentId) -> Presence:
        """Leave all queues; a call under way goes on.

        Raises UserFault for a seat that queues.conf itself gives; PeerLost, DeadlineExceeded, PbxRefused.
        """
        agent, pbx = self._agent_and_pbx(agent_id)
        seats = self._seating.of(agent_id)
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
            await pbx.queue_remove(queue, interface)
        self._orders.settled(agent_id)
        return self._step(agent_id, presence_of.LoggedOut())

    async def pause(self, agent_id: AgentId, reason: str) -> Presence:
        """Take no calls for a while. Raises UserFault for an unknown reason or when logged out; PeerLost …"""
        if reason not in self._site.pause_reasons:
            raise UserFault(f"there is no pause reason {reason}", where="pause_reasons.yaml", fix="Add it there")
        if not self.presence(agent_id).logged_in:
            raise UserFault("log in to the queues first: who is logged out takes no calls anyway")
        await self._pause_seats(Pause(agent_id, True, reason))
        self._orders.settled(agent_id)
        return self._step(agent_id, presence_of.WrapUpEnded(), presence_of.Paused(reason))

    async def ready(self, agent_id: AgentId) -> Presence:
        """Take calls again: ends a pause, and after-call work. Raises UserFault when logged out; PeerLost …"""
        if not self.presence(agent_id).logged_in:
            raise UserFault("log in to the queues first")
        await self._pause_seats(Pause(agent_id, False, ""))
        self._orders.settled(agent_id)
        return self._step(agent_id, presence_of.WrapUpEnded(), presence_of.Unpaused())

    def extend_wrap_up(self, agent_id: AgentId) -> Presence:
        """More time after the call, once, as the queue allows. Raises UserFault if there is none to be had."""
        more = self.wrap_up_extension(agent_id)
        until = self.presence(agent_id).wrap_up_until
        if not more or until is None:
            raise UserFault("there is no after-call work to extend, or it was extended once already")
        return self._step(agent_id, presence_of.WrapUpExtended(until + more))

    def heard(self, event: PbxEvent) -> None:
        """Take in one event of a PBX."""
        match event:
            case PbxUp():
                self._pbx_back(event)
            case PbxDown():
                self._pbx_away(event)
            case MemberChanged():
                self._member_changed(event)
            case AgentRinging():
                self._of(event, event.interface, presence_of.Ringing(event.call_id))
            case AgentRingEnded():
                self._ring_ended(event)
            case AgentConnected():
                self._of(event, event.interface, presence_of.Connected(event.call_id))
            case AgentDisconnected():
                self._disconnected(event)
            case CallEnded():
                for agent_id, presence in list(self._presences.items()):
                    if event.call_id in presence.talking | presence.ringing:
                        self._step(agent_id, presence_of.Disconnected(event.call_id))
            case _:
                pass

    # -- the PBX goes and comes ---------------------------------------------------------------------------------------

    def _pbx_away(self, event: PbxDown) -> None:
        self._unheard_since.setdefault(event.pbx, event.at)
        self._deadline_moved.set()
        agents = self._seating.on(event.pbx)
        self._before.setdefault(
            event.pbx,
            {key: _Before(self._presences[key], tuple(self._seating.of(key))) for key in agents},
        )
        for agent_id in agents:
            self._changed(self._presences[agent_id])  # the desk shows whether it is heard

    def _pbx_back(self, event: PbxUp) -> None:
        """Seats and calls were reconciled before this event; what a restart lost of them is asked for again."""
        self._unheard_since.pop(event.pbx, None)
        before = self._before.pop(event.pbx, {})
        for agent_id in self._seating.on(event.pbx):
            presence = self._presences[agent_id]
            if self._step(agent_id, presence_of.PbxHeard(True)) == presence:
                self._changed(presence)
            if event.restarted and agent_id in before:
                self._restore(agent_id, before[agent_id])
            self._orders.heard_again(agent_id)

    def _restore(self, agent_id: AgentId, was: _Before) -> None:
        """Give an agent back what a PBX forgot that was killed a moment after it was told, or that keeps nothing."""
        there = {(seat.queue, seat.interface): seat for seat in self._seating.of(agent_id)}
        lost = [seat for seat in was.seats if seat.dynamic and (seat.queue, seat.interface) not in there]
        for seat in lost:
            self._orders.give(Seat(agent_id, seat.queue, seat.interface, seat.name, seat.penalty))
        until, reason = was.presence.wrap_up_until, was.presence.pause_reason
        steps: list[PresenceEvent] = [presence_of.LoggedIn()] if lost else []
        order: Pause | None = None
        if until is not None:
            steps.append(presence_of.WrapUpBegun(until))
            if was.presence.wrap_up_extended:
                steps.append(presence_of.WrapUpExtended(until))
            order = Pause(agent_id, True, WRAP_UP)
        elif reason is not None:
            steps.append(presence_of.Paused(reason))
            order = Pause(agent_id, True, reason)
        if order is not None and (lost or not all(seat.paused for seat in there.values())):
            self._step(agent_id, *steps)
            self._orders.give(order)
        elif lost:
            self._step(agent_id, *steps)

    # -- calls --------------------------------------------------------------------------------------------------------

    def _ring_ended(self, event: AgentRingEnded) -> None:
        agent_id = self._seating.whose(event.pbx, event.interface)
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
                self._orders.give(Pause(agent_id, True, NO_ANSWER))
        self._step(agent_id, *steps)

    def _disconnected(self, event: AgentDisconnected) -> None:
        agent_id = self._seating.whose(event.pbx, event.interface)
        if agent_id is None:
            return
        before = self._presences[agent_id]
        steps: list[PresenceEvent] = [presence_of.Disconnected(event.call_id)]
        limit = self._site.queues[event.queue].wrap_up.limit if event.queue in self._site.queues else timedelta(0)
        at_work = event.call_id in before.talking and before.logged_in and before.pause_reason is None
        if event.queue and at_work and limit:
            self._wrap_up_queue[agent_id] = event.queue
            steps.append(presence_of.WrapUpBegun(self._clock.now() + limit))
            self._orders.give(Pause(agent_id, True, WRAP_UP))
        self._step(agent_id, *steps)

    # -- seats --------------------------------------------------------------------------------------------------------

    def _member_changed(self, event: MemberChanged) -> None:
        seated = self._seating.seated(event)
        agent_id = self._seating.take(event)
        if agent_id is None:
            return
        before = self._presences[agent_id]
        if self._step(agent_id, *self._by_seats(agent_id, event)) == before and seated != event.present:
            self._changed(before)  # another queue, and nothing else: the desk shows the queues too

    def _by_seats(self, agent_id: AgentId, event: MemberChanged | None = None) -> list[PresenceEvent]:
        """What the agent's seats say of them; ``event``: the seat that changed just now."""
        seats = self._seating.of(agent_id)
        if not seats:
            return [presence_of.LoggedOut()]
        if event is not None and not event.present:
            return [presence_of.LoggedIn()]
        reachable = (event or seats[-1]).status not in ("unavailable", "invalid")
        return [presence_of.LoggedIn(), presence_of.PhoneSeen(reachable), *self._by_pauses(agent_id, seats)]

    def _by_pauses(self, agent_id: AgentId, seats: list[MemberChanged]) -> list[PresenceEvent]:
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
        return [presence_of.Unpaused(), *self._found_in_wrap_up(agent_id, [seat.queue for seat in seats])]

    def _found_in_wrap_up(self, agent_id: AgentId, queues: list[QueueName]) -> list[PresenceEvent]:
        """After-call work that began before this server was started: it lasts as long as it was to last."""
        kept = (self._kept or {}).get(agent_id)
        if kept is not None:
            self._wrap_up_queue[agent_id] = kept.queue
            begun = presence_of.WrapUpBegun(kept.until)
            return [begun, presence_of.WrapUpExtended(kept.until)] if kept.extended else [begun]
        # Killed before it could keep that: the longest that it may have been.
        known = [queue for queue in queues if queue in self._site.queues]
        longest = max(known, key=lambda queue: self._site.queues[queue].wrap_up.limit, default=None)
        if longest is None:
            return [presence_of.WrapUpBegun(self._clock.now())]
        self._wrap_up_queue[agent_id] = longest
        return [presence_of.WrapUpBegun(self._clock.now() + self._site.queues[longest].wrap_up.limit)]

    async def _pause_seats(self, order: Pause) -> None:
        """Pause or unpause the agent wherever they sit. Raises PeerLost, DeadlineExceeded, PbxRefused."""
        agent, pbx = self._agent_and_pbx(order.agent_id)
        names = {seat.interface for seat in self._seating.of(order.agent_id)} or {agent.interface}
        for name in sorted(names):
            await pbx.queue_pause(name, paused=order.paused, reason=order.reason)

    def _due(self, order: Pause) -> bool:
        """Whether the order still says what the agent is to be: they, or an event, may have been quicker."""
        presence = self._presences[order.agent_id]
        if not order.paused:
            return presence.wrap_up_until is None and presence.pause_reason is None
        return order.reason != WRAP_UP or presence.wrap_up_until is not None

    def _pbx_for(self, agent_id: AgentId) -> Pbx | None:
        return self._pbxs.get(self._seating.pbx_of(agent_id)) if agent_id in self._seating.agents else None

    def _agent_and_pbx(self, agent_id: AgentId) -> tuple[Agent, Pbx]:
        self.presence(agent_id)
        pbx = self._pbx_for(agent_id)
        if pbx is None:
            raise UserFault(
                f"the phone of {agent_id} is on the PBX {self._seating.pbx_of(agent_id)}, which is not named",
                where="ctiserver.yaml: pbxs",
                fix="Name it there, or give the agent a phone on another one",
            )
        return self._seating.agents[agent_id], pbx

    def _policy(self, agent_id: AgentId) -> WrapUp:
        """The rules of the agent's last after-call work."""
        queue = self._site.queues.get(self._wrap_up_queue.get(agent_id, QueueName("")))
        return _NO_WRAP_UP if queue is None else queue.wrap_up

    # -- presences and their time -------------------------------------------------------------------------------------

    def _of(self, event: PbxEvent, interface: Interface, change: PresenceEvent) -> None:
        agent_id = self._seating.whose(event.pbx, interface)
        if agent_id is not None:
            self._step(agent_id, change)

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
        elif after.wrap_up_until != before.wrap_up_until and agent_id in self._wrap_up_queue:
            queue = self._wrap_up_queue[agent_id]
            self._to_keep[agent_id] = WrapUpKept(
                agent_id=agent_id, queue=queue, until=after.wrap_up_until, extended=after.wrap_up_extended
            )
            self._wrap_up_moved.set()
        if after.wrap_up_until != before.wrap_up_until:
            self._deadline_moved.set()
        if after != before:
            self._changed(after)
        return after

    async def _keep_wrap_ups(self) -> None:
        """Write down until when after-call work lasts; beside the order to pause, which must not wait for a disk."""
        while True:
            await self._wrap_up_moved.wait()
            self._wrap_up_moved.clear()
            todo, self._to_keep = self._to_keep, {}
            try:
                async with self._database.unit_of_work() as uow:
                    for wrap_up in todo.values():
                        await uow.wrap_ups.keep(wrap_up)
            except StoreUnavailable as error:
                log.error("wrap_up_not_kept", agents=sorted(todo), error=str(error))
            if self._kept is not None:
                self._kept |= todo

    async def _keep_deadlines(self) -> None:
        """End after-call work whose time is up, and say of whom nothing is heard any more."""
        while True:
            self._deadline_moved.clear()
            now = self._clock.now()
            ends = [(it.wrap_up_until, key) for key, it in self._presences.items() if it.wrap_up_until is not None]
            for until, agent_id in ends:
                if until <= now:
                    self._wrap_up_over(agent_id)
            lost = [(since + UNKNOWN_AFTER, pbx) for pbx, since in self._unheard_since.items()]
            for until, pbx in lost:
                if until <= now:
                    for agent_id in self._seating.on(pbx):
                        self._step(agent_id, presence_of.PbxHeard(False))
            later = [until for until, _ in (*ends, *lost) if until > now]
            left_s = min(((until - now).total_seconds() for until in later), default=None)
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._deadline_moved.wait()

    def _wrap_up_over(self, agent_id: AgentId) -> None:
        if self._policy(agent_id).then == "paused":
            self._step(agent_id, presence_of.WrapUpEnded(), presence_of.Paused(AFTER_WRAP_UP))
            self._orders.give(Pause(agent_id, True, AFTER_WRAP_UP))
        else:
            self._step(agent_id, presence_of.WrapUpEnded())
            self._orders.give(Pause(agent_id, False, ""))


def _fits(queue: QueueConfig, agent: Agent) -> bool:
    return agent.id in queue.members.agents or bool(set(queue.members.skills) & set(agent.skills))


def _penalty(queue: QueueConfig, agent: Agent) -> int:
    """The agent's own, else the least of the skills that make it a member."""
    penalties = queue.members.penalties
    if agent.id in penalties:
        return penalties[agent.id]
    return min((penalties.get(skill, 0) for skill in queue.members.skills if skill in agent.skills), default=0)
