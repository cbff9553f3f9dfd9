"""A message to the world outside: an SMS, an e-mail, a webhook's delivery. It is sent at least once, under one id.

The id goes with it each time, so that the far side can tell a second delivery from a second message.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, get_args

from ctiserver.errors import CtiError
from ctiserver.model.ids import RecordId
from ctiserver.model.set_aside import storable

Via = Literal["sms", "email", "webhook"]
#: ``dead``: every try failed; it can be looked at and sent again. ``suppressed``: it must not be sent, with the reason.
#: ``set_aside``: its row can't be read or written; admins see why.
MessageState = Literal["queued", "sent", "delivered", "dead", "suppressed", "set_aside"]
MESSAGE_STATES: tuple[MessageState, ...] = get_args(MessageState)

#: How long after each failed try the next one is made; after the last one the message is dead. In all a day and a half.
PAUSES = tuple(timedelta(seconds=s) for s in (10, 60, 300, 1800, 7200, 21_600, 43_200, 57_600))
#: So much of a peer's complaint is kept.
_ERROR_MAX = 500


class NotDead(CtiError):
    """Only a dead message can be sent again: this one is still under way, arrived, or must not be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. ``key`` is unique for what caused it, so that one cause makes one message."""

    id: str  #: ULID
    key: str
    via: Via
    to: str  #: a number, an address, a webhook's name
    subject: str = ""
    text: str  #: as it is sent; a webhook's is JSON
    record_id: RecordId | None = None
    state: MessageState = "queued"
    attempts: int = 0
    next_at: datetime
    error: str = ""  #: why the last try failed, or why it is suppressed
    cost: Decimal = Decimal(0)
    created_at: datetime
    sent_at: datetime | None = None
    delivered_at: datetime | None = None


def sent(message: Message, now: datetime, cost: Decimal) -> Message:
    """The far side has taken it."""
    return replace(
        message, state="sent", attempts=message.attempts + 1, sent_at=now, error="", cost=message.cost + cost
    )


def failed(message: Message, now: datetime, error: str, *, for_good: bool = False) -> Message:
    """A try failed: another one later, or none (``for_good``: the far side said that it never will)."""
    attempts = message.attempts + 1
    kept = replace(message, attempts=attempts, error=storable(error, _ERROR_MAX))
    if for_good or attempts > len(PAUSES):
        return replace(kept, state="dead")
    return replace(kept, next_at=now + PAUSES[attempts - 1])


def again(message: Message, now: datetime) -> Message:
    """Somebody wants a dead message sent after all. Raises NotDead."""
    if message.state != "dead":
        raise NotDead(f"message {message.id} is {message.state}; only a dead one can be sent again")
    return replace(message, state="queued", attempts=0, next_at=now)


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """How a webhook's delivery proves where it comes from: HMAC-SHA256 over ``<timestamp>.<body>``, in hex."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
