"""Which numbers call for help in a country, from libphonenumber's metadata."""

from __future__ import annotations

from functools import lru_cache

from phonenumbers import shortnumberinfo

#: Emergency numbers have two or three digits wherever libphonenumber knows any.
_LONGEST = 999


@lru_cache(maxsize=8)
def emergency_numbers(country: str) -> tuple[str, ...]:
    """The emergency numbers of a country (ISO 3166), in order; none for a country that is not known."""
    return tuple(
        number for number in map(str, range(10, _LONGEST + 1)) if shortnumberinfo.is_emergency_number(number, country)
    )
