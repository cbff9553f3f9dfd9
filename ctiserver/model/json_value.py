"""What may stand in a JSON column, an event's payload or a definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import overload

#: A value that JSON can carry. Decimals and times are strings in it.
Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
JsonObject = Mapping[str, Json]


@overload
def iso(at: date) -> str: ...
@overload
def iso(at: None) -> None: ...
@overload
def iso(at: date | None) -> str | None: ...
def iso(at: date | None) -> str | None:
    """A time or a day as JSON has it: ISO 8601; null where it is not known."""
    return None if at is None else at.isoformat()
