"""What the routes of queues answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from datetime import datetime

from ctiserver.web.routes import Answer


class QueueAnswer(Answer):
    """A queue as it stands."""

    name: str
    title: dict[str, str]
    waiting: int
    longest_since: datetime | None
    members: int
    agents_ready: int
    expected_wait_s: int


class QueuesAnswer(Answer):
    """Queues, by name."""

    queues: list[QueueAnswer]
    after: str | None  #: for the next page; None: this is the last
