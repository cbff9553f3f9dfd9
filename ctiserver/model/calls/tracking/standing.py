"""How a phone stands in its calls just now: its channels, and who is in the room with each."""

from __future__ import annotations

from dataclasses import dataclass

from ctiserver.model.calls.call import Leg, parties_of
from ctiserver.model.calls.tracking.book import Book
from ctiserver.model.ids import CallId, Interface, Uniqueid


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """One channel of a phone. Channel names are those of the moment: a transfer may rename them."""

    call_id: CallId
    channel: str
    uniqueid: Uniqueid
    talking: bool  #: is through to somebody; else it rings, or is being called
    held: bool = False  #: has put the others on hold
    others: tuple[str, ...]  #: channels of those who are in the room with it, no Local halves
    waiting: tuple[str, ...]  #: channels of the same call that wait elsewhere: on hold while it consults


def standings(book: Book, interface: Interface) -> list[ChannelState]:
    """Every channel of a phone, those that talk first."""
    mine = [leg for leg in book.legs.values() if leg.interface == interface and not leg.local and not leg.ending]
    return sorted((_standing(book, leg) for leg in mine), key=lambda it: not it.talking)


def _standing(book: Book, leg: Leg) -> ChannelState:
    room: list[Leg] = []
    if leg.bridge is not None:
        room, _, _ = parties_of(leg.bridge, book.bridges)
    inside = {other.uniqueid for other in room}
    return ChannelState(
        call_id=leg.call.call_id,
        channel=leg.channel,
        uniqueid=leg.uniqueid,
        talking=leg.bridge is not None,
        held=leg.holding,
        others=tuple(other.channel for other in room if other is not leg),
        waiting=tuple(
            other.channel
            for other in leg.call.live.values()
            if other is not leg and not other.local and not other.ending and other.uniqueid not in inside
        ),
    )
