"""The typed fields of a service record: what may stand in one, and when it must be filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Literal

from ctiserver.model.expression import expression
from ctiserver.model.expression.expression import Context, Value

FieldKind = Literal["text", "long_text", "number", "date", "choice", "phone", "amount", "device"]
_AMOUNT = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,2})?")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./*#\-]{1,31}")
_LONGEST = 20_000
_LONGEST_NUMBER = 40


def fault(kind: FieldKind, text: str, choices: Mapping[str, object]) -> str | None:
    """What is wrong with a value, as a stable word; None: nothing. An empty value is none, and so is never wrong."""
    text = text.strip()
    if not text:
        return None
    match kind:
        case "number":
            try:
                right = len(text) <= _LONGEST_NUMBER and Decimal(text).is_finite()
            except InvalidOperation:
                right = False
            return None if right else "number"
        case "amount":
            return None if _AMOUNT.fullmatch(text) else "amount"
        case "date":
            try:
                usual = re.fullmatch(r"(19|20|21)\d\d-\d\d-\d\d", text)
                return None if usual and date.fromisoformat(text) else "date"
            except ValueError:
                return "date"
        case "choice":
            return None if text in choices else "choice"
        case "phone":
            return None if _PHONE.fullmatch(text) else "phone"
        case "text" | "long_text" | "device":
            return None if len(text) <= _LONGEST else "too_long"


def condition(text: str) -> str:
    """The expression of ``required_when: =…``, without its mark. Raises ValueError that says how one is written."""
    if not text.startswith("="):
        raise ValueError(f"{text!r} is not a valid condition; write it like =payer == 'customer'")
    try:
        expression.parse(text[1:])
    except expression.ExpressionError as error:
        raise ValueError(str(error)) from None
    return text[1:]


def condition_reads(text: str) -> list[tuple[str, ...]]:
    """The names that a condition reads, such as ``("fields", "fault")``."""
    return list(expression.parse(text).reads())


def holds(condition_text: str, *, fields: Mapping[str, Value], payer: str, disposition: str, now: datetime) -> bool:
    """Does the condition hold for a record about to get this result?"""
    names: dict[str, Value] = {"fields": dict(fields), "payer": payer, "disposition": disposition}
    return expression.parse(condition_text).evaluate(names, Context(now=now)) is True
