"""What the routes of the live board answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from datetime import datetime

from ctiserver.web.routes import Answer


class QueueFiguresAnswer(Answer):
    """A queue's figures since midnight. Shares are 0 to 1, null where nobody was counted."""

    name: str
    answered_within_s: float
    short_abandon_s: float
    offered: int
    waiting: int
    answered: int
    answered_in_time: int
    abandoned: int
    abandoned_short: int
    left_otherwise: int
    sl_no_short: float | None
    sl_answered: float | None
    sl_asterisk2: float | None
    sl_offered: float | None
    abandon_rate: float | None
    answered_rate: float | None
    asa_ms: float | None
    wait_all_ms: float | None


class BoardAnswer(Answer):
    """Every queue, by name."""

    age_s: float  #: how old this is: more than nothing while a PBX is not connected
    queues: list[QueueFiguresAnswer]


class CountedVisitAnswer(Answer):
    """One stay of a caller in the queue."""

    call_id: str
    ani: str
    caller_name: str
    entered_at: datetime
    left_at: datetime | None
    wait_ms: int | None
    outcome: str | None
    agent: str | None  #: the phone that answered


class CountedAnswer(Answer):
    """Exactly the visits that one figure counts, the newest first."""

    queue: str
    figure: str
    count: int
    visits: list[CountedVisitAnswer]


class SteeredAnswer(Answer):
    """What an agent is after a supervisor's word."""

    agent_id: str
    state: str


class MonitoringAnswer(Answer):
    """Your phone rings, and joins the agent's call once you answer."""

    call_id: str
