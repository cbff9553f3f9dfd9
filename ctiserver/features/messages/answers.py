"""What the routes of messages answer."""

from __future__ import annotations

from ctiserver.web.routes import Answer, Exact, Moment


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
    next_at: Moment
    error: str
    cost: Exact
    created_at: Moment
    sent_at: Moment | None
    delivered_at: Moment | None


class MessagesAnswer(Answer):
    """A page of messages, the newest first."""

    messages: list[MessageAnswer]
    before: str | None
    """For the next page; null: this is the last."""


class StopAnswer(Answer):
    """Whether the customer wants no more SMS."""

    stopped: bool
