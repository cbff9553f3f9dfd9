"""Everybody's presence, as it follows from what the PBXs say, what is known of their seats, and time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ctiserver.clock import Clock
from ctiserver.features.agents.orders import Orders, Pause, QueueMembership
from ctiserver.features.agents.seating import Seating
from ctiserver.model import agent as presence_of
from ctiserver.model.agent import Presence, PresenceEvent, WrapUpKept
from ctiserver.model.events import (
    AgentConnected,
    AgentDisconnected,
    AgentRingEnded,
    AgentRinging,
    CallEnded,
    CallsMerged,
    MemberChanged,
    PbxDown,
    PbxEvent,
    PbxTroubled,
    PbxUp,
)
from ctiserver.model.ids import AgentId, CallId, Interface, PbxName, QueueName
from ctiserver.pbx.port import Pbx, current_events
from ctiserver.site.files import WrapUp
from ctiserver.site.load import Site

#: The pause reason that stands for after-call work in app_queue.
WRAP_UP = "wrap_up"
#: And the one for its time being up, where the queue's policy is to wait for the agent then.
AFTER_WRAP_UP = "after_wrap_up"
#: And the one for not having answered, where the queue's policy is to offer such a phone no more calls.
NO_ANSWER = "no_answer"
#: How long a PBX may be unheard before nobody can say any more what its agents do: a link that only broke is back
#: sooner. With the ping's 4 s at the longest, which find one that is half-open, an agent is shown unknown within 5 s.
UNKNOWN_AFTER = timedelta(seconds=0.5)
_NO_WRAP_UP = WrapUp(limit=timedelta(0))


@dataclass(frozen=True, slots=True)
class _Before:
    """How an agent stood when the PBX was last heard."""

    presence: Presence
    seats: tuple[QueueMembership, ...]  #: those that a PBX may forget


class Presences:
    """What each agent does now. Tells ``orders`` what the PBXs are to do about it."""

    def __init__(
        self, clock: Clock, site: Site, seating: Seating, orders: Orders, changed: Callable[[Presence], None]
    ) -> None:
        """``changed`` is told of each new presence, at once; it must not wait."""
        self._clock = clock
        self._site = site
        self._seating = seating
        self._orders = orders
        self._changed = changed
        self._now: dict[AgentId, Presence] = {}
        self._wrap_up_queue: dict[AgentId, QueueName] = {}  #: whose policy the last after-call work followed
        self._kept: dict[AgentId, WrapUpKept] = {}  #: how long it was to last, by the database's word
        self._to_keep: dict[AgentId, WrapUpKept] = {}
        self._unanswered: dict[AgentId, int] = {}  #: calls that rang out, since the last one that was answered
        self._wrap_up_seen: set[AgentId] = set()  #: whose pause for after-call work the PBX has confirmed
        self._unheard_since: dict[PbxName, datetime] = {}
        self._before: dict[PbxName, dict[AgentId, _Before]] = {}
        #: Seats that a PBX has given, and of which it has not told yet: a PBX killed in between has forgotten them.
        self._given: dict[AgentId, dict[tuple[QueueName, Interface], QueueMembership]] = {}
        self._deadline_moved = asyncio.Event()
        self._wrap_up_moved = asyncio.Event()

    def __getitem__(self, agent_id: AgentId) -> Presence:
        return self._now[agent_id]

    def begin(self, agents: Iterable[AgentId]) -> None:
        """These are new, or have another phone: their presence follows from its seats."""
        for agent_id in agents:
            self._now.setdefault(agent_id, Presence(agent_id=agent_id, since=self._clock.now()))
            self.step(agent_id, *self._by_seats(agent_id))
        self._deadline_moved.set()  # their PBX may be one of which nothing is heard

    def left(self, agent_id: AgentId) -> None:
        """The agent has left all queues."""
        self._given.pop(agent_id, None)

    def unheard(self, pbx: PbxName) -> None:
        """Nothing has been heard of this PBX yet."""
        self._unheard_since.setdefault(pbx, self._clock.now())

    def found_kept(self, wrap_ups: Iterable[WrapUpKept]) -> None:
        """Until when after-call work lasts, or lasted, that a server before this one wrote down."""
        self._kept |= {wrap_up.agent_id: wrap_up for wrap_up in wrap_ups}

    async def to_keep(self) -> list[WrapUpKept]:
        """Wait for after-call work that is to be written down."""
        await self._wrap_up_moved.wait()
        self._wrap_up_moved.clear()
        todo, self._to_keep = self._to_keep, {}
        self.found_kept(todo.values())
        return list(todo.values())

    def heard(self, event: PbxEvent) -> None:
        """Take in one event of a PBX."""
        match event:
            case PbxUp():
                self._pbx_back(event)
            case PbxDown():
                self._pbx_away(event)
            case PbxTroubled():
                for agent_id in self._seating.on(event.pbx):
                    self._changed(self._now[agent_id])  # the desk shows what is wrong
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
            case CallsMerged():
                self._merged(event)
            case CallEnded():
                for agent_id, presence in list(self._now.items()):
                    if event.call_id in presence.talking | presence.ringing:
                        self.step(agent_id, presence_of.Disconnected(event.call_id))
            case _:
                pass

    def resync(self, pbxs: Mapping[PbxName, Pbx]) -> None:
        """Take seats and calls from the links to the PBXs: events were missed.

        An agent whose talk ended meanwhile gets no after-call work: when it ended is not known. Of a PBX that is heard
        again, what was put off is given; whether it was restarted meanwhile is not known, so no seat is given back.
        """
        self._seating.forget_seats()
        ringing: dict[AgentId, set[CallId]] = {}
        talking: dict[AgentId, set[CallId]] = {}
        for event in current_events(pbxs.values()):
            if isinstance(event, MemberChanged):
                agent_id = self._seating.take(event)
                if agent_id is not None:
                    self._given.get(agent_id, {}).pop((event.queue, event.interface), None)
            elif isinstance(event, AgentRinging | AgentConnected):
                agent_id = self._seating.whose(event.pbx, event.interface)
                if agent_id is not None:
                    now = ringing if isinstance(event, AgentRinging) else talking
                    now.setdefault(agent_id, set()).add(event.call_id)
        for name, pbx in pbxs.items():
            if pbx.up:
                self._unheard_since.pop(name, None)
                self._before.pop(name, None)
            else:
                self._unheard_since.setdefault(name, min(pbx.since, self._clock.now()))
            for agent_id in self._seating.on(name):
                before = self._now[agent_id]
                rings, talks = ringing.get(agent_id, set()), talking.get(agent_id, set())
                steps: list[PresenceEvent] = [
                    *(presence_of.RingEnded(call) for call in before.ringing - rings),
                    *(presence_of.Disconnected(call) for call in before.talking - talks),
                    *(presence_of.Connected(call) for call in talks),
                    *(presence_of.Ringing(call) for call in rings),
                    *self._by_seats(agent_id),
                ]
                if pbx.up:
                    steps.append(presence_of.PbxHeard(True))
                if self.step(agent_id, *steps) == before:
                    self._changed(before)  # its queues, or what is wrong with its PBX, may have changed
                if pbx.up:
                    self._orders.heard_again(agent_id)
        self._deadline_moved.set()

    def step(self, agent_id: AgentId, *events: PresenceEvent) -> Presence:
        """Take in what is so now; the presence that follows."""
        before = after = self._now[agent_id]
        now = self._clock.now()
        for event in events:
            after = presence_of.step(after, event, now)
        if after.state == before.state:
            after = replace(after, since=before.since)
        self._now[agent_id] = after
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

    def seated(self, given: QueueMembership) -> None:
        """The PBX has given this seat; its event may still be on its way."""
        if not any(
            (seat.queue, seat.interface) == (given.queue, given.interface) for seat in self._dynamic(given.agent_id)
        ):
            self._given.setdefault(given.agent_id, {})[given.queue, given.interface] = given

    def _dynamic(self, agent_id: AgentId) -> list[QueueMembership]:
        seats = [seat for seat in self._seating.of(agent_id) if seat.dynamic]
        return [QueueMembership(agent_id, seat.queue, seat.interface, seat.name, seat.penalty) for seat in seats]

    def due(self, order: Pause) -> bool:
        """Whether the order still says what the agent is to be: they, or an event, may have been quicker."""
        presence = self._now[order.agent_id]
        if not order.paused:
            return presence.wrap_up_until is None and presence.pause_reason is None
        return order.reason != WRAP_UP or presence.wrap_up_until is not None

    def policy(self, agent_id: AgentId) -> WrapUp:
        """The rules of the agent's last after-call work."""
        queue = self._site.queues.get(self._wrap_up_queue.get(agent_id, QueueName("")))
        return _NO_WRAP_UP if queue is None else queue.wrap_up

    async def keep_deadlines(self) -> None:
        """End after-call work whose time is up, and say of whom nothing is heard any more."""
        while True:
            self._deadline_moved.clear()
            now = self._clock.now()
            ends = [(it.wrap_up_until, key) for key, it in self._now.items() if it.wrap_up_until is not None]
            for until, agent_id in ends:
                if until <= now:
                    self._wrap_up_over(agent_id)
            lost = [(since + UNKNOWN_AFTER, pbx) for pbx, since in self._unheard_since.items()]
            for until, pbx in lost:
                if until <= now:
                    for agent_id in self._seating.on(pbx):
                        self.step(agent_id, presence_of.PbxHeard(False))
            later = [until for until, _ in (*ends, *lost) if until > now]
            left_s = min(((until - now).total_seconds() for until in later), default=None)
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._deadline_moved.wait()

    def _wrap_up_over(self, agent_id: AgentId) -> None:
        if self.policy(agent_id).then == "paused":
            self.step(agent_id, presence_of.WrapUpEnded(), presence_of.Paused(AFTER_WRAP_UP))
            self._orders.give(Pause(agent_id, True, AFTER_WRAP_UP))
        else:
            self.step(agent_id, presence_of.WrapUpEnded())
            self._orders.give(Pause(agent_id, False, ""))

    # -- the PBX goes and comes ---------------------------------------------------------------------------------------

    def _pbx_away(self, event: PbxDown) -> None:
        # A clock of the PBX's that is ahead of ours would leave its agents as they were for as long.
        self._unheard_since.setdefault(event.pbx, min(event.at, self._clock.now()))
        self._deadline_moved.set()
        agents = self._seating.on(event.pbx)
        self._before.setdefault(
            event.pbx,
            {key: _Before(self._now[key], (*self._dynamic(key), *self._given.get(key, {}).values())) for key in agents},
        )
        for agent_id in agents:
            self._changed(self._now[agent_id])  # the desk shows whether it is heard

    def _pbx_back(self, event: PbxUp) -> None:
        """Seats and calls were reconciled before this event; what a restart lost of them is asked for again."""
        self._unheard_since.pop(event.pbx, None)
        before = self._before.pop(event.pbx, {})
        for agent_id in self._seating.on(event.pbx):
            presence = self._now[agent_id]
            if self.step(agent_id, presence_of.PbxHeard(True)) == presence:
                self._changed(presence)
            if event.restarted and agent_id in before:
                self._restore(agent_id, before[agent_id])
            self._orders.heard_again(agent_id)

    def _restore(self, agent_id: AgentId, was: _Before) -> None:
        """Give an agent back what a PBX forgot that was killed a moment after it was told, or that keeps nothing."""
        there = {(seat.queue, seat.interface): seat for seat in self._seating.of(agent_id)}
        # Who had just logged out may have seats whose end was not told yet.
        lost = (
            [seat for seat in was.seats if (seat.queue, seat.interface) not in there] if was.presence.logged_in else []
        )
        for seat in lost:
            self._orders.give(seat)
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
        if lost or (order is not None and not all(seat.paused for seat in there.values())):
            self.step(agent_id, *steps)
            if order is not None:
                self._orders.give(order)

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
            before = self._now[agent_id]
            if limit and in_a_row >= limit and before.logged_in and before.pause_reason is None:
                self._unanswered.pop(agent_id)
                steps.append(presence_of.Paused(NO_ANSWER))
                self._orders.give(Pause(agent_id, True, NO_ANSWER))
        self.step(agent_id, *steps)

    def _merged(self, event: CallsMerged) -> None:
        """Anyone who was in the call that is no more is in the other; nothing says again that it ended."""
        for agent_id, presence in list(self._now.items()):
            if event.absorbed in presence.talking:
                self.step(agent_id, presence_of.Connected(event.call_id), presence_of.Disconnected(event.absorbed))
            if event.absorbed in presence.ringing:
                self.step(agent_id, presence_of.Ringing(event.call_id), presence_of.RingEnded(event.absorbed))

    def _disconnected(self, event: AgentDisconnected) -> None:
        agent_id = self._seating.whose(event.pbx, event.interface)
        if agent_id is None:
            return
        before = self._now[agent_id]
        steps: list[PresenceEvent] = [presence_of.Disconnected(event.call_id)]
        limit = self._site.queues[event.queue].wrap_up.limit if event.queue in self._site.queues else timedelta(0)
        at_work = event.call_id in before.talking and before.logged_in and before.pause_reason is None
        if event.queue and at_work and limit:
            self._wrap_up_queue[agent_id] = event.queue
            steps.append(presence_of.WrapUpBegun(self._clock.now() + limit))
            self._orders.give(Pause(agent_id, True, WRAP_UP))
        self.step(agent_id, *steps)

    # -- seats --------------------------------------------------------------------------------------------------------

    def _member_changed(self, event: MemberChanged) -> None:
        seated = self._seating.seated(event)
        agent_id = self._seating.take(event)
        if agent_id is None:
            return
        self._given.get(agent_id, {}).pop((event.queue, event.interface), None)
        before = self._now[agent_id]
        if self.step(agent_id, *self._by_seats(agent_id, event)) == before and seated != event.present:
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
        if self._now[agent_id].wrap_up_until is not None:
            return [presence_of.Unpaused()]
        return [presence_of.Unpaused(), *self._found_in_wrap_up(agent_id, seats)]

    def _found_in_wrap_up(self, agent_id: AgentId, seats: list[MemberChanged]) -> list[PresenceEvent]:
        """After-call work that began before this server was started: it lasts as long as it was to last."""
        kept = self._kept.get(agent_id)
        now = self._clock.now()
        began = max((seat.paused_at for seat in seats if seat.paused_at is not None), default=now)
        if kept is not None and kept.until > began:
            self._wrap_up_queue[agent_id] = kept.queue
            begun = presence_of.WrapUpBegun(kept.until)
            return [begun, presence_of.WrapUpExtended(kept.until)] if kept.extended else [begun]
        # Killed before it could keep that, and what it kept is an older one: the longest that it may have been.
        known = [seat.queue for seat in seats if seat.queue in self._site.queues]
        longest = max(known, key=lambda queue: self._site.queues[queue].wrap_up.limit, default=None)
        if longest is None:
            return [presence_of.WrapUpBegun(now)]
        self._wrap_up_queue[agent_id] = longest
        return [presence_of.WrapUpBegun(min(began, now) + self._site.queues[longest].wrap_up.limit)]

    def _of(self, event: PbxEvent, interface: Interface, change: PresenceEvent) -> None:
        agent_id = self._seating.whose(event.pbx, interface)
        if agent_id is not None:
            self.step(agent_id, change)
