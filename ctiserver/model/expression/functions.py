"""The functions that expressions may call; docs/reference/flow-language.md lists the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from ctiserver.model.expression.tree import Money, Value
from ctiserver.model.expression.types import (
    ANYTHING,
    BOOLEAN,
    DATE,
    DECIMAL,
    INTEGER,
    MONEY,
    TEXT,
    TIME,
    Context,
    Function,
    to_date,
)


def to_text(value: Value) -> str:
    """A value as people read it; nothing for what is missing."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Money(amount=amount):
            return f"{amount:.2f}"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M")
        case Mapping():
            return to_text(value.get("name"))
        case str():
            return value
        case Sequence():
            return ", ".join(to_text(item) for item in value)
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)


def _to_int(value: Value) -> int | None:
    if isinstance(value, Decimal):
        return int(value)
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]{1,18}", value) else None


def _to_decimal(value: Value) -> Decimal | None:
    if isinstance(value, int | Decimal):
        return Decimal(value)
    return (
        Decimal(value) if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]{1,18}(\.[0-9]{1,9})?", value) else None
    )


def _mask(text: str) -> str:
    """All but the first three and the last four, as on a receipt; shorter texts keep their last two."""
    if len(text) < 8:
        return "*" * max(0, len(text) - 2) + text[-2:]
    return text[:3] + "*" * (len(text) - 7) + text[-4:]


def _e164(context: Context, text: str) -> Value:
    import phonenumbers  # noqa: PLC0415 - its metadata takes a while to load, and few expressions want it

    try:
        number = phonenumbers.parse(text, context.region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


_TEXTS, _INTS, _ANY = (TEXT,), (INTEGER,), (ANYTHING,)
_COUNTS = (DECIMAL,)  # an integer fits a decimal
#: The functions every expression may call; docs/reference/flow-language.md lists the same.
FUNCTIONS: dict[str, Function] = {
    "len": Function((_TEXTS,), INTEGER, lambda _, text: len(text)),
    "int": Function(((TEXT, DECIMAL),), INTEGER, lambda _, value: _to_int(value)),
    "decimal": Function(((TEXT, DECIMAL),), DECIMAL, lambda _, value: _to_decimal(value)),
    "text": Function((_ANY,), TEXT, lambda _, value: to_text(value)),
    "left": Function((_TEXTS, _INTS), TEXT, lambda _, text, n: text[: max(0, n)]),
    "right": Function((_TEXTS, _INTS), TEXT, lambda _, text, n: text[-n:] if n > 0 else ""),
    "upper": Function((_TEXTS,), TEXT, lambda _, text: text.upper()),
    "lower": Function((_TEXTS,), TEXT, lambda _, text: text.lower()),
    "mask": Function((_TEXTS,), TEXT, lambda _, text: _mask(text)),
    "now": Function((), TIME, lambda context: context.now.astimezone(context.zone)),
    "today": Function((), DATE, lambda context: context.now.astimezone(context.zone).date()),
    "date": Function(((TEXT, TIME, DATE),), DATE, lambda _, value: to_date(value)),
    "weekday": Function(((DATE, TIME),), INTEGER, lambda _, day: day.isoweekday()),
    "money": Function((_COUNTS,), MONEY, lambda _, value: None if (d := _to_decimal(value)) is None else Money(d)),
    "round": Function((_COUNTS, _INTS), DECIMAL, lambda _, value, n: round(Decimal(value), max(0, min(n, 9)))),
    "abs": Function((_COUNTS,), None, lambda _, value: abs(value)),
    "min": Function((_COUNTS, _COUNTS), DECIMAL, lambda _, a, b: min(a, b)),
    "max": Function((_COUNTS, _COUNTS), DECIMAL, lambda _, a, b: max(a, b)),
    "default": Function((_ANY, _ANY), None, lambda _, value, other: other if value in (None, "") else value, True),
    "known": Function((_ANY,), BOOLEAN, lambda _, value: value not in (None, ""), True),
    "e164": Function((_TEXTS,), TEXT, _e164),
    "customer_if": Function(((BOOLEAN,),), TEXT, lambda _, yes: "customer" if yes else "maker"),
}  # fmt: skip
