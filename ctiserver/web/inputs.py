"""Types of what requests hold, with the bounds that everything behind them relies on.

The database, other zones and the arithmetic of deadlines all end somewhere: a visit planned for the year 9999 could not
be told in any zone east of Greenwich. What no site means is refused at the entrance, with the field's name.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field

from ctiserver.model import email_address
from ctiserver.web.problems import Invalid

#: How far from now a time may lie that somebody plans, or asks about.
NEAR = timedelta(days=5 * 366)
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)


def _near(at: datetime) -> datetime:
    now = datetime.now(UTC)
    try:
        far = abs(at.astimezone(UTC) - now) > NEAR
    except (OverflowError, ValueError):
        far = True
    if far:
        raise ValueError(f"a time within {NEAR.days // 366} years of now")
    return at


def _usual(day: date) -> date:
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise ValueError(f"a day from {_FIRST_DAY} to {_LAST_DAY}")
    return day


def _email(text: str) -> str:
    return email_address.normal(text) if text.strip() else ""


#: A time that somebody plans, or asks about, with its zone.
NearTime = Annotated[AwareDatetime, AfterValidator(_near)]
#: A day: of a purchase, of a warranty's end, of the plan.
Day = Annotated[date, AfterValidator(_usual)]
#: One e-mail address, or none.
EmailAddress = Annotated[str, Field(max_length=320), AfterValidator(_email)]
#: The revision that an editor saw.
Revision = Annotated[int, Field(ge=1, le=2**31 - 1)]


def near_time(text: str, name: str) -> datetime:
    """A time after the ``?`` of an address. Raises Invalid."""
    hint = {name: "write it like 2026-11-21T00:00:00+08:00"}
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise Invalid("this time has no time zone", hint)
        return _near(at)
    except (ValueError, OverflowError):
        raise Invalid(f"not a time within {NEAR.days // 366} years of now", hint) from None


def usual_day(text: str, name: str) -> date:
    """A day after the ``?`` of an address. Raises Invalid."""
    try:
        return _usual(date.fromisoformat(text))
    except ValueError:
        raise Invalid(f"{name} is a day such as 2026-11-23", {name: "invalid"}) from None
