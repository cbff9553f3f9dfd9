"""A call that the server makes to a customer, and whether it may be made now. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from ctiserver.model.ids import CallId, ContactId, PbxName, RecordId, WorkOrderId
from ctiserver.model.json_value import Json
from ctiserver.model.work.work_order import OrderKind

#: ``asked``: the PBX was asked to call, or is about to be; from here on the attempt is never made again.
CallState = Literal["waiting", "asked", "answered", "over"]
#: What a survey's flow tells (event ``survey.WORD``), and what the order comes to: a follow-up, and any other kind.
TOLD: Mapping[str, tuple[str, str]] = {
    "answered": ("satisfied", "done"),
    "dissatisfied": ("dissatisfied", "done"),
    "refused": ("unreachable", "refused"),
    "unanswered": ("unreachable", "unreachable"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundCall:
    """One attempt to call a customer for a work order. Each order has one, since each attempt is an order."""

    id: str  #: ULID
    order_id: WorkOrderId
    record_id: RecordId
    contact_id: ContactId | None = None
    flow: str
    attempt: int
    hours: str | None = None  #: the calendar in whose hours the customer may be called
    state: CallState = "waiting"
    due_at: datetime
    pbx: PbxName | None = None
    channel_id: str | None = None  #: what the PBX knows the call by; asked for it twice, it calls once
    call_id: CallId | None = None
    asked_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    told: str | None = None  #: the last of TOLD's words that the flow told
    outcome: str | None = None  #: what the order came to
    reason: str | None = None  #: why nobody was called, or how the call ended
    minutes: int = 0  #: begun minutes of talk
    cost: str = "0"  #: of these, in the site's currency: an exact decimal
    answers: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the server may do by itself."""

    calls_per_s: float
    at_once: int
    minutes_a_day: int
    money_a_day: Decimal | None  #: None: whatever the minutes cost
    price_a_minute: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What has been done of it."""

    just_now: int  #: calls begun within :func:`pace`
    going_on: int
    minutes_today: int
    money_today: Decimal


def pace(calls_per_s: float) -> tuple[int, timedelta]:
    """So many calls at most may begin in so long a time."""
    calls = max(1, int(calls_per_s))
    return calls, timedelta(seconds=calls / calls_per_s)


def held_up(limits: Limits, spent: Spent) -> Literal["pace", "at_once", "minutes", "money"] | None:
    """Which limit no further call may pass now; None: one more may be made.

    A call that goes on counts as a minute that is yet to be paid.
    """
    if spent.just_now >= pace(limits.calls_per_s)[0]:
        return "pace"
    if spent.going_on >= limits.at_once:
        return "at_once"
    minutes = spent.minutes_today + spent.going_on + 1
    if minutes > limits.minutes_a_day:
        return "minutes"
    money = spent.money_today + (spent.going_on + 1) * limits.price_a_minute
    return "money" if limits.money_a_day is not None and money > limits.money_a_day else None


def sampled(record: RecordId, flow: str, percent: int) -> bool:
    """Whether a record is among the ``percent`` that are asked: drawn once, and the same however often it is asked."""
    drawn = int.from_bytes(hashlib.sha256(f"{flow}\0{record}".encode()).digest()[:4], "big")
    return drawn * 100 < percent << 32


def channel_id(order: WorkOrderId, attempt: int, now: datetime) -> str:
    """The uniqueid that the call's channel is to have; in Asterisk's own form, so that it tells when the call began."""
    return f"{order}-{int(now.timestamp())}.{attempt}"


def came_to(kind: OrderKind, told: str | None) -> str:
    """What an order comes to by what the flow told; a customer who said nothing was not reached."""
    follow_up, other = TOLD[told or "unanswered"]
    return follow_up if kind == "follow_up" else other


def talk_minutes(answered_at: datetime | None, ended_at: datetime) -> int:
    """Begun minutes, as networks charge them."""
    if answered_at is None:
        return 0
    return max(1, -(-int((ended_at - answered_at).total_seconds()) // 60))
