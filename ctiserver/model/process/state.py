"""Where a process stands, and how that is kept as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ctiserver.model.ids import UserId
from ctiserver.model.json_value import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One order that a step waits for, or has waited for."""

    name: str
    key: str  #: ``name/round``
    attempt: int = 1
    way: int = 0  #: which of the order's ``by:``
    outcome: str | None = None  #: None while it is open
    result: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """Where a process stands."""

    step: str = ""  #: empty before it began
    closed: str | None = None  #: how it ended
    slots: Mapping[str, Slot] = field(default_factory=dict)  #: by name, each with its latest order
    rounds: Mapping[str, int] = field(default_factory=dict)  #: how often each slot was opened
    turns: Mapping[str, int] = field(default_factory=dict)  #: how often each ``step.outcome`` was gone
    told: Mapping[str, datetime] = field(default_factory=dict)  #: when those with ``at_most`` were last told
    avoid: Mapping[str, tuple[UserId, ...]] = field(default_factory=dict)  #: who declined a slot's orders
    moved: Mapping[str, datetime] = field(default_factory=dict)  #: what time a slot's open order was moved to

    def to_json(self) -> JsonObject:
        return {
            "step": self.step,
            "closed": self.closed,
            "slots": {
                name: {
                    "key": slot.key,
                    "attempt": slot.attempt,
                    "way": slot.way,
                    "outcome": slot.outcome,
                    "result": dict(slot.result),
                }
                for name, slot in self.slots.items()
            },
            "rounds": dict(self.rounds),
            "turns": dict(self.turns),
            "told": {edge: at.isoformat() for edge, at in self.told.items()},
            "avoid": {name: list(users) for name, users in self.avoid.items()},
            "moved": {name: at.isoformat() for name, at in self.moved.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProcessState:
        return cls(
            step=data["step"],
            closed=data["closed"],
            slots={name: Slot(name=name, **slot) for name, slot in data["slots"].items()},
            rounds=data["rounds"],
            turns=data["turns"],
            told={edge: datetime.fromisoformat(at) for edge, at in data["told"].items()},
            avoid={name: tuple(users) for name, users in data["avoid"].items()},
            # What began under an earlier version was never moved.
            moved={name: datetime.fromisoformat(at) for name, at in data.get("moved", {}).items()},
        )
