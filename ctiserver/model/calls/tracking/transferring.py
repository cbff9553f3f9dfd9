"""Transfers: blind, attended, and blonde (attended, but let go before the other answered)."""

from __future__ import annotations

from ctiserver.model.calls import signals as s
from ctiserver.model.calls.call import Call, Leg
from ctiserver.model.calls.tracking.book import Book, older_first
from ctiserver.model.calls.tracking.bridging import settle
from ctiserver.model.events import CallTransferred, Transfer, TransferKind


def blind_transferred(book: Book, signal: s.BlindTransferred) -> None:
    leg = book.leg(signal.by, signal.at)
    if leg is not None:
        _transferred(book, leg, signal.at, Transfer(kind="blind", by=leg.interface, to=signal.exten))


def attended_transferred(book: Book, signal: s.AttendedTransferred) -> None:
    at = signal.at
    by = book.leg(signal.by, at)
    if by is None:
        return
    second = book.leg(signal.second, at)
    target = book.leg(signal.target, at) if signal.target is not None else None
    for other in (second, target):
        if other is not None and other.call is not by.call:
            book.merge(*older_first(by.call, other.call), at)
    call = by.call
    if second is not None and second.origin != call.call_id:
        _was_consult(book, call, second, signal.second_bridge)
    if target is None or target.local:
        # Asterisk leaves the target out now and then, or names a Local half: then it is the phone that was rung for it.
        rung = (leg for leg in reversed(call.legs) if not leg.local and not leg.first and leg is not by)
        target = next((leg for leg in rung if leg.ringing or leg.bridge is not None), None)
    kind: TransferKind = "blonde" if target is not None and target.ringing else "attended"
    to = target.interface if target is not None else signal.second.exten
    _transferred(book, by, at, Transfer(kind=kind, by=by.interface, to=to))


def _was_consult(book: Book, call: Call, second: Leg, bridge: str) -> None:
    """The transferer's second call was not a talk with the caller, but one about the caller."""
    for leg in call.legs:
        for span in leg.spans:
            if leg is second or (leg.origin == second.origin and span.kind == "talk" and span.bridge == bridge):
                span.kind = "consult"


def _transferred(book: Book, by: Leg, at: float | None, transfer: Transfer) -> None:
    call = by.call
    call.transfers.append(transfer)
    call.hangup_by = None
    book.emit(CallTransferred, call, at, kind=transfer.kind, by=transfer.by, to=transfer.to)
    if by.first:
        call.handed_over = True
        for bridge in {leg.bridge for leg in call.live.values() if leg.bridge is not None}:
            settle(book, bridge, at)
