"""Callers in queues: a visit is (caller, n), since a caller may enter the same queue again."""

from __future__ import annotations

from ctiserver.model.calls import signals as s
from ctiserver.model.calls.call import Call, CallVisit, Leg, elapsed_ms, is_local
from ctiserver.model.calls.tracking.book import Book
from ctiserver.model.calls.tracking.dialling import CAUSE_OUTCOMES, ring, ring_ended
from ctiserver.model.events import CallerEnteredQueue, CallerLeftQueue, QueueOutcome
from ctiserver.model.ids import Interface, QueueName

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
#: The queue did not let the caller in: app_queue says so by no event of its own.
_REFUSED = ("FULL", "JOINEMPTY", "JOINUNAVAIL")


def queue_joined(book: Book, signal: s.QueueJoined) -> None:
    leg = book.leg(signal.who, signal.at)
    if leg is None:
        return
    if leg.visit is not None:
        if leg.visit.queue == signal.queue:
            return
        leave_queue(book, leg, signal.at, "unknown")
    leg.call.hangup_by = None
    leg.visit = CallVisit(signal.queue, signal.at, place=_place(signal.who))
    leg.call.visits.append(leg.visit)
    leg.turn("queue", signal.at)
    book.emit(
        CallerEnteredQueue,
        leg.call,
        signal.at,
        uniqueid=leg.uniqueid,
        queue=signal.queue,
        position=signal.position,
    )


def visit_of(book: Book, who: s.Who, queue: QueueName, at: float | None) -> Leg | None:
    """The waiting leg; a visit whose beginning was missed is taken in."""
    leg = book.leg(who, at)
    if leg is None:
        return None
    if leg.visit is None and not any(visit.queue == queue for visit in leg.call.visits):
        leg.visit = CallVisit(queue, None)
        leg.call.visits.append(leg.visit)
        leg.turn("queue", None)
    return leg


def queue_given_up(book: Book, signal: s.QueueGivenUp) -> None:
    leg = visit_of(book, signal.who, signal.queue, signal.at)
    if leg is None or leg.visit is None:
        return
    # Asterisk says Abandon for a time-out too; a caller who went has asked for the hang-up before. One whom a Redirect
    # took out is elsewhere in the dialplan already; whose time is up is where they joined.
    if leg.ending:
        leg.visit.outcome = "abandoned"
    elif leg.visit.place not in (None, _place(signal.who)):
        leg.visit.outcome = "key"
    else:
        leg.visit.outcome = "timeout"


def _place(who: s.Who) -> tuple[str, str]:
    return who.context, who.exten


def queue_left(book: Book, signal: s.QueueLeft) -> None:
    leg = visit_of(book, signal.who, signal.queue, signal.at)
    if leg is None or leg.visit is None:
        return
    outcome = leg.visit.outcome
    if outcome == "unknown":
        # Nobody gave up: either somebody answered (AgentConnect may come after), or a key led out of the queue.
        answered = _answering(leg.call, leg.visit) is not None
        outcome = "answered" if answered else "abandoned" if leg.ending else "key"
    leave_queue(book, leg, signal.at, outcome)


def leave_queue(book: Book, leg: Leg, at: float | None, outcome: QueueOutcome) -> None:
    visit, leg.visit = leg.visit, None
    assert visit is not None
    visit.left, visit.outcome, visit.open = at, outcome, False
    if outcome == "answered" and visit.agent is None:
        visit.agent = _answering(leg.call, visit)
    leg.turn(None if leg.ending or outcome == "answered" else "ivr", at, passing=True)
    book.emit(
        CallerLeftQueue,
        leg.call,
        at,
        uniqueid=leg.uniqueid,
        queue=visit.queue,
        outcome=outcome,
        interface=visit.agent,
        wait_ms=elapsed_ms(visit.entered, at),
    )


def _answering(call: Call, visit: CallVisit) -> Interface | None:
    """The phone, of those this queue rang, that has answered: the real one, never a Local half."""
    for leg in reversed(call.legs):
        if leg.queue == visit.queue and leg.answered and not leg.local and not leg.ended:
            return leg.interface
    return None


def queue_result(book: Book, signal: s.QueueResult) -> None:
    """The dialplan's own word on how Queue() ended; it comes a moment after the visit did."""
    leg = book.leg(signal.who, signal.at)
    outcome = _QUEUE_STATUS.get(signal.status)
    if leg is None or outcome is None:
        return
    visits = leg.call.visits
    if signal.queue and signal.status in _REFUSED:
        visits.append(CallVisit(signal.queue, signal.at))
        leg.visit = visits[-1]
        leave_queue(book, leg, signal.at, outcome)
    elif visits and not visits[-1].open and visits[-1].outcome in ("timeout", "key", "unknown"):
        visits[-1].outcome = outcome


def member_called(book: Book, signal: s.MemberCalled) -> None:
    visit_of(book, signal.who, signal.queue, signal.at)
    leg = book.leg(signal.dest, signal.at)
    if leg is None:
        return
    leg.queue, leg.member = signal.queue, signal.member
    if not leg.local:
        ring(book, leg, signal.at)


def member_answered(book: Book, signal: s.MemberAnswered) -> None:
    caller = visit_of(book, signal.who, signal.queue, signal.at)
    leg = book.leg(signal.dest, signal.at)
    if caller is None or leg is None:
        return
    leg.queue = signal.queue
    # app_queue names the member whom it rang, even if somebody else picked the call up.
    leg.member = signal.member if leg.local or is_local(signal.member) else leg.interface
    for visit in reversed(caller.call.visits):
        if visit.queue == signal.queue:
            visit.agent = _answering(caller.call, visit) if leg.local else leg.interface
            if caller.visit is not visit:
                visit.outcome = "answered"
            break
    if caller.visit is not None:
        leave_queue(book, caller, signal.at, "answered")


def member_rang_out(book: Book, signal: s.MemberRangOut) -> None:
    leg = book.leg(signal.dest, signal.at)
    if leg is not None and leg.ringing:
        ring_ended(book, leg, signal.at, CAUSE_OUTCOMES.get(leg.asked_cause or 0, "no_answer"))
