"""Opening hours: weekly, across midnight, national holidays and their make-up working days, exceptions by date.

Four layers decide, the first that speaks wins: a date's own ``overrides`` entry, a make-up working day (调休), a
holiday, the weekly hours. A range that spans midnight belongs to the day on which it begins. Times are wall-clock
times of the calendar's zone, so that a day with a daylight-saving change keeps its hours.

National days come from the ``holidays`` library. Where a country publishes swapped days year by year (China), a year
that the library does not have yet is reported by :meth:`Calendar.unpublished`, never guessed. There a weekend that
touches a holiday belongs to it, as in the notices of the State Council; the library lists working days only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from ctiserver.strict_yaml import Name, TimeZone, Written

State = Literal["open", "closed", "holiday"]
Layer = Literal["override", "make_up_day", "holiday", "weekly"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RANGE = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_DAY_MINUTES = 24 * 60
#: How far :meth:`Calendar.next_change` looks ahead.
_HORIZON_DAYS = 400


@dataclass(frozen=True, slots=True)
class Range:
    """From ``begin`` to ``end`` minutes after midnight of its day; ``end`` beyond 1440 is the next day."""

    begin: int
    end: int


def _range(text: object) -> object:
    if isinstance(text, Range):
        return text
    match = _RANGE.fullmatch(str(text))
    if match is None:
        raise ValueError(
            f'{text!r} is not a valid range of hours; write it like "09:00-18:00", or "22:00-06:00" across midnight'
        )
    begin, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if begin >= _DAY_MINUTES or end > _DAY_MINUTES:
        raise ValueError(f"{text!r} is past the end of the day; the latest is 24:00")
    return Range(begin, end if end > begin else end + _DAY_MINUTES)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


Hours = Annotated[
    Range,
    BeforeValidator(_range),
    PlainSerializer(lambda r: f"{_clock(r.begin)}-{_clock(r.end if r.end <= _DAY_MINUTES else r.end - _DAY_MINUTES)}"),
    WithJsonSchema({"type": "string", "pattern": _RANGE.pattern, "examples": ["09:00-18:00", "22:00-06:00"]}),
]


def _days(text: str) -> str:
    days_of(text)
    return text


def days_of(text: str) -> tuple[int, ...]:
    """``"mon"``, ``"mon-fri"``, ``"sat,sun"`` as ISO weekdays less one. Raises ValueError."""
    found: list[int] = []
    for part in text.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last and last not in _DAYS):
            raise ValueError(f"{part!r} is not a day of the week; write {', '.join(_DAYS)} or a span such as mon-fri")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found += [day % 7 for day in range(begin, (end if end >= begin else end + 7) + 1)]
    return tuple(found)


def _dates(text: str) -> str:
    dates_of(text)
    return text


def dates_of(text: str) -> tuple[date, date]:
    """``"2027-02-08"`` or ``"2027-02-08..2027-02-10"``. Raises ValueError."""
    first, _, last = text.partition("..")
    try:
        begin = date.fromisoformat(first.strip())
        end = date.fromisoformat(last.strip()) if last else begin
    except ValueError:
        raise ValueError(f'{text!r} is not a valid date; write "2027-02-08" or "2027-02-08..2027-02-10"') from None
    if end < begin:
        raise ValueError(f"{text!r} ends before it begins")
    return begin, end


class Override(Written):
    """What holds on some dates whatever else says: hours (part of a day), or closed."""

    hours: tuple[Hours, ...] | None = None
    closed: bool = False
    why: str = ""

    @model_validator(mode="after")
    def _one(self) -> Override:
        if self.closed == (self.hours is not None):
            raise ValueError("write either hours: [...] or closed: true")
        return self


class Holidays(Written):
    """Whose national holidays count."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    subdivision: str | None = None
    make_up_days_like: Annotated[str, AfterValidator(_days)] = "mon"  #: whose weekly hours a make-up working day has


class CalendarFile(Written):
    """``config/calendars/NAME.yaml``"""

    schema_: Literal["calendar/1"] = Field(alias="schema")
    calendar: Name
    title: dict[str, str] = {}  # noqa: RUF012
    time_zone: TimeZone | None = None  #: None: the dialled number's, else the site's
    weekly: dict[Annotated[str, AfterValidator(_days)], tuple[Hours, ...]]
    holidays: Holidays | None = None
    overrides: dict[Annotated[str, AfterValidator(_dates)], Override] = {}  # noqa: RUF012


@dataclass(frozen=True, slots=True)
class Decision:
    """What a calendar says of a moment, and which layer said it."""

    state: State
    layer: Layer
    why: str
    day: date  #: the day whose hours decided; the day before where a range spans midnight


class Calendar:
    """One calendar, ready to be asked."""

    def __init__(self, file: CalendarFile, zone: ZoneInfo) -> None:
        self.name = file.calendar
        self.zone = ZoneInfo(file.time_zone) if file.time_zone else zone
        self._file = file
        self._weekly: dict[int, tuple[Range, ...]] = dict.fromkeys(range(7), ())
        for days, hours in file.weekly.items():
            for day in days_of(days):
                self._weekly[day] += hours
        self._overrides = [(*dates_of(dates), override) for dates, override in file.overrides.items()]

    def at(self, moment: datetime) -> Decision:
        """What holds at ``moment`` (aware)."""
        local = moment.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        for days_back in (0, 1):
            day = local.date() - timedelta(days=days_back)
            ranges, layer, why = self._hours(day)
            if any(span.begin <= minute + days_back * _DAY_MINUTES < span.end for span in ranges):
                return Decision("open", layer, why, day)
        _, layer, why = self._hours(local.date())
        return Decision("holiday" if layer == "holiday" else "closed", layer, why, local.date())

    def is_open_on(self, day: date) -> bool:
        """Whether it is open at some time of that day; what began the day before and goes past midnight counts."""
        before = self._hours(day - timedelta(days=1))[0]
        return bool(self._hours(day)[0]) or any(span.end > _DAY_MINUTES for span in before)

    def next_change(self, moment: datetime) -> datetime | None:
        """When the state next changes (aware UTC), None if it does not within 400 days."""
        now = self.at(moment).state
        local = moment.astimezone(self.zone)
        for offset in range(-1, _HORIZON_DAYS):
            day = local.date() + timedelta(days=offset)
            edges = {0} | {edge for span in self._hours(day)[0] for edge in (span.begin, span.end)}
            for edge in sorted(edges):
                wall = datetime.combine(day + timedelta(days=edge // _DAY_MINUTES), time(), self.zone)
                instant = wall.replace(hour=edge % _DAY_MINUTES // 60, minute=edge % 60).astimezone(UTC)
                if instant > moment and self.at(instant).state != now:
                    return instant
        return None

    def period_began(self, moment: datetime) -> datetime:
        """When the hours began that ``moment`` falls into, else when the next ones begin (aware UTC).

        A calendar that never changes has one period a local day.
        """
        began = moment.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
        change = self.next_change(began)
        while change is not None and change <= moment:
            began, change = change, self.next_change(change)
        if self.at(moment).state != "open":
            while change is not None and self.at(change).state != "open":
                change = self.next_change(change)
            return change or began
        return began

    def unpublished(self, year: int) -> bool:
        """Whether this country publishes swapped days year by year, and the library does not have ``year`` yet."""
        if self._file.holidays is None:
            return False
        latest = _latest_published(self._file.holidays.country, self._file.holidays.subdivision)
        return latest is not None and year > latest

    def _hours(self, day: date) -> tuple[tuple[Range, ...], Layer, str]:
        for begin, end, override in self._overrides:
            if begin <= day <= end:
                return override.hours or (), "override", override.why or f"overrides of {begin}"
        holidays = self._file.holidays
        if holidays is not None:
            if day in _national(holidays.country, holidays.subdivision, day.year)[1]:
                like = days_of(holidays.make_up_days_like)[0]
                return self._weekly[like], "make_up_day", f"make-up working day, with the hours of {_DAYS[like]}"
            holiday = _holiday(holidays.country, holidays.subdivision, day)
            if holiday:
                return (), "holiday", holiday
        return self._weekly[day.weekday()], "weekly", f"weekly hours of {_DAYS[day.weekday()]}"


def _holiday(country: str, subdivision: str | None, day: date) -> str | None:
    """The holiday's name, if the day is one."""
    name = _national(country, subdivision, day.year)[0].get(day)
    if name or day.weekday() < 5 or _latest_published(country, subdivision) is None:
        return name
    for step in (-1, 1):
        near = day + timedelta(days=step)
        if near.weekday() >= 5:  # the other day of the same weekend
            if near in _national(country, subdivision, near.year)[1]:
                continue
            name = _national(country, subdivision, near.year)[0].get(near)
            near += timedelta(days=step)
        name = name or _national(country, subdivision, near.year)[0].get(near)
        if name:
            return f"weekend of {name}"
    return None


@lru_cache(maxsize=256)
def _national(country: str, subdivision: str | None, year: int) -> tuple[dict[date, str], frozenset[date]]:
    import holidays  # noqa: PLC0415 - the library is large; only calendars with national days need it

    table = holidays.country_holidays(country, subdiv=subdivision, years=year)
    make_up = frozenset(day for day in getattr(table, "weekend_workdays", ()) if day.year == year)
    return dict(table.items()), make_up


@lru_cache(maxsize=64)
def _latest_published(country: str, subdivision: str | None) -> int | None:
    import holidays  # noqa: PLC0415

    table = holidays.country_holidays(country, subdiv=subdivision)
    special: dict[int, object] = getattr(table, "special_public_holidays", None) or {}
    # An entry of four numbers or more is a day off swapped for a working day: month, day, and whose place it takes.
    return max(
        (year for year, entries in special.items() if any(len(entry) >= 4 for entry in _entries(entries))), default=None
    )


def _entries(entries: object) -> Iterator[tuple[object, ...]]:
    if isinstance(entries, tuple):
        if entries and not isinstance(entries[0], tuple):
            yield entries
        else:
            yield from (entry for entry in entries if isinstance(entry, tuple))


def known_country(country: str) -> bool:
    """Whether the library knows this country's holidays."""
    import holidays  # noqa: PLC0415

    return country in holidays.list_supported_countries()
