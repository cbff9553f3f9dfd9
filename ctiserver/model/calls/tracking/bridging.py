"""Who talks with whom: bridges, rooms of bridges that Local channels join, and hold."""

from __future__ import annotations

from ctiserver.model.calls import signals as s
from ctiserver.model.calls.call import Leg, parties_of
from ctiserver.model.calls.tracking.book import Book, older_first
from ctiserver.model.calls.tracking.dialling import is_own_phone, ring_ended
from ctiserver.model.events import AgentConnected, AgentDisconnected, CallHeld


def bridge_entered(book: Book, signal: s.BridgeEntered) -> None:
    leg = book.leg(signal.who, signal.at)
    if leg is None:
        return
    if leg.bridge is not None and leg.bridge != signal.bridge:
        leave_bridge(book, leg, signal.at)
    if signal.holding:
        book.holding_bridges.add(signal.bridge)
    leg.bridge = signal.bridge
    room = book.bridges.setdefault(signal.bridge, {})
    for other in list(room.values()):
        if other.call is not leg.call:
            book.merge(*older_first(other.call, leg.call), signal.at)
    room[leg.uniqueid] = leg
    if leg.call.reconstructed and signal.occupants > len(room):
        book.unseen[signal.bridge] = signal.occupants - len(room)
    settle(book, signal.bridge, signal.at)


def bridge_left(book: Book, signal: s.BridgeLeft) -> None:
    leg = book.leg(signal.who, signal.at)
    if leg is None:
        return
    if leg.bridge is None and leg.current is None and book.midstream and leg.call.reconstructed and not leg.local:
        leg.bridge = signal.bridge
        leg.turn("talk", None)  # a talk that had begun before we listened
        connect(book, leg, None)
        if not leg.first:
            _served(leg, None)
        leg.call.served_by = "person"
        if signal.bridge in book.unseen:
            book.unseen[signal.bridge] -= 1
    if leg.bridge == signal.bridge:
        leave_bridge(book, leg, signal.at)
        if leg.first and not leg.ending and leg.visit is None and not leg.local:
            _wait(leg, signal.at)


def _wait(caller: Leg, at: float | None) -> None:
    """The caller is alone: with a phone that rings for them, after a blonde transfer, else with the dialplan."""
    rung = any(other.ringing for other in caller.call.live.values())
    caller.turn("ring" if rung else "ivr", at, passing=True)


def leave_bridge(book: Book, leg: Leg, at: float | None) -> None:
    bridge, leg.bridge = leg.bridge, None
    if bridge is None:
        return
    leg.holding = False  # hold is about those in the bridge, and Asterisk says no Unhold when a feature moves the leg
    room = book.bridges.get(bridge, {})
    room.pop(leg.uniqueid, None)
    if leg.current is not None and leg.current.kind in ("talk", "hold", "consult"):
        leg.turn(None, at)
    if room:
        settle(book, bridge, at)
    else:
        book.bridges.pop(bridge, None)
        book.unseen.pop(bridge, None)
        book.holding_bridges.discard(bridge)
    if leg.local and leg.twin is not None and leg.twin.bridge is not None:
        settle(book, leg.twin.bridge, at)


def settle(book: Book, bridge: str, at: float | None) -> None:
    """Who of this room talks, holds or consults, now that somebody came, went or pressed hold."""
    parties, bridges, leads_out = parties_of(bridge, book.bridges)
    if not parties:
        return
    unseen = sum(book.unseen.get(one, 0) for one in bridges) if book.unseen else 0
    if len(parties) + unseen == 1:
        leg = parties[0]
        others = any(other is not leg and not other.local and not other.ending for other in leg.call.live.values())
        if leads_out and not leg.first:
            leg.turn("consult", at, passing=True)
        elif leads_out:
            _wait(leg, at)
        elif others and not leg.ending:
            leg.turn("hold", at, passing=True)
        else:
            leg.turn(None, at)
        return
    if bridges & book.holding_bridges:
        for leg in parties:
            leg.turn("hold", at)
        return
    active = unseen + sum(not leg.holding for leg in parties)
    for leg in parties:
        caller = leg.call.caller
        if leg.holding or active < 2:
            leg.turn("hold", at)
        elif caller is not None and caller not in parties and not leg.call.handed_over and not unseen:
            leg.turn("consult", at)
        else:
            leg.turn("talk", at)
        if not leg.connected:
            connect(book, leg, at)
        if not leg.first and not leg.served and leg.current is not None and leg.current.kind != "consult":
            _served(leg, at)


def connect(book: Book, leg: Leg, at: float | None) -> None:
    """A person is through to somebody."""
    call = leg.call
    if leg.ringing:
        ring_ended(book, leg, at, "answered")
    if leg.first:
        if call.originated and is_own_phone(book, leg):
            leg.connected, leg.connected_since = True, at
            _emit_connected(book, leg, at)
        return
    leg.connected, leg.connected_since = True, at
    _emit_connected(book, leg, at)


def _served(leg: Leg, at: float | None) -> None:
    leg.served = True
    call = leg.call
    call.served_by = "person"
    if at is not None:
        call.hangup_by = None
    call.answered_by.append(leg.interface)
    if call.answered is None:
        call.answered = at


def _emit_connected(book: Book, leg: Leg, at: float | None) -> None:
    member = leg.member or leg.interface
    book.emit(AgentConnected, leg.call, at, interface=leg.interface, queue=leg.queue, member=member)


def disconnect(book: Book, leg: Leg, at: float | None) -> None:
    leg.connected = False
    book.emit(
        AgentDisconnected,
        leg.call,
        at,
        interface=leg.interface,
        queue=leg.queue,
        talk_ms=leg.talk_ms(),
        member=leg.member or leg.interface,
    )


def hold_changed(book: Book, signal: s.HoldChanged) -> None:
    leg = book.leg(signal.who, signal.at)
    if leg is None or leg.holding == signal.held:
        return
    leg.holding = signal.held
    if leg.bridge is not None:
        settle(book, leg.bridge, signal.at)
    book.emit(CallHeld, leg.call, signal.at, interface=leg.interface, held=signal.held)
