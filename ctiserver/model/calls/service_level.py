"""What is counted of queues, and the figures that follow: the formulas of docs/reference/figures.md, pure.

Everything is counted over visits: one stay of one caller in one queue. Waits are whole milliseconds, so that sums are
exact; a figure whose divisor is nothing is None, never zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Literal, get_args

from ctiserver.model.events import QueueOutcome
from ctiserver.model.ids import CallId, Interface, QueueName

#: What may be counted, and asked for call by call.
Counted = Literal[
    "offered",  # entered the queue
    "waiting",  # and are still in it
    "answered",
    "answered_in_time",  # within the service threshold
    "abandoned",
    "abandoned_short",  # within the short-abandon threshold
    "left_otherwise",  # time-out, key, empty, full
]
COUNTED: tuple[Counted, ...] = get_args(Counted)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedVisit:
    """One stay of a caller in one queue; ``left_at`` None: still there."""

    call_id: CallId
    queue: QueueName
    entered_at: datetime
    left_at: datetime | None = None
    outcome: QueueOutcome | None = None  #: None while there
    agent: Interface | None = None

    @property
    def wait_ms(self) -> int | None:
        """How long the caller waited; None while there."""
        if self.left_at is None:
            return None
        return max(0, (self.left_at - self.entered_at) // timedelta(milliseconds=1))


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a queue is measured against: answered within the one; who leaves within the other did not mean to wait."""

    answered_within: timedelta
    short_abandon: timedelta

    def belongs(self, visit: CountedVisit, to: Counted) -> bool:
        """Is the visit one of those?"""
        wait = timedelta(milliseconds=visit.wait_ms or 0)
        match to:
            case "offered":
                return True
            case "waiting":
                return visit.left_at is None
            case "answered":
                return visit.outcome == "answered"
            case "answered_in_time":
                return visit.outcome == "answered" and wait <= self.answered_within
            case "abandoned":
                return visit.outcome == "abandoned"
            case "abandoned_short":
                return visit.outcome == "abandoned" and wait <= self.short_abandon
            case "left_otherwise":
                return visit.outcome not in (None, "answered", "abandoned")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a queue came to in an interval."""

    offered: int = 0
    waiting: int = 0
    answered: int = 0
    answered_in_time: int = 0
    abandoned: int = 0
    abandoned_in_time: int = 0  #: within the service threshold: only Asterisk's own formula asks
    abandoned_short: int = 0
    left_otherwise: int = 0
    wait_answered_ms: int = 0
    wait_left_ms: int = 0  #: of all who left, answered or not

    def __add__(self, other: Figures) -> Figures:
        return self._joined(other, 1)

    def __sub__(self, other: Figures) -> Figures:
        return self._joined(other, -1)

    def _joined(self, other: Figures, sign: int) -> Figures:
        return Figures(**{it.name: getattr(self, it.name) + sign * getattr(other, it.name) for it in fields(self)})

    @property
    def sl_no_short(self) -> float | None:
        """Answered in time, of those who were answered or meant to wait: the service level unless said otherwise."""
        return _share(self.answered_in_time, self.answered + self.abandoned - self.abandoned_short)

    @property
    def sl_answered(self) -> float | None:
        """Asterisk's ServicelevelPerf: of those answered."""
        return _share(self.answered_in_time, self.answered)

    @property
    def sl_asterisk2(self) -> float | None:
        """Asterisk's ServicelevelPerf2: in time, answered or given up, of both."""
        return _share(self.answered_in_time + self.abandoned_in_time, self.answered + self.abandoned)

    @property
    def sl_offered(self) -> float | None:
        """Of all who entered."""
        return _share(self.answered_in_time, self.offered)

    @property
    def abandon_rate(self) -> float | None:
        """Who gave up, short ones taken out on both sides."""
        return _share(self.abandoned - self.abandoned_short, self.offered - self.abandoned_short)

    @property
    def answered_rate(self) -> float | None:
        """接通率: who was answered, short ones taken out."""
        return _share(self.answered, self.offered - self.abandoned_short)

    @property
    def asa_ms(self) -> float | None:
        """The mean wait of those answered."""
        return _share(self.wait_answered_ms, self.answered)

    @property
    def wait_all_ms(self) -> float | None:
        """The mean wait of all who left."""
        return _share(self.wait_left_ms, self.answered + self.abandoned + self.left_otherwise)


def of_visit(visit: CountedVisit, thresholds: Thresholds) -> Figures:
    """What one visit adds to the figures."""
    wait_ms = visit.wait_ms or 0

    def count(what: Counted) -> int:
        return int(thresholds.belongs(visit, what))

    return Figures(
        offered=1,
        waiting=count("waiting"),
        answered=count("answered"),
        answered_in_time=count("answered_in_time"),
        abandoned=count("abandoned"),
        abandoned_in_time=int(
            visit.outcome == "abandoned" and timedelta(milliseconds=wait_ms) <= thresholds.answered_within
        ),
        abandoned_short=count("abandoned_short"),
        left_otherwise=count("left_otherwise"),
        wait_answered_ms=wait_ms if visit.outcome == "answered" else 0,
        wait_left_ms=wait_ms,
    )


def figures(visits: Iterable[CountedVisit], thresholds: Thresholds) -> Figures:
    """Count the visits."""
    return sum((of_visit(visit, thresholds) for visit in visits), Figures())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole > 0 else None
