"""Phones being rung, and what comes of it."""

from __future__ import annotations

from ctiserver.model.calls import signals as s
from ctiserver.model.calls.call import Leg, elapsed_ms
from ctiserver.model.calls.tracking.book import Book, dialled
from ctiserver.model.events import AgentRingEnded, AgentRinging, RingOutcome

#: Q.850 causes that a phone gives when it does not want, or can't take, the call.
CAUSE_OUTCOMES: dict[int, RingOutcome] = {17: "busy", 21: "declined"}
_DIAL_OUTCOMES: dict[str, RingOutcome] = {
    "ANSWER": "answered",
    "BUSY": "busy",
    "NOANSWER": "no_answer",
    "CANCEL": "cancelled",
    "CHANUNAVAIL": "failed",
    "CONGESTION": "failed",
}


def dial_began(book: Book, signal: s.DialBegan) -> None:
    at = signal.at
    source = book.leg(signal.source, at) if signal.source is not None else None
    dest = book.leg(signal.dest, at)
    if dest is None:
        return
    call = dest.call
    if source is None:
        if dest.first and call.originated:
            # The channel's own event shows the device's number; what the far side is shown comes with the dial.
            call.ani = signal.dest.number or call.ani
            call.caller_name = signal.dest.name or call.caller_name
            if not call.dnis and not dest.local and "@" in signal.dial_string:
                call.dnis = signal.dial_string.partition("@")[0].rpartition("/")[2]
        ring(book, dest, at)
        return
    if source.call is not call:
        book.merge(source.call, call, at)
        call = source.call
    if source.first and not call.dnis and signal.source is not None:
        call.dnis = dialled(signal.source.exten)
    if source.first and call.direction == "internal" and _leads_outside(book, dest, signal.dial_string):
        call.direction = "outbound"
    if source.visit is not None and dest.queue is None:
        dest.queue = source.visit.queue  # a member that forwards: app_queue dials on without another AgentCalled
    if not dest.local:
        ring(book, dest, at, via=source)
    if not source.local and source.visit is None and source.bridge is None:
        source.turn("ring", at)


def _leads_outside(book: Book, dest: Leg, dial_string: str) -> bool:
    if book.sides.trunks is not None or book.is_phone(dest.interface):
        return not dest.local and not book.is_phone(dest.interface)
    return dest.interface in book.lines or "@" in dial_string


def ring(book: Book, leg: Leg, at: float | None, via: Leg | None = None) -> None:
    """A phone rings; for a member behind a Local channel queue and member come from the half that was called."""
    if leg.ringing or leg.connected:
        return
    if via is not None and via.twin is not None and leg.queue is None:
        leg.queue, leg.member = via.twin.queue, via.twin.member
    leg.ringing = True
    leg.ring_since = at
    leg.turn("ring", at)
    if not leg.first or is_own_phone(book, leg):
        member = leg.member or leg.interface
        book.emit(AgentRinging, leg.call, at, interface=leg.interface, queue=leg.queue, member=member)


def is_own_phone(book: Book, leg: Leg) -> bool:
    """Whether the calling party is one of us, whom the PBX called first."""
    return leg.call.direction == "outbound" and not leg.local and book.is_phone(leg.interface)


def dial_ended(book: Book, signal: s.DialEnded) -> None:
    leg = book.leg(signal.dest, signal.at)
    if leg is None:
        return
    call = leg.call
    answered = signal.status == "ANSWER"
    leg.answered = leg.answered or answered
    if leg.queue is None and not (leg.first and answered) and not (leg.twin is not None and leg.twin.queue):
        call.dial_status = signal.status
    if leg.ringing:
        outcome = _DIAL_OUTCOMES.get(signal.status, "failed")
        if outcome == "no_answer" and leg.asked_cause is not None:
            outcome = CAUSE_OUTCOMES.get(leg.asked_cause, outcome)
        ring_ended(book, leg, signal.at, outcome)
    if answered and leg.first and call.originated:
        leg.turn("ivr", signal.at, passing=True)
    caller = call.caller
    if caller is not None and caller is not leg and caller.current is not None and caller.current.kind == "ring":
        if answered:
            caller.turn(None, signal.at)
        elif not any(other.ringing for other in call.live.values()):
            caller.turn("ivr", signal.at, passing=True)


def ring_ended(book: Book, leg: Leg, at: float | None, outcome: RingOutcome) -> None:
    leg.ringing = False
    if leg.current is not None and leg.current.kind == "ring":
        leg.turn(None, at)
    if leg.first and not is_own_phone(book, leg):
        return
    book.emit(
        AgentRingEnded,
        leg.call,
        at,
        interface=leg.interface,
        queue=leg.queue,
        outcome=outcome,
        ring_ms=elapsed_ms(leg.ring_since, at),
        member=leg.member or leg.interface,
    )


def picked_up(book: Book, signal: s.PickedUp) -> None:
    """Somebody takes a call that rings elsewhere: that phone's ring ends, and the call is theirs."""
    leg, target = book.leg(signal.who, signal.at), book.leg(signal.target, signal.at)
    if leg is None or target is None:
        return
    if target.ringing:
        ring_ended(book, target, signal.at, "cancelled")
    rung = target.twin if target.local and target.twin is not None else target
    leg.queue = rung.queue
    leg.answered = True
    if leg.call is not target.call:
        book.merge(target.call, leg.call, signal.at)


def originate_answered(book: Book, signal: s.OriginateAnswered) -> None:
    leg = book.legs.get(signal.uniqueid)
    if leg is not None and leg.first and not leg.call.dnis:
        leg.call.dnis = dialled(signal.exten)
