"""Records that data raises: which day a rule means for an object, and what its texts may name. Pure.

A rule looks at one date of an object (a device's ``warranty_until``, a record's ``closed_at`` …), moves it by ``after``
or ``before``, or repeats it ``every_months``, and raises one record for each such day.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ctiserver.model.expression import expression
from ctiserver.model.expression.expression import DATE, INTEGER, TEXT, Context, ExpressionError, Object, Scope, Value
from ctiserver.model.ids import ContactId, DeviceId, SiteId
from ctiserver.strict_yaml import Name, Written

Kind = Literal["device", "contact", "record", "delivery"]

_DEVICE = Object("device", {"serial": TEXT, "model": TEXT, "bought_on": DATE, "warranty_until": DATE, "contract": TEXT})
_CONTACT = Object("contact", {"name": TEXT, "organisation": TEXT, "tier": TEXT, "language": TEXT})
_RECORD = Object("record", {"number": TEXT, "type": TEXT, "subject": TEXT, "status": TEXT})
_DELIVERY = Object("delivery", {"part": TEXT, "place": TEXT, "quantity": INTEGER})

#: What each kind of object has: its dates, and what ``where`` and ``subject`` may name.
DATES: Mapping[Kind, tuple[str, ...]] = {
    "device": ("bought_on", "warranty_until"),
    "contact": ("created_at",),
    "record": ("opened_at", "closed_at"),
    "delivery": ("at",),
}
SCOPES: Mapping[Kind, Scope] = {
    "device": Scope({"device": _DEVICE, "contact": _CONTACT}),
    "contact": Scope({"contact": _CONTACT}),
    "record": Scope({"record": _RECORD, "contact": _CONTACT}),
    "delivery": Scope({"delivery": _DELIVERY, "record": _RECORD, "contact": _CONTACT}),
}
#: A day that was missed, since no server ran or the rule is new, is made up for so long and no longer.
MADE_UP = timedelta(days=14)
_MONTHS_IN_YEAR = 12
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}")


def _days(text: str) -> str:
    number, _, unit = text.partition(" ")
    if unit not in ("day", "days", "week", "weeks") or not number.isdecimal():
        raise ValueError(f"{text!r} is not a valid number of days; write it like 30 days or 2 weeks")
    return text


Days = Annotated[str, AfterValidator(_days)]


def _length(text: str | None) -> timedelta:
    if text is None:
        return timedelta(0)
    number, _, unit = text.partition(" ")
    return timedelta(weeks=int(number)) if unit.startswith("week") else timedelta(days=int(number))


class Raise(Written):
    """The record that is raised."""

    type: Name
    subject: str  #: a text with ``{{ expressions }}``
    priority: Annotated[int, Field(ge=0, le=9)] | None = None  #: the type's, unless said


class CareRule(Written):
    """One rule."""

    of: Kind
    date_: str = Field(alias="date")  #: which of the object's dates
    before: Days | None = None
    after: Days | None = None
    every_months: Annotated[int, Field(ge=1, le=240)] | None = None
    where: str | None = None  #: an expression that must hold
    raises: Raise

    @model_validator(mode="after")
    def _sound(self) -> CareRule:
        if self.date_ not in DATES[self.of]:
            raise ValueError(f"a {self.of} has no date {self.date_!r}; it has {', '.join(DATES[self.of])}")
        if self.before is not None and self.after is not None:
            raise ValueError("before: and after: both move the day; keep one")
        try:
            if self.where is not None:
                expression.parse(self.where.removeprefix("=")).check(SCOPES[self.of])
            for piece in expression.parse_template(self.raises.subject).expressions():
                piece.check(SCOPES[self.of])
        except ExpressionError as error:
            raise ValueError(str(error)) from None
        return self

    def due_on(self, day: date, today: date) -> Iterator[date]:
        """The days in the last MADE_UP up to ``today`` for which the object's ``day`` makes a record due."""
        moved = day + _length(self.after) - _length(self.before)
        if self.every_months is None:
            if today - MADE_UP < moved <= today:
                yield moved
            return
        turn = max(1, _months(moved, today - MADE_UP) // self.every_months)
        while (again := _later(moved, turn * self.every_months)) <= today:
            if today - MADE_UP < again:
                yield again
            turn += 1

    def subject(self, names: Mapping[str, Value], context: Context) -> str:
        """The record's subject; what is not known in it is left out."""

        def said(found: re.Match[str]) -> str:
            value = expression.parse(found[1]).evaluate(names, context)
            return "" if value is None else expression.to_text(value)

        return _EXPRESSION.sub(said, self.raises.subject)


class CareRulesFile(Written):
    """care_rules.yaml"""

    rules: dict[Name, CareRule] = {}  # noqa: RUF012


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An object that a rule looks at."""

    id: str
    day: date
    names: Mapping[str, Value]
    contact_id: ContactId | None = None
    site_id: SiteId | None = None
    device_id: DeviceId | None = None


def _months(day: date, until: date) -> int:
    return (until.year - day.year) * _MONTHS_IN_YEAR + until.month - day.month


def _later(day: date, months: int) -> date:
    """So many months later, on the same day of the month or its last one."""
    year, month = divmod(day.year * _MONTHS_IN_YEAR + day.month - 1 + months, _MONTHS_IN_YEAR)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
