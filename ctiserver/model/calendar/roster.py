"""Who is on call, and in which order they are rung: ``config/rosters/NAME.yaml``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from ctiserver.model.calendar.opening_hours import Hours, days_of
from ctiserver.strict_yaml import Name, TimeZone, Written

_DAY_MINUTES = 24 * 60


def _days(text: str) -> str:
    days_of(text)
    return text


class Duty(Written):
    """One person's turn: from a time to a time, or every week on some days."""

    who: Annotated[str, Field(min_length=1, max_length=60)]
    number: Annotated[str, Field(pattern=r"^\+?[0-9]{2,15}$")]
    from_: Annotated[datetime | None, Field(alias="from", strict=False)] = None
    to: Annotated[datetime | None, Field(strict=False)] = None
    days: Annotated[str, AfterValidator(_days)] = "mon-sun"
    hours: Hours | None = None  #: None: the whole day
    order: Annotated[int, Field(ge=1, le=99)] = 1  #: who is rung first

    @model_validator(mode="after")
    def _aware(self) -> Duty:
        for moment in (self.from_, self.to):
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"{moment} has no time zone; write it like 2026-12-01T18:00+08:00")
        return self


class RosterFile(Written):
    """``config/rosters/NAME.yaml``"""

    schema_: Literal["roster/1"] = Field(alias="schema")
    roster: Name
    time_zone: TimeZone | None = None
    duties: Annotated[tuple[Duty, ...], Field(min_length=1)]


class Roster:
    """One roster, ready to be asked."""

    def __init__(self, file: RosterFile, zone: ZoneInfo) -> None:
        self.name = file.roster
        self._zone = ZoneInfo(file.time_zone) if file.time_zone else zone
        self._duties = sorted(file.duties, key=lambda duty: duty.order)

    @property
    def numbers(self) -> frozenset[str]:
        """Everybody's, on call now or not, as the file has them."""
        return frozenset(duty.number for duty in self._duties)

    def on_call(self, moment: datetime) -> tuple[str, ...]:
        """The numbers of those on call at ``moment`` (aware), in the order in which they are rung."""
        return tuple(dict.fromkeys(duty.number for duty in self._duties if self._on(duty, moment)))

    def _on(self, duty: Duty, moment: datetime) -> bool:
        if (duty.from_ is not None and moment < duty.from_) or (duty.to is not None and moment >= duty.to):
            return False
        local = moment.astimezone(self._zone)
        minute = local.hour * 60 + local.minute
        days = days_of(duty.days)
        if duty.hours is None:
            return local.weekday() in days
        today = duty.hours.begin <= minute < duty.hours.end and local.weekday() in days
        # a turn that spans midnight belongs to the day on which it begins
        late = duty.hours.begin <= minute + _DAY_MINUTES < duty.hours.end and (local.weekday() - 1) % 7 in days
        return today or late
