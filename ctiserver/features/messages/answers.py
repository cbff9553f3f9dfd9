"""What the routes of messages answer."""

from __future__ import annotations

from datetime import datetime

from ctiserver.web.routes import Answer


class MessageAnswer(Answer):
    """A message to the world outside."""

    id: str
    via: str
    to: str
    subject: str
    text: str
    record_id: str | None
    state: str
    attempts: int
    next_at: datetime
    error: str
    cost: str
    created_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None


class MessagesAnswer(Answer):
    """A page of messages, the newest first."""

    messages: list[MessageAnswer]
    before: str | None
    """For the next page; null: this is the last."""


class StopAnswer(Answer):
    """Whether the customer wants no more SMS."""

    stopped: bool
