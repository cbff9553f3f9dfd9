"""Where a call stands in its flow: frozen, small, and the same after a trip through JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ctiserver.model.expression.expression import Money, Value

# What is made at each step is not frozen, though nobody changes it: frozen ones take four times as long to make.


@dataclass(slots=True)
class PathStep:
    """One visit of one node, as it is stored with the call. Never holds what was keyed in."""

    flow: str
    version: str
    node: str
    kind: str
    outcome: str
    at: datetime
    seq: int  #: from 1, over all sessions of the call: what is stored twice is the same step


@dataclass(slots=True)
class FlowState:
    """Everything a call's flow needs to go on, in another session or another process.

    Nobody changes one, nor the maps in it: a step makes another.
    """

    flow: str
    digest: str  #: of the version that the call began with; it finishes on it
    language: str
    facts: Mapping[str, Value]  #: call, contact, record, number as they were at the start, and what was found since
    variables: Mapping[str, Value]
    node: str = ""
    local: Mapping[str, Any] = field(default_factory=dict)  #: the present visit's own counters
    pressed: str = ""  #: keys that no node has used yet
    ever_pressed: bool = False
    visits: Mapping[str, int] = field(default_factory=dict)
    noted: int = 0  #: steps of the path so far
    steps: int = 0
    menu_s: float = 0.0  #: time in prompts and listening; not in queues, dials, messages
    gone: bool = False  #: the caller hung up; on_hangup runs
    failed: str = ""  #: the limit that was reached, once
    lost: bool = False  #: its session broke off within a menu: there is nothing to go on with but ``on_hangup``

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps({item.name: _plain(getattr(self, item.name)) for item in fields(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> FlowState:
        """Raises ValueError for text that is not a state."""
        try:
            return cls(**{name: _rich(value) for name, value in json.loads(text).items()})
        except (AttributeError, TypeError, KeyError) as error:
            raise ValueError(f"no flow state: {error}") from None


def _plain(value: Any) -> Any:
    match value:
        case Money(amount=amount):
            return {"$money": str(amount)}
        case datetime():
            return {"$time": value.isoformat()}
        case date():
            return {"$date": value.isoformat()}
        case Decimal():
            return {"$decimal": str(value)}
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _rich(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_rich(item) for item in value)
    if not isinstance(value, dict):
        return value
    match value:
        case {"$money": amount}:
            return Money(Decimal(amount))
        case {"$time": text}:
            return datetime.fromisoformat(text)
        case {"$date": text}:
            return date.fromisoformat(text)
        case {"$decimal": text}:
            return Decimal(text)
        case _:
            return {key: _rich(item) for key, item in value.items()}
