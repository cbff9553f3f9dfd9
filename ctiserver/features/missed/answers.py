"""What the routes of missed calls answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from ctiserver.web.routes import Answer, Moment


class CallbackAnswer(Answer):
    """The order to call back."""

    number: str
    state: str
    attempt: int


class MissedCallAnswer(Answer):
    """One caller who got nobody in one open period, however often they tried."""

    id: str
    number: str
    period_began_at: Moment
    queue: str
    record_id: str
    call_id: str  #: the last unanswered call
    calls: int
    missed_at: Moment
    last_at: Moment
    state: str
    ended_at: Moment | None
    ended_by: str
    callback: CallbackAnswer | None


class MissedCallsAnswer(Answer):
    """A page of missed calls, the newest first."""

    missed_calls: list[MissedCallAnswer]
    before: str | None  #: for the next page; None: this is the last


class MissedFiguresAnswer(Answer):
    """What was first missed since ``since``, and came of it."""

    since: Moment
    missed: int
    recovered: int
    minutes_to_recover: float | None  #: the median; None while nobody was reached
