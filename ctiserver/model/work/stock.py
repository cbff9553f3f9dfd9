"""Stock of spare parts: how much lies where, how much of it is promised, and what may be done to it.

Levels are never below zero, and no more is promised than lies there. What is issued for a work order takes what was
promised to that order first. A part whose worn one comes back (旧件返还) leaves one due until it is returned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, assert_never, get_args

from ctiserver.errors import CtiError
from ctiserver.model.ids import RecordId, WorkOrderId

MoveKind = Literal["receive", "reserve", "release", "issue", "send", "arrive", "return_old", "write_off"]
MOVE_KINDS: tuple[MoveKind, ...] = get_args(MoveKind)


class NotEnough(CtiError):
    """There is not as much of this part as that takes; receive or transfer some first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One part at one place; whole pieces."""

    place: str
    part: str
    on_hand: int = 0
    reserved: int = 0  #: promised to work orders; never more than ``on_hand``
    old_due: int = 0  #: worn ones that are to come back

    @property
    def free(self) -> int:
        return self.on_hand - self.reserved


@dataclass(frozen=True, slots=True, kw_only=True)
class StockMove:
    """One thing that was done to a level. ``key`` is unique: the same move is made once."""

    id: str  #: ULID
    key: str
    kind: MoveKind
    place: str
    part: str
    quantity: int  #: 1 or more
    order_id: WorkOrderId | None = None
    record_id: RecordId | None = None
    actor: str
    at: datetime


def moved(level: Level, move: StockMove, *, promised: int = 0, old_back: bool = False) -> Level:
    """The level after a move. ``promised``: how many of the reserved ones are for the order that the move is for;
    ``old_back``: the worn one comes back.

    Raises NotEnough, the level being as it was; ValueError for a quantity below one.
    """
    count = move.quantity
    if count < 1:
        raise ValueError("quantity must not be 0")
    match move.kind:
        case "receive" | "arrive":
            return replace(level, on_hand=level.on_hand + count)
        case "reserve":
            _need(level.free, count, level, "free")
            return replace(level, reserved=level.reserved + count)
        case "release":
            _need(promised, count, level, "promised to this order")
            return replace(level, reserved=level.reserved - count)
        case "issue":
            taken = min(promised, count)
            _need(level.free + taken, count, level, "free or promised to this order")
            due = level.old_due + (count if old_back else 0)
            return replace(level, on_hand=level.on_hand - count, reserved=level.reserved - taken, old_due=due)
        case "send" | "write_off":
            _need(level.free, count, level, "free")
            return replace(level, on_hand=level.on_hand - count)
        case "return_old":
            _need(level.old_due, count, level, "to come back")
            return replace(level, old_due=level.old_due - count)
        case _:
            assert_never(move.kind)


def _need(there: int, wanted: int, level: Level, what: str) -> None:
    if there < wanted:
        raise NotEnough(f"{wanted} of {level.part} are wanted, but {max(there, 0)} are {what} at {level.place}")
