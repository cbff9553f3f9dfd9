"""A missed call (未接来电): somebody left unserved, and is owed a call back. One a number and open period."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Literal, get_args

from ctiserver.model.events import CallOutcome
from ctiserver.model.ids import CallId, RecordId

MissedState = Literal[
    "open",
    "recovered",  #: reached: by calling again, or by being called back
    "closed",  #: the callback ended without that
]
MISSED_STATES: tuple[MissedState, ...] = get_args(MissedState)
#: How a call ends whose caller left unserved. A message or a menu that was enough is service.
IN_VAIN: frozenset[CallOutcome] = frozenset({"abandoned", "timeout", "busy", "no_answer", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedCall:
    """One caller who got nobody in one open period, however often they tried."""

    id: str  #: ULID; they sort by when they were first missed
    number: str
    period_began_at: datetime  #: when the hours began in which they called, or the next ones after it
    queue: str  #: the last one they waited in; empty: none
    record_id: RecordId  #: on which the callback runs
    call_id: CallId  #: the last unanswered call
    calls: int = 1
    missed_at: datetime
    last_at: datetime
    state: MissedState = "open"
    ended_at: datetime | None = None
    ended_by: str = ""  #: ``call:<id>`` or how the callback closed


@dataclass(frozen=True, slots=True)
class MissedFigures:
    """What the missed calls of a while came to."""

    missed: int
    recovered: int
    minutes_to_recover: float | None  #: the median; None while nobody was reached


def missed_figures(calls: Iterable[MissedCall]) -> MissedFigures:
    """Count them; from first missed to reached."""
    seen = list(calls)
    reached = [
        (call.ended_at - call.missed_at) / timedelta(minutes=1)
        for call in seen
        if call.state == "recovered" and call.ended_at
    ]
    return MissedFigures(len(seen), len(reached), median(reached) if reached else None)
