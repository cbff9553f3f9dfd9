"""The calls that go on, as the events that would have led to them: for a subscriber that has heard none of them."""

from __future__ import annotations

from collections import Counter

from ctiserver.model.calls.call import Call, Leg
from ctiserver.model.calls.tracking.book import Book
from ctiserver.model.calls.tracking.dialling import is_own_phone
from ctiserver.model.events import AgentConnected, AgentRinging, CallerEnteredQueue, CallEvent, CallHeld, CallStarted
from ctiserver.model.ids import QueueName, Uniqueid


def retell(book: Book) -> list[CallEvent]:
    """Of each call, the oldest first: that it began, who waits in a queue, whom it rings, who talks and who holds.

    ``position`` is the place among those who wait in the queue now; ``context`` is empty, since it is not kept.
    """
    told = Book(book.pbx, last_at=book.last_at)
    positions = _positions(book)
    for call in sorted(book.calls.values(), key=lambda call: (call.started or 0.0, call.call_id)):
        _began(told, call)
        for leg in call.live.values():
            if leg.visit is not None:
                values = {"uniqueid": leg.uniqueid, "queue": leg.visit.queue, "position": positions[leg.uniqueid]}
                told.emit(CallerEnteredQueue, call, leg.visit.entered, **values)
            _phone(book, told, leg)
    return told.out


def _positions(book: Book) -> dict[Uniqueid, int]:
    """Each caller's place in the queue, by when they entered it; 1 = next."""
    waiting = [(leg.visit.entered or 0.0, leg) for leg in book.legs.values() if leg.visit is not None]
    ahead: Counter[QueueName] = Counter()
    places = {}
    for _, leg in sorted(waiting, key=lambda it: it[0]):
        if leg.visit is not None:
            ahead[leg.visit.queue] += 1
            places[leg.uniqueid] = ahead[leg.visit.queue]
    return places


def _began(told: Book, call: Call) -> None:
    first = call.caller or next((leg for leg in call.legs if not leg.local), call.legs[0])
    told.emit(
        CallStarted,
        call,
        call.started,
        uniqueid=first.uniqueid,
        channel=first.channel,
        direction=call.direction,
        ani=call.ani,
        caller_name=call.caller_name,
        dnis=call.dnis,
        context="",
        reconstructed=call.reconstructed,
    )


def _phone(book: Book, told: Book, leg: Leg) -> None:
    phone = {"interface": leg.interface, "queue": leg.queue, "member": leg.member or leg.interface}
    if leg.ringing and (not leg.first or is_own_phone(book, leg)):
        told.emit(AgentRinging, leg.call, leg.ring_since, **phone)
    if leg.connected:
        told.emit(AgentConnected, leg.call, leg.connected_since, **phone)
        if leg.holding:
            told.emit(CallHeld, leg.call, book.last_at, interface=leg.interface, held=True)
