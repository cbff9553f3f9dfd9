"""What is known of the calls of one PBX, and how channels find their call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ctiserver.model.calls.call import Call, Leg, interface_of, is_local, local_twin, moment
from ctiserver.model.calls.signals import Who
from ctiserver.model.events import CallEvent, CallsMerged, CallStarted, Direction
from ctiserver.model.ids import CallId, Interface, Linkedid, PbxName, Uniqueid, call_id

#: When an event of a recording without any times happened.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
#: How many ended channels are remembered, so that what comes late does not begin a call again.
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Sides:
    """Which devices are lines to the outside; all others are phones of ours.

    None: not known, as in a replay. Then queue members are phones, and what calls in without being one is a line.
    """

    trunks: frozenset[Interface] | None = None


@dataclass(slots=True, repr=False)
class Book:
    """All calls and channels of one PBX. ``midstream``: see :class:`~.tracker.CallTracker`."""

    pbx: PbxName
    sides: Sides = field(default_factory=Sides)
    midstream: bool = True
    calls: dict[CallId, Call] = field(default_factory=dict)
    legs: dict[Uniqueid, Leg] = field(default_factory=dict)
    bridges: dict[str, dict[Uniqueid, Leg]] = field(default_factory=dict)
    holding_bridges: set[str] = field(default_factory=set)
    unseen: dict[str, int] = field(default_factory=dict)  #: how many are in a bridge whom we did not see enter
    by_linkedid: dict[Linkedid, Call] = field(default_factory=dict)
    gone: dict[Uniqueid, None] = field(default_factory=dict)
    local_halves: dict[str, Leg] = field(default_factory=dict)
    phones: set[Interface] = field(default_factory=set)  #: learnt: members of queues
    lines: set[Interface] = field(default_factory=set)  #: learnt: devices that brought calls in
    ignored: int = 0  #: signals about channels that are not known
    last_at: float | None = None
    out: list[CallEvent] = field(default_factory=list)

    def learn_phone(self, interface: Interface) -> None:
        """A queue has this device as a member: it is a phone of ours, no line to the outside."""
        if not is_local(interface):
            self.phones.add(interface)

    def begin(self, who: Who, at: float | None, *, ringing_in: bool, missed: bool = False) -> Leg:
        call = self.by_linkedid.get(who.linkedid) if who.linkedid else None
        if call is None and is_local(who.channel):
            other = self.local_halves.get(local_twin(who.channel) or "")
            call = other.call if other is not None else None
        fresh = call is None
        if call is None:
            call = self._new_call(who, at, ringing_in=ringing_in, missed=missed)
        elif who.linkedid and who.linkedid not in call.linkedids:
            call.linkedids.append(who.linkedid)
            self.by_linkedid[who.linkedid] = call
        local = is_local(who.channel)
        # A recording that begins inside a call shows its legs in any order; the caller's is the linkedid's.
        first = call.caller is None and who.uniqueid == str(call.linkedids[0])
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
            self.pair(leg)
        if first:
            self._is_caller(call, leg, who, ringing_in=ringing_in)
        call.live[leg.uniqueid] = leg
        call.legs.append(leg)
        self.legs[leg.uniqueid] = leg
        if first and not local and ringing_in and not missed:
            leg.turn("ivr", at)
        if fresh:
            self._say_started(call, who, at)
        return leg

    def _new_call(self, who: Who, at: float | None, *, ringing_in: bool, missed: bool) -> Call:
        root = Uniqueid(who.linkedid or who.uniqueid)
        missed = missed or root != who.uniqueid  # a channel that was rung for a caller whom we did not see
        call = Call(
            call_id=call_id(self.pbx, root),
            pbx=self.pbx,
            linkedids=[Linkedid(root)],
            direction="inbound",
            ani="",
            caller_name="",
            dnis="",
            started=None if missed else at,
            reconstructed=missed,
            originated=not ringing_in and not missed,
        )
        self.calls[call.call_id] = call
        self.by_linkedid[Linkedid(root)] = call
        return call

    def _is_caller(self, call: Call, leg: Leg, who: Who, *, ringing_in: bool) -> None:
        call.caller = leg
        call.ani, call.caller_name, call.dnis = who.number, who.name, dialled(who.exten)
        call.direction = self._direction(leg.interface, ringing_in=ringing_in)
        if call.direction == "inbound":
            self.lines.add(leg.interface)

    def _direction(self, interface: Interface, *, ringing_in: bool) -> Direction:
        if not ringing_in:
            return "outbound"
        return "internal" if self.is_phone(interface) else "inbound"

    def is_phone(self, interface: Interface) -> bool:
        """Whether the device is a phone of ours, as far as is known."""
        if self.sides.trunks is not None:
            return interface not in self.sides.trunks
        return interface in self.phones

    def leg(self, who: Who, at: float | None) -> Leg | None:
        """The leg of a channel; taken in now if its beginning was missed. None: it is over, or not to be known."""
        leg = self.legs.get(who.uniqueid)
        if leg is not None:
            if who.linkedid and self.by_linkedid.get(who.linkedid) is not leg.call:
                self.follow_linkedid(leg, who.linkedid, at)
            call = leg.call
            if not call.ani and leg.first and who.number:
                call.ani = who.number
            return leg
        if not who.uniqueid or who.uniqueid in self.gone or not self.midstream:
            self.ignored += 1
            return None
        return self.begin(who, at, ringing_in=True, missed=True)

    def follow_linkedid(self, leg: Leg, linkedid: Linkedid, at: float | None) -> None:
        """A channel turned up under another linkedid: what that names and the channel's call are one."""
        other = self.by_linkedid.get(linkedid)
        if other is None:
            leg.call.linkedids.append(linkedid)
            self.by_linkedid[linkedid] = leg.call
        elif other is not leg.call:
            self.merge(other, leg.call, at)

    def pair(self, leg: Leg) -> None:
        self.local_halves[leg.channel] = leg
        twin = self.local_halves.get(local_twin(leg.channel) or "")
        if twin is not None:
            leg.twin, twin.twin = twin, leg

    def forget(self, leg: Leg) -> None:
        leg.call.live.pop(leg.uniqueid, None)
        self.legs.pop(leg.uniqueid, None)
        self.local_halves.pop(leg.channel, None)
        self.gone[leg.uniqueid] = None
        if len(self.gone) > _REMEMBERED:
            del self.gone[next(iter(self.gone))]

    def merge(self, kept: Call, absorbed: Call, at: float | None) -> None:
        """Two calls turned out to be one: the older stays."""
        kept, absorbed = older_first(kept, absorbed)
        for leg in absorbed.legs:
            leg.call = kept
            leg.first = False
        for linkedid in absorbed.linkedids:
            self.by_linkedid[linkedid] = kept
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
        kept.dial_status = kept.dial_status or absorbed.dial_status
        kept.reconstructed = kept.reconstructed or absorbed.reconstructed
        self.calls.pop(absorbed.call_id, None)
        self.emit(CallsMerged, kept, at, absorbed=absorbed.call_id)

    def _say_started(self, call: Call, who: Who, at: float | None) -> None:
        self.emit(
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

    def emit(self, event: Callable[..., CallEvent], call: Call, at: float | None, /, **values: object) -> None:
        when = moment(at) or moment(self.last_at) or LONG_AGO
        self.out.append(event(pbx=self.pbx, at=when, call_id=call.call_id, linkedid=call.linkedids[0], **values))


def older_first(one: Call, two: Call) -> tuple[Call, Call]:
    """The call that began first, then the other; the same order anyone who asks."""
    if one.started is not None and two.started is not None and two.started != one.started:
        return (one, two) if one.started < two.started else (two, one)
    return (one, two) if one.call_id <= two.call_id else (two, one)


def dialled(exten: str) -> str:
    """The number dialled; ``s`` is Asterisk's word for none."""
    return "" if exten in ("s", "<unknown>") else exten
