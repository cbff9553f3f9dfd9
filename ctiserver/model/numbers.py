"""Telephone numbers as they are stored and compared: E.164 where that can be told, else as dialled."""

from __future__ import annotations

import re
from collections.abc import Collection

import phonenumbers

_WITHHELD = re.compile(
    r"(anonymous|unknown|unavailable|private|restricted|withheld|asterisk|<unknown>|0*|)", re.IGNORECASE
)
_PUNCTUATION = re.compile(r"[ \u00a0().\-/]")


def withheld(ani: str) -> bool:
    """Does this caller ID name nobody? True for empty, all zeros, and the words that networks send instead."""
    return _WITHHELD.fullmatch(_PUNCTUATION.sub("", ani.strip().lstrip("+"))) is not None


def normal(number: str, region: str) -> str | None:
    """The number as contacts are found by it, read as somebody in ``region`` (ISO 3166) would dial it.

    A valid number becomes E.164 (``+8613800000001``). An extension, a short code, or what no numbering plan knows
    stays as dialled without punctuation. None if it is withheld, or no number at all.
    """
    if withheld(number):
        return None
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        parsed = None
    if parsed is not None and phonenumbers.is_valid_number(parsed):
        return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    dialled = _PUNCTUATION.sub("", number.strip())
    return dialled if re.fullmatch(r"\+?[0-9*#]{2,32}", dialled) else None


def national(number: str, region: str) -> str:
    """The digits without a country's code, as said within that country; the number as it is where no plan knows it."""
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.national_significant_number(parsed) if phonenumbers.is_valid_number(parsed) else number


def shown(number: str, region: str) -> str:
    """The number as people in ``region`` read it: national if it is theirs, else international."""
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return number
    if not phonenumbers.is_valid_number(parsed):
        return number
    home = phonenumbers.region_code_for_number(parsed) == region
    style = phonenumbers.PhoneNumberFormat.NATIONAL if home else phonenumbers.PhoneNumberFormat.INTERNATIONAL
    return phonenumbers.format_number(parsed, style)


def dialable(number: str, region: str, *, allow: Collection[str], refuse: Collection[str] = ()) -> str | None:
    """The number as it may be dialled to outside: E.164, or None.

    It must be a valid number of some numbering plan, as somebody in ``region`` would dial it, begin with one of the
    prefixes ``allow`` and with none of ``refuse``. Short codes and emergency numbers are not for this way.
    """
    found = normal(number, region)
    if found is None or not found.startswith("+"):
        return None
    return found if found.startswith(tuple(allow)) and not found.startswith(tuple(refuse)) else None
