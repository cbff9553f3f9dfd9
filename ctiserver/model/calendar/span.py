"""Spans of time as processes write them: ``30 minutes``, ``3 days``, ``4 working hours``, ``2 working days``.

Plain spans are lengths of real time: a day is 24 hours. Working spans count only while a calendar is open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from ctiserver.model.calendar.opening_hours import Calendar

Unit = Literal["second", "minute", "hour", "day", "week"]

_WRITTEN = re.compile(r"(\d{1,5}(?:\.\d{1,3})?) *(working )? *([a-z]+)")
_UNITS: Mapping[str, Unit] = {
    **dict.fromkeys(("s", "second", "seconds"), "second"),
    **dict.fromkeys(("m", "minute", "minutes"), "minute"),
    **dict.fromkeys(("h", "hour", "hours"), "hour"),
    **dict.fromkeys(("d", "day", "days"), "day"),
    **dict.fromkeys(("week", "weeks"), "week"),
}
_LENGTH: Mapping[Unit, timedelta] = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_HOW = "write it like 30 minutes, 3 days, 4 working hours"
#: A calendar that opens less often than this is taken as never open.
_LONGEST_SEARCH_DAYS = 800


@dataclass(frozen=True, slots=True)
class Span:
    """So many units of time; ``working`` ones count only while a calendar is open."""

    amount: float
    unit: Unit
    working: bool = False

    @classmethod
    def read(cls, text: str) -> Span:
        """Raises ValueError that says how a span is written."""
        found = _WRITTEN.fullmatch(text.strip())
        if not found or found[3] not in _UNITS:
            raise ValueError(f"{text!r} is not a valid duration; {_HOW}")
        span = cls(float(found[1]), _UNITS[found[3]], found[2] is not None)
        if span.working and (span.unit in ("second", "week") or (span.unit == "day" and span.amount % 1)):
            raise ValueError(f"{text!r}: working time is counted in minutes, hours or whole days")
        if not timedelta(0) < span.length <= timedelta(days=3660):
            raise ValueError(f"{text!r} is not between a second and ten years")
        return span

    @property
    def length(self) -> timedelta:
        """The real time that it takes where no calendar is asked."""
        return self.amount * _LENGTH[self.unit]

    def __str__(self) -> str:
        plural = "" if self.amount == 1 else "s"
        return f"{self.amount:g} {'working ' if self.working else ''}{self.unit}{plural}"


def _to_span(value: Any) -> Any:
    if isinstance(value, str):
        return Span.read(value)
    if isinstance(value, int | float):
        raise ValueError(f"{value} has no unit; {_HOW}")
    return value


#: A span in a file that a person writes.
SpanField = Annotated[
    Span,
    BeforeValidator(_to_span),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["30 minutes", "3 days", "4 working hours"]}),
]


@dataclass(frozen=True, slots=True)
class WorkingTime:
    """The calendars that deadlines are counted in."""

    zone: ZoneInfo
    calendars: Mapping[str, Calendar] = field(default_factory=dict)

    def after(self, start: datetime, span: Span, calendar: str | None = None) -> datetime:
        """When ``span`` is over, counted from ``start`` (aware) in the named calendar.

        Without such a calendar a working span is real time: early rather than never, since a deadline that never comes
        would strand a record. A definition whose calendar is missing is refused before it runs.
        """
        if not span.working or calendar is None or calendar not in self.calendars:
            return start + span.length
        if span.unit == "day":
            return self._after_days(start, int(span.amount), self.calendars[calendar])
        return self._after_open_time(start, span.length, self.calendars[calendar])

    def next_open(self, moment: datetime, calendar: str | None) -> datetime:
        """``moment`` itself while the calendar is open, else when it opens next."""
        if calendar is None or calendar not in self.calendars:
            return moment
        while self.calendars[calendar].at(moment).state != "open":
            change = self.calendars[calendar].next_change(moment)
            if change is None:
                return moment
            moment = change
        return moment

    def _after_open_time(self, start: datetime, left: timedelta, calendar: Calendar) -> datetime:
        moment = start
        latest = start + timedelta(days=_LONGEST_SEARCH_DAYS)
        while moment < latest:
            change = calendar.next_change(moment)
            is_open = calendar.at(moment).state == "open"
            if change is None:
                return moment + left
            if is_open:
                if moment + left <= change:
                    return moment + left
                left -= change - moment
            moment = change
        return latest

    def _after_days(self, start: datetime, days: int, calendar: Calendar) -> datetime:
        local = start.astimezone(calendar.zone)
        for offset in range(1, _LONGEST_SEARCH_DAYS):
            day = local + timedelta(days=offset)
            days -= calendar.is_open_on(day.date())
            if days == 0:
                return self.next_open(day, calendar.name).astimezone(start.tzinfo)
        return start + timedelta(days=_LONGEST_SEARCH_DAYS)
