"""The calls of one PBX: a table from what it says to what that does, pure, live and in replay alike.

``CallTracker.apply(signal)`` takes one signal and gives the domain events that follow. Nothing is illegal here: a PBX
may be joined inside a call, events may be missing, late or twice; what can be known is kept, the rest is marked
``reconstructed``. The pitfalls behind the rules are in docs/explanation/calls.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from ctiserver.model import signals as s
from ctiserver.model.call import (
    Call,
    Leg,
    Visit,
    elapsed_ms,
    interface_of,
    is_local,
    local_twin,
    moment,
    parties_of,
)
from ctiserver.model.events import (
    AgentConnected,
    AgentDisconnected,
    AgentRingEnded,
    AgentRinging,
    CallEnded,
    CallerEnteredQueue,
    CallerLeftQueue,
    CallEvent,
    CallHeld,
    CallsMerged,
    CallStarted,
    CallTransferred,
    Direction,
    QueueOutcome,
    RingOutcome,
    Transfer,
    TransferKind,
)
from ctiserver.model.ids import CallId, Interface, Linkedid, PbxName, QueueName, Uniqueid, call_id

#: When an event of a recording without any times happened.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
#: How many ended channels are remembered, so that what comes late does not begin a call anew.
_REMEMBERED = 4096

#: Q.850 causes that a phone gives when it does not want, or can't take, the call.
_CAUSE_RING_OUTCOME: dict[int, RingOutcome] = {17: "busy", 21: "declined"}
_DIAL_RING_OUTCOME: dict[str, RingOutcome] = {
    "ANSWER": "answered",
    "BUSY": "busy",
    "NOANSWER": "no_answer",
    "CANCEL": "cancelled",
    "CHANUNAVAIL": "failed",
    "CONGESTION": "failed",
}
_QUEUE_STATUS: dict[str, QueueOutcome] = {
    "TIMEOUT": "timeout",
    "FULL": "full",
    "JOINEMPTY": "empty",
    "LEAVEEMPTY": "empty",
    "JOINUNAVAIL": "empty",
    "LEAVEUNAVAIL": "empty",
    "CONTINUE": "key",
    "WITHDRAW": "key",
}


@dataclass(frozen=True, slots=True)
class Sides:
    """Which devices are ours. ``trunks`` None: unknown (a replay); then phones are learnt from the queues."""

    trunks: frozenset[Interface] | None = None
    phones: frozenset[Interface] = frozenset()


@dataclass(slots=True)
class CallTracker:
    """All calls of one PBX. ``midstream``: channels not seen to begin are taken in (a recording, not a live link)."""

    pbx: PbxName
    sides: Sides = field(default_factory=Sides)
    midstream: bool = True
    calls: dict[CallId, Call] = field(default_factory=dict)
    ignored: int = 0  #: signals about channels that are not known
    _legs: dict[Uniqueid, Leg] = field(default_factory=dict)
    _by_linkedid: dict[Linkedid, Call] = field(default_factory=dict)
    _bridges: dict[str, dict[Uniqueid, Leg]] = field(default_factory=dict)
    _holding_bridges: set[str] = field(default_factory=set)
    _local_halves: dict[str, Leg] = field(default_factory=dict)
    _gone: dict[Uniqueid, Call] = field(default_factory=dict)
    _phones: set[Interface] = field(default_factory=set)
    _lines: set[Interface] = field(default_factory=set)
    _last_at: float | None = None
    _out: list[CallEvent] = field(default_factory=list)
    _table: dict[type[Any], Callable[[Any], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._table = {
            s.ChannelBegan: self._channel_began,
            s.ChannelRenamed: self._channel_renamed,
            s.HangupAsked: self._hangup_asked,
            s.SoftHangupAsked: self._soft_hangup_asked,
            s.ChannelEnded: self._channel_ended,
            s.DialBegan: self._dial_began,
            s.DialEnded: self._dial_ended,
            s.OriginateAnswered: self._originate_answered,
            s.QueueJoined: self._queue_joined,
            s.QueueGivenUp: self._queue_given_up,
            s.QueueLeft: self._queue_left,
            s.QueueResult: self._queue_result,
            s.MemberCalled: self._member_called,
            s.MemberAnswered: self._member_answered,
            s.MemberRangOut: self._member_rang_out,
            s.MemberCompleted: self._member_completed,
            s.BridgeEntered: self._bridge_entered,
            s.BridgeLeft: self._bridge_left,
            s.HoldChanged: self._hold_changed,
            s.LocalJoined: self._local_joined,
            s.BlindTransferred: self._blind_transferred,
            s.AttendedTransferred: self._attended_transferred,
            s.ApplicationBegan: self._application_began,
        }

    def apply(self, signal: s.CallSignal) -> list[CallEvent]:
        """Take one signal in; the events that follow from it, in order."""
        if signal.at is not None:
            self._last_at = signal.at
        self._table[type(signal)](signal)
        if not self._out:
            return []
        out, self._out = self._out, []
        return out

    def learn_phone(self, interface: Interface) -> None:
        """A queue has this device as a member: it is a phone of ours, no line to the outside."""
        if not is_local(interface):
            self._phones.add(interface)

    def close_all(self, at: float | None, reason: Literal["pbx_restarted", "lost"]) -> list[CallEvent]:
        """The PBX is another process now, or won't be heard again: every call is over, without a known end."""
        for call in list(self.calls.values()):
            self._finish(call, at, reason)
        out, self._out = self._out, []
        return out

    # -- channels -----------------------------------------------------------------------------------------------

    def _channel_began(self, signal: s.ChannelBegan) -> None:
        leg = self._legs.get(signal.who.uniqueid)
        if leg is None:
            if signal.who.uniqueid not in self._gone:
                self._begin(signal.who, signal.at, ringing_in=signal.ringing_in)
        elif signal.who.linkedid:
            self._follow_linkedid(leg, signal.who.linkedid, signal.at)

    def _begin(self, who: s.Who, at: float | None, *, ringing_in: bool, missed: bool = False) -> Leg:
        call = self._by_linkedid.get(who.linkedid) if who.linkedid else None
        if call is None and is_local(who.channel):
            other = self._local_halves.get(local_twin(who.channel) or "")
            call = other.call if other is not None else None
        fresh = call is None
        if call is None:
            call = self._new_call(who, at, ringing_in=ringing_in, missed=missed)
        elif who.linkedid and who.linkedid not in call.linkedids:
            call.linkedids.append(who.linkedid)
            self._by_linkedid[who.linkedid] = call
        local = is_local(who.channel)
        # A recording that begins inside a call shows its legs in any order; the caller's is the linkedid's.
        first = call.caller is None and ((fresh and not missed) or who.uniqueid == str(call.linkedids[0]))
        leg = Leg(
            uniqueid=who.uniqueid,
            channel=who.channel,
            call=call,
            origin=call.call_id,
            first=first,
            interface=interface_of(who.channel),
            local=local,
        )
        if local:
            self._pair(leg)
        if first:
            call.caller = leg
        call.live[leg.uniqueid] = leg
        call.legs.append(leg)
        self._legs[leg.uniqueid] = leg
        if leg.first and not local and (ringing_in or missed):
            leg.turn("ivr", at)
        if fresh:
            self._say_started(call, who, at)
        return leg

    def _new_call(self, who: s.Who, at: float | None, *, ringing_in: bool, missed: bool) -> Call:
        root = Uniqueid(who.linkedid or who.uniqueid)
        interface = interface_of(who.channel)
        call = Call(
            call_id=call_id(self.pbx, root),
            pbx=self.pbx,
            linkedids=[Linkedid(root)],
            direction=self._direction(interface, ringing_in=ringing_in or missed),
            ani=who.number,
            caller_name=who.name,
            dnis=_dialled(who.exten),
            started=None if missed else at,
            reconstructed=missed,
            originated=not ringing_in and not missed,
        )
        if call.direction == "inbound":
            self._lines.add(interface)
        self.calls[call.call_id] = call
        self._by_linkedid[Linkedid(root)] = call
        return call

    def _direction(self, interface: Interface, *, ringing_in: bool) -> Direction:
        if not ringing_in:
            return "outbound"
        if interface in self._phones or interface in self.sides.phones:
            return "internal"
        if self.sides.trunks is not None and interface not in self.sides.trunks:
            return "internal"
        return "inbound"

    def _leg(self, who: s.Who, at: float | None) -> Leg | None:
        """The leg of a channel; taken in now if its beginning was missed. None: it is over, or not to be known."""
        leg = self._legs.get(who.uniqueid)
        if leg is not None:
            if who.linkedid and self._by_linkedid.get(who.linkedid) is not leg.call:
                self._follow_linkedid(leg, who.linkedid, at)
            call = leg.call
            if not call.ani and leg.first and who.number:
                call.ani = who.number
            return leg
        if not who.uniqueid or who.uniqueid in self._gone or not self.midstream:
            self.ignored += 1
            return None
        return self._begin(who, at, ringing_in=True, missed=True)

    def _follow_linkedid(self, leg: Leg, linkedid: Linkedid, at: float | None) -> None:
        """A channel turned up under another linkedid: what that names and the channel's call are one."""
        other = self._by_linkedid.get(linkedid)
        if other is None:
            leg.call.linkedids.append(linkedid)
            self._by_linkedid[linkedid] = leg.call
        elif other is not leg.call:
            self._merge(other, leg.call, at)

    def _channel_renamed(self, signal: s.ChannelRenamed) -> None:
        leg = self._legs.get(signal.uniqueid)
        if leg is not None and not signal.channel.endswith(">"):
            leg.channel = signal.channel
            leg.interface = interface_of(signal.channel)
            leg.local = is_local(signal.channel)

    def _pair(self, leg: Leg) -> None:
        self._local_halves[leg.channel] = leg
        twin = self._local_halves.get(local_twin(leg.channel) or "")
        if twin is not None:
            leg.twin, twin.twin = twin, leg

    def _local_joined(self, signal: s.LocalJoined) -> None:
        one, two = self._leg(signal.one, signal.at), self._leg(signal.two, signal.at)
        if one is not None and two is not None:
            one.twin, two.twin = two, one
            if one.call is not two.call:
                self._merge(one.call, two.call, signal.at)

    def _hangup_asked(self, signal: s.HangupAsked) -> None:
        leg = self._leg(signal.who, signal.at)
        if leg is None or leg.local:
            return
        leg.ending = True
        if signal.cause:
            leg.asked_cause = signal.cause
        if leg.first:
            leg.call.hangup_by = "caller"
        elif leg.current is not None and leg.current.kind in ("talk", "hold"):
            leg.call.hangup_by = "agent"

    def _soft_hangup_asked(self, signal: s.SoftHangupAsked) -> None:
        leg = self._leg(signal.who, signal.at)
        if leg is not None:
            leg.ending = True

    def _channel_ended(self, signal: s.ChannelEnded) -> None:
        leg = self._leg(signal.who, signal.at)
        if leg is None:
            return
        at, call = signal.at, leg.call
        leg.cause = signal.cause
        leg.ending = leg.ended = True
        if leg.ringing:
            self._ring_ended(leg, at, _CAUSE_RING_OUTCOME.get(signal.cause, "cancelled"))
        if leg.visit is not None:
            self._leave_queue(leg, at, "abandoned")
        self._leave_bridge(leg, at)
        leg.turn(None, at)
        if leg.connected:
            self._disconnect(leg, at)
        self._forget(leg)
        if not call.live:
            self._finish(call, at, "hangup")

    def _forget(self, leg: Leg) -> None:
        leg.call.live.pop(leg.uniqueid, None)
        self._legs.pop(leg.uniqueid, None)
        self._local_halves.pop(leg.channel, None)
        self._gone[leg.uniqueid] = leg.call
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]

    def _finish(self, call: Call, at: float | None, reason: Literal["hangup", "pbx_restarted", "lost"]) -> None:
        for leg in list(call.live.values()):
            if leg.visit is not None:
                self._leave_queue(leg, None, "unknown")
            self._leave_bridge(leg, None)
            self._forget(leg)
        self.calls.pop(call.call_id, None)
        for linkedid in call.linkedids:
            if self._by_linkedid.get(linkedid) is call:
                del self._by_linkedid[linkedid]
        if reason == "hangup":
            call.ended = at
        summary = call.summary(complete=reason == "hangup")
        self._emit(CallEnded, call, at, summary=summary, reason=reason)

    # -- dials --------------------------------------------------------------------------------------------------

    def _dial_began(self, signal: s.DialBegan) -> None:
        at = signal.at
        source = self._leg(signal.source, at) if signal.source is not None else None
        dest = self._leg(signal.dest, at)
        if dest is None:
            return
        call = dest.call
        if source is None:
            if dest.first and call.originated:
                # The channel's own event shows the device's number; what the far side is shown comes with the dial.
                call.ani = signal.dest.number or call.ani
                call.caller_name = signal.dest.name or call.caller_name
                if not call.dnis and "@" in signal.dial_string:
                    call.dnis = signal.dial_string.partition("@")[0].rpartition("/")[2]
            self._ring(dest, at)
            return
        if source.call is not call:
            self._merge(source.call, call, at)
            call = source.call
        if source.first and not call.dnis and signal.source is not None:
            call.dnis = _dialled(signal.source.exten)
        if source.first and call.direction == "internal" and self._leads_outside(dest, signal.dial_string):
            call.direction = "outbound"
        if not dest.local:
            self._ring(dest, at, via=source)
        if not source.local and source.visit is None and source.bridge is None:
            source.turn("ring", at)

    def _leads_outside(self, dest: Leg, dial_string: str) -> bool:
        if self.sides.trunks is not None:
            return dest.interface in self.sides.trunks
        if dest.interface in self._phones:
            return False
        return dest.interface in self._lines or "@" in dial_string

    def _ring(self, leg: Leg, at: float | None, via: Leg | None = None) -> None:
        """A phone rings; for a member behind a Local channel queue and member come from the half that was called."""
        if leg.ringing or leg.connected:
            return
        if via is not None and via.twin is not None and leg.queue is None:
            leg.queue, leg.member = via.twin.queue, via.twin.member
        leg.ringing = True
        leg.ring_since = at
        leg.turn("ring", at)
        if not leg.first or self._is_own_phone(leg):
            member = leg.member or leg.interface
            self._emit(AgentRinging, leg.call, at, interface=leg.interface, queue=leg.queue, member=member)

    def _is_own_phone(self, leg: Leg) -> bool:
        return leg.call.direction == "outbound" and (
            leg.interface in self._phones or leg.interface in self.sides.phones
        )

    def _dial_ended(self, signal: s.DialEnded) -> None:
        leg = self._leg(signal.dest, signal.at)
        if leg is None:
            return
        call = leg.call
        answered = signal.status == "ANSWER"
        if leg.queue is None and not (leg.first and answered) and not (leg.twin is not None and leg.twin.queue):
            call.dial_status = signal.status
        if leg.ringing:
            outcome = _DIAL_RING_OUTCOME.get(signal.status, "failed")
            if outcome == "no_answer" and leg.asked_cause is not None:
                outcome = _CAUSE_RING_OUTCOME.get(leg.asked_cause, outcome)
            self._ring_ended(leg, signal.at, outcome)
        if answered and leg.first and call.originated:
            leg.turn("ivr", signal.at, passing=True)
        caller = call.caller
        if caller is not None and caller is not leg and caller.current is not None and caller.current.kind == "ring":
            if answered:
                caller.turn(None, signal.at)
            elif not any(other.ringing for other in call.live.values()):
                caller.turn("ivr", signal.at, passing=True)

    def _ring_ended(self, leg: Leg, at: float | None, outcome: RingOutcome) -> None:
        leg.ringing = False
        if leg.current is not None and leg.current.kind == "ring":
            leg.turn(None, at)
        if leg.first and not self._is_own_phone(leg):
            return
        self._emit(
            AgentRingEnded,
            leg.call,
            at,
            interface=leg.interface,
            queue=leg.queue,
            outcome=outcome,
            ring_ms=elapsed_ms(leg.ring_since, at),
            member=leg.member or leg.interface,
        )

    def _originate_answered(self, signal: s.OriginateAnswered) -> None:
        leg = self._legs.get(signal.uniqueid)
        if leg is not None and leg.first and not leg.call.dnis:
            leg.call.dnis = _dialled(signal.exten)

    # -- queues -------------------------------------------------------------------------------------------------

    def _queue_joined(self, signal: s.QueueJoined) -> None:
        leg = self._leg(signal.who, signal.at)
        if leg is None:
            return
        if leg.visit is not None:
            if leg.visit.queue == signal.queue:
                return
            self._leave_queue(leg, signal.at, "unknown")
        leg.call.hangup_by = None
        leg.visit = Visit(signal.queue, signal.at)
        leg.call.visits.append(leg.visit)
        leg.turn("queue", signal.at)
        self._emit(
            CallerEnteredQueue,
            leg.call,
            signal.at,
            uniqueid=leg.uniqueid,
            queue=signal.queue,
            position=signal.position,
        )

    def _visit_of(self, who: s.Who, queue: QueueName, at: float | None) -> Leg | None:
        """The waiting leg; a visit whose beginning was missed is taken in."""
        leg = self._leg(who, at)
        if leg is None:
            return None
        if leg.visit is None and not any(visit.queue == queue for visit in leg.call.visits):
            leg.visit = Visit(queue, None)
            leg.call.visits.append(leg.visit)
            leg.turn("queue", None)
        return leg

    def _queue_given_up(self, signal: s.QueueGivenUp) -> None:
        leg = self._visit_of(signal.who, signal.queue, signal.at)
        if leg is not None and leg.visit is not None:
            # Asterisk says Abandon for a time-out too; a caller who went has asked for the hang-up before.
            leg.visit.outcome = "abandoned" if leg.ending else "timeout"

    def _queue_left(self, signal: s.QueueLeft) -> None:
        leg = self._visit_of(signal.who, signal.queue, signal.at)
        if leg is None or leg.visit is None:
            return
        outcome = leg.visit.outcome
        if outcome == "unknown":
            # Nobody gave up: either somebody answered (AgentConnect may come after), or a key led out of the queue.
            rung = (other for other in leg.call.live.values() if other.member is not None and other.queue)
            answered = any(not other.ringing and not other.ending for other in rung)
            outcome = "answered" if answered else "abandoned" if leg.ending else "key"
        self._leave_queue(leg, signal.at, outcome)

    def _leave_queue(self, leg: Leg, at: float | None, outcome: QueueOutcome) -> None:
        visit, leg.visit = leg.visit, None
        assert visit is not None
        visit.left, visit.outcome, visit.open = at, outcome, False
        if outcome == "answered" and visit.agent is None:
            visit.agent = self._answering(leg.call, visit)
        leg.turn(None if leg.ending or outcome == "answered" else "ivr", at, passing=True)
        self._emit(
            CallerLeftQueue,
            leg.call,
            at,
            uniqueid=leg.uniqueid,
            queue=visit.queue,
            outcome=outcome,
            interface=visit.agent,
            wait_ms=elapsed_ms(visit.entered, at),
        )

    def _answering(self, call: Call, visit: Visit) -> Interface | None:
        """The phone, of those this queue rang, that has answered: the real one, never a Local half."""
        for leg in reversed(call.legs):
            if not leg.local and leg.queue == visit.queue and not leg.ringing and not leg.ended and not leg.ending:
                return leg.interface
        return None

    def _queue_result(self, signal: s.QueueResult) -> None:
        """The dialplan's own word on the last visit; it comes a moment after the visit ended."""
        leg = self._leg(signal.who, signal.at)
        outcome = _QUEUE_STATUS.get(signal.status)
        if leg is None or outcome is None:
            return
        visits = leg.call.visits
        if visits and not visits[-1].open and visits[-1].outcome in ("timeout", "key", "unknown"):
            visits[-1].outcome = outcome

    def _member_called(self, signal: s.MemberCalled) -> None:
        self._visit_of(signal.who, signal.queue, signal.at)
        leg = self._leg(signal.dest, signal.at)
        if leg is None:
            return
        leg.queue, leg.member = signal.queue, signal.member
        if not leg.local:
            self._ring(leg, signal.at)

    def _member_answered(self, signal: s.MemberAnswered) -> None:
        caller = self._visit_of(signal.who, signal.queue, signal.at)
        leg = self._leg(signal.dest, signal.at)
        if caller is None or leg is None:
            return
        leg.queue, leg.member = signal.queue, signal.member
        for visit in reversed(caller.call.visits):
            if visit.queue == signal.queue:
                visit.agent = self._answering(caller.call, visit) if leg.local else leg.interface
                if caller.visit is not visit:
                    visit.outcome = "answered"
                break
        if caller.visit is not None:
            self._leave_queue(caller, signal.at, "answered")

    def _member_rang_out(self, signal: s.MemberRangOut) -> None:
        leg = self._leg(signal.dest, signal.at)
        if leg is not None and leg.ringing:
            self._ring_ended(leg, signal.at, _CAUSE_RING_OUTCOME.get(leg.asked_cause or 0, "no_answer"))

    def _member_completed(self, signal: s.MemberCompleted) -> None:
        leg = self._leg(signal.who, signal.at)
        if leg is not None and leg.call.hangup_by is None and signal.reason in ("caller", "agent"):
            leg.call.hangup_by = "caller" if signal.reason == "caller" else "agent"

    # -- bridges ------------------------------------------------------------------------------------------------

    def _bridge_entered(self, signal: s.BridgeEntered) -> None:
        leg = self._leg(signal.who, signal.at)
        if leg is None:
            return
        if leg.bridge is not None and leg.bridge != signal.bridge:
            self._leave_bridge(leg, signal.at)
        if signal.holding:
            self._holding_bridges.add(signal.bridge)
        leg.bridge = signal.bridge
        room = self._bridges.setdefault(signal.bridge, {})
        for other in list(room.values()):
            if other.call is not leg.call:
                self._merge(*_older_first(other.call, leg.call), signal.at)
        room[leg.uniqueid] = leg
        self._settle(signal.bridge, signal.at)

    def _bridge_left(self, signal: s.BridgeLeft) -> None:
        leg = self._leg(signal.who, signal.at)
        if leg is None:
            return
        if leg.bridge is None and leg.current is None and not leg.ended and leg.call.reconstructed:
            leg.bridge = signal.bridge
            leg.turn("talk", None)  # a talk that had begun before we listened
            self._connect(leg, None)
        if leg.bridge == signal.bridge:
            self._leave_bridge(leg, signal.at)
            if leg.first and not leg.ending and leg.visit is None and not leg.local:
                leg.turn("ivr", signal.at, passing=True)

    def _leave_bridge(self, leg: Leg, at: float | None) -> None:
        bridge, leg.bridge = leg.bridge, None
        if bridge is None:
            return
        room = self._bridges.get(bridge, {})
        room.pop(leg.uniqueid, None)
        if leg.current is not None and leg.current.kind in ("talk", "hold", "consult"):
            leg.turn(None, at)
        if room:
            self._settle(bridge, at)
        else:
            self._bridges.pop(bridge, None)
            self._holding_bridges.discard(bridge)
        if leg.local and leg.twin is not None and leg.twin.bridge is not None:
            self._settle(leg.twin.bridge, at)

    def _settle(self, bridge: str, at: float | None) -> None:
        """Who of this room talks, holds or consults, now that somebody came, went or pressed hold."""
        parties, bridges, leads_out = parties_of(bridge, self._bridges)
        if not parties:
            return
        if len(parties) == 1:
            leg = parties[0]
            others = any(other is not leg and not other.local and not other.ending for other in leg.call.live.values())
            if leads_out:
                leg.turn("ivr", at, passing=True)
            elif others and not leg.ending:
                leg.turn("hold", at, passing=True)
            else:
                leg.turn(None, at)
            return
        if bridges & self._holding_bridges:
            for leg in parties:
                leg.turn("hold", at)
            return
        active = sum(not leg.holding for leg in parties)
        for leg in parties:
            caller = leg.call.caller
            if leg.holding or active < 2:
                leg.turn("hold", at)
            elif caller is not None and not caller.ended and caller not in parties:
                leg.turn("consult", at)
            else:
                leg.turn("talk", at)
            if not leg.connected:
                self._connect(leg, at)

    def _connect(self, leg: Leg, at: float | None) -> None:
        """A person is through to somebody."""
        call = leg.call
        if leg.ringing:
            self._ring_ended(leg, at, "answered")
        if leg.first:
            if call.originated and self._is_own_phone(leg):
                leg.connected = True
                self._emit_connected(leg, at)
            return
        leg.connected = True
        if leg.current is not None and leg.current.kind == "talk":
            self._served(leg, at)
        self._emit_connected(leg, at)

    def _served(self, leg: Leg, at: float | None) -> None:
        call = leg.call
        call.served_by = "person"
        call.hangup_by = None
        call.answered_by.append(leg.interface)
        if call.answered is None:
            call.answered = at

    def _emit_connected(self, leg: Leg, at: float | None) -> None:
        member = leg.member or leg.interface
        self._emit(AgentConnected, leg.call, at, interface=leg.interface, queue=leg.queue, member=member)

    def _disconnect(self, leg: Leg, at: float | None) -> None:
        leg.connected = False
        self._emit(
            AgentDisconnected,
            leg.call,
            at,
            interface=leg.interface,
            queue=leg.queue,
            talk_ms=leg.talk_ms(),
            member=leg.member or leg.interface,
        )

    def _hold_changed(self, signal: s.HoldChanged) -> None:
        leg = self._leg(signal.who, signal.at)
        if leg is None or leg.holding == signal.held:
            return
        leg.holding = signal.held
        if leg.bridge is not None:
            self._settle(leg.bridge, signal.at)
        self._emit(CallHeld, leg.call, signal.at, interface=leg.interface, held=signal.held)

    # -- transfers ----------------------------------------------------------------------------------------------

    def _blind_transferred(self, signal: s.BlindTransferred) -> None:
        leg = self._leg(signal.by, signal.at)
        if leg is not None:
            self._transferred(leg.call, signal.at, "blind", leg.interface, signal.exten)

    def _attended_transferred(self, signal: s.AttendedTransferred) -> None:
        at = signal.at
        by = self._leg(signal.by, at)
        if by is None:
            return
        second = self._leg(signal.second, at)
        target = self._leg(signal.target, at) if signal.target is not None else None
        for other in (second, target):
            if other is not None and other.call is not by.call:
                self._merge(*_older_first(by.call, other.call), at)
        call = by.call
        if second is not None and second.origin != call.call_id:
            self._was_consult(call, second, signal.second_bridge)
        kind: TransferKind = "attended"
        if target is None:
            kind = "blonde"
            target = next((leg for leg in reversed(call.legs) if leg.ringing and not leg.local), None)
        to = target.interface if target is not None else signal.second.exten
        self._transferred(call, at, kind, by.interface, to)

    def _was_consult(self, call: Call, second: Leg, bridge: str) -> None:
        """The transferer's second call was no talk with the caller, but one about the caller."""
        for leg in call.legs:
            for span in leg.spans:
                if leg is second or (leg.origin == second.origin and span.kind == "talk" and span.bridge == bridge):
                    span.kind = "consult"

    def _transferred(self, call: Call, at: float | None, kind: TransferKind, by: Interface, to: str) -> None:
        call.transfers.append(Transfer(kind=kind, by=by, to=to))
        call.hangup_by = None
        self._emit(CallTransferred, call, at, kind=kind, by=by, to=to)

    def _merge(self, kept: Call, absorbed: Call, at: float | None) -> None:
        """Two calls turned out to be one: the older stays."""
        kept, absorbed = _older_first(kept, absorbed)
        for leg in absorbed.legs:
            leg.call = kept
            leg.first = False
        for linkedid in absorbed.linkedids:
            self._by_linkedid[linkedid] = kept
            if linkedid not in kept.linkedids:
                kept.linkedids.append(linkedid)
        kept.live.update(absorbed.live)
        kept.legs.extend(absorbed.legs)
        kept.visits.extend(absorbed.visits)
        kept.transfers.extend(absorbed.transfers)
        kept.answered_by.extend(absorbed.answered_by)
        if kept.answered is None:
            kept.answered = absorbed.answered
        kept.served_by = absorbed.served_by or kept.served_by
        kept.reconstructed = kept.reconstructed or absorbed.reconstructed
        self.calls.pop(absorbed.call_id, None)
        self._emit(CallsMerged, kept, at, absorbed=absorbed.call_id)

    def _application_began(self, signal: s.ApplicationBegan) -> None:
        leg = self._leg(signal.who, signal.at)
        if leg is not None and not leg.local and leg.call.served_by != "voicemail":
            leg.call.served_by = "voicemail"
            leg.call.hangup_by = None
            leg.turn("voicemail", signal.at)

    # -- events -------------------------------------------------------------------------------------------------

    def _say_started(self, call: Call, who: s.Who, at: float | None) -> None:
        self._emit(
            CallStarted,
            call,
            at,
            uniqueid=who.uniqueid,
            channel=who.channel,
            direction=call.direction,
            ani=call.ani,
            caller_name=call.caller_name,
            dnis=call.dnis,
            context=who.context,
            reconstructed=call.reconstructed,
        )

    def _emit(self, event: Callable[..., CallEvent], call: Call, at: float | None, /, **values: object) -> None:
        when = moment(at) or moment(self._last_at) or LONG_AGO
        self._out.append(event(pbx=self.pbx, at=when, call_id=call.call_id, linkedid=call.linkedids[0], **values))


def _older_first(one: Call, two: Call) -> tuple[Call, Call]:
    if one.started is not None and two.started is not None and two.started != one.started:
        return (one, two) if one.started < two.started else (two, one)
    return (one, two) if one.call_id <= two.call_id else (two, one)


def _dialled(exten: str) -> str:
    """The number dialled; ``s`` is Asterisk's word for none."""
    return "" if exten in ("s", "<unknown>") else exten


def incomplete(tracker: CallTracker) -> Iterable[Call]:
    """The calls still going on, oldest first."""
    return sorted(tracker.calls.values(), key=lambda call: (call.started or 0.0, call.call_id))
