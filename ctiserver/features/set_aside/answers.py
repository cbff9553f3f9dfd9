"""What the routes of work that was set aside answer."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from ctiserver.web.routes import Answer


class SetAsideAnswer(Answer):
    """One piece of work that could not be done."""

    id: str
    kind: str
    """Of work; ``event`` for something that the telephone system told and a service could not take in."""
    ref: str
    about: str
    record_id: str | None
    reason: str
    tries: int
    at: datetime


class SetAsidePageAnswer(Answer):
    """A page, the newest first; events, which are few, come with the first page."""

    items: list[SetAsideAnswer]
    before: str | None
    """For the next page; null: this is the last."""


class TriedAnswer(Answer):
    """What happened to a wish to have it done again."""

    state: Literal["done", "under_way", "failed"]
    """``under_way``: its service does it soon; if it fails again, it is back in the list."""
