"""What the chain's routes answer."""

from __future__ import annotations

from datetime import datetime

from ctiserver.web.routes import Answer


class LinkAnswer(Answer):
    """One stretch of a record's way."""

    kind: str
    at: datetime
    until: datetime | None
    what: str
    """The queue, the order's kind, the disposition, the resolution."""
    who: str
    number: str
    id: str
    state: str
    waited_ms: int
    """How long nothing was done before it."""


class BreakAnswer(Answer):
    """Where the chain is broken."""

    kind: str
    since: datetime
    number: str
    id: str


class ChainAnswer(Answer):
    """A record's way from the ring to its end."""

    record_id: str
    number: str
    status: str
    whole: bool
    links: list[LinkAnswer]
    breaks: list[BreakAnswer]


class LateOrderAnswer(Answer):
    """An open order that is late or about to be."""

    id: str
    number: str
    kind: str
    state: str
    record_id: str
    record_number: str
    owner: str
    """Who has it; a role where nobody does."""
    accept_by: datetime | None
    due_at: datetime | None
    late: bool


class LateAnswer(Answer):
    """Open orders that are late or due within four hours, due first."""

    orders: list[LateOrderAnswer]
