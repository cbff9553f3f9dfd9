"""Numbers whose calls a flow may turn away: ``blocked.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from ctiserver.model.numbers import national, normal
from ctiserver.strict_yaml import Written


def _number(text: str) -> str:
    digits = text.removesuffix("*").lstrip("+")
    if not digits.isdecimal() or text.count("+") > text.startswith("+"):
        raise ValueError(
            f'{text!r} is not a valid number; write digits in quotes, and a star behind a prefix: "400123*"'
        )
    return text


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("an expiry needs a time zone; write it like 2026-12-31T00:00+08:00")
    return value


class Blocked(Written):
    """Why a number is blocked, and how long."""

    reason: Annotated[str, Field(max_length=200)] = ""
    until: Annotated[datetime, Field(strict=False), AfterValidator(_aware)] | None = None  #: None: until it is removed


class BlockedFile(Written):
    """blocked.yaml"""

    blocked: dict[Annotated[str, AfterValidator(_number)], Blocked] = {}  # noqa: RUF012


@dataclass(frozen=True, slots=True)
class Blocklist:
    """The blocked numbers of a site, whose callers dial as in ``region``."""

    entries: Mapping[str, Blocked] = field(default_factory=dict)
    region: str = "CN"

    def holds(self, ani: str, now: datetime) -> bool:
        """Whether a caller's number is blocked now; a withheld number never is."""
        if not ani or not self.entries:
            return False
        caller = normal(ani, self.region) or ani
        return any(
            self._is(ani, caller, number) and (entry.until is None or now < entry.until)
            for number, entry in self.entries.items()
        )

    def _is(self, ani: str, caller: str, number: str) -> bool:
        if number.endswith("*"):
            prefix = number[:-1]
            at_home = national(ani, self.region)
            return any(form.startswith(prefix) for form in (ani, caller, at_home, f"0{at_home}"))
        return ani == number or caller == (normal(number, self.region) or number)
