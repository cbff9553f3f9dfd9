"""After a connect: what was known is made what the PBX has now, before the events that came meanwhile."""

from __future__ import annotations

from ctiserver.model.calls.call import CallVisit, Leg
from ctiserver.model.calls.signals import ChannelRow, EntryRow, Snapshot
from ctiserver.model.calls.tracking.book import Book
from ctiserver.model.calls.tracking.bridging import disconnect, leave_bridge, settle
from ctiserver.model.calls.tracking.channels import finish
from ctiserver.model.calls.tracking.dialling import ring, ring_ended
from ctiserver.model.calls.tracking.queueing import leave_queue
from ctiserver.model.events import CallerEnteredQueue


def reconcile(book: Book, snapshot: Snapshot) -> None:
    """End what is gone, take in what is new, and put everybody into the bridge or queue where they are."""
    if snapshot.restarted:
        for call in list(book.calls.values()):
            finish(book, call, None, "pbx_restarted")
    there = {row.who.uniqueid for row in snapshot.channels}
    for leg in [leg for uniqueid, leg in book.legs.items() if uniqueid not in there]:
        _vanished(book, leg)
    # Oldest first, so that a call's caller comes before those whom the call rang.
    for row in sorted(snapshot.channels, key=lambda row: (-row.age_s, str(row.who.uniqueid) != row.who.linkedid)):
        _take_in(book, row, snapshot.at)
    touched = set()
    for row in snapshot.channels:
        leg = book.legs[row.who.uniqueid]
        if leg.bridge != (row.bridge or None):
            leave_bridge(book, leg, None)
            if row.bridge:
                leg.bridge = row.bridge
                book.bridges.setdefault(row.bridge, {})[leg.uniqueid] = leg
                touched.add(row.bridge)
    for bridge in sorted(touched):
        settle(book, bridge, snapshot.at)
    _queues(book, snapshot)
    for row in snapshot.channels:
        _still_ringing(book, row, snapshot.at)


def _vanished(book: Book, leg: Leg) -> None:
    """A channel ended while nobody listened: when and why is not known."""
    call = leg.call
    call.reconstructed = True
    leg.ending = leg.ended = True
    if leg.ringing:
        ring_ended(book, leg, None, "cancelled")
    if leg.visit is not None:
        leave_queue(book, leg, None, "unknown")
    leave_bridge(book, leg, None)
    leg.turn(None, None)
    if leg.connected:
        disconnect(book, leg, None)
    book.forget(leg)
    if not call.live:
        finish(book, call, None, "lost")


def _take_in(book: Book, row: ChannelRow, at: float) -> None:
    leg = book.legs.get(row.who.uniqueid)
    if leg is None:
        leg = book.begin(row.who, at - row.age_s, ringing_in=True, missed=True)
        if leg.first:
            leg.call.started = at - row.age_s
        if row.voicemail:
            leg.call.served_by = "voicemail"
            leg.turn("voicemail", None)
    elif row.who.linkedid:
        book.follow_linkedid(leg, row.who.linkedid, at)


def _queues(book: Book, snapshot: Snapshot) -> None:
    waiting = {entry.uniqueid: entry for entry in snapshot.entries}
    for leg in list(book.legs.values()):
        entry = waiting.get(leg.uniqueid)
        if leg.visit is not None and (entry is None or entry.queue != leg.visit.queue):
            leave_queue(book, leg, None, "answered" if leg.bridge is not None else "unknown")
        if entry is not None and leg.visit is None:
            _join(book, leg, entry, snapshot.at)


def _still_ringing(book: Book, row: ChannelRow, at: float) -> None:
    """A phone that was being rung before we came: for the queue in which its call's caller waits, if one does."""
    leg = book.legs[row.who.uniqueid]
    if not row.ringing or leg.first or leg.local or leg.ringing:
        return
    caller = leg.call.caller
    if caller is not None and caller.visit is not None:
        leg.queue = caller.visit.queue
    ring(book, leg, at - row.age_s)


def _join(book: Book, leg: Leg, entry: EntryRow, at: float) -> None:
    entered = at - entry.waited_s
    leg.call.reconstructed = True
    leg.visit = CallVisit(entry.queue, entered)
    leg.call.visits.append(leg.visit)
    leg.turn("queue", entered)
    book.emit(CallerEnteredQueue, leg.call, entered, uniqueid=leg.uniqueid, queue=entry.queue, position=entry.position)
