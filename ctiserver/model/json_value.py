"""What may stand in a JSON column, an event's payload or a definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: A value that JSON can carry. Decimals and times are strings in it.
Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
JsonObject = Mapping[str, Json]
