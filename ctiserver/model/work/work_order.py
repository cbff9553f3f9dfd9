"""Work orders: documents that make somebody act. Their states are a table and a pure step.

``late`` is a mark that deadlines set, not a state. An order *on hold* keeps the state it came from, so that resuming
puts it back there; its clock stands still meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, get_args

from ctiserver.errors import CtiError
from ctiserver.model.ids import RecordId, UserId, WorkOrderId
from ctiserver.model.json_value import Json

OrderKind = Literal[
    "dispatch", "follow_up", "expense", "parts", "appointment", "quote", "care", "survey", "callback", "lead"
]
ORDER_KINDS: tuple[OrderKind, ...] = get_args(OrderKind)
OrderState = Literal["draft", "offered", "accepted", "en_route", "started", "on_hold", "done", "declined", "cancelled"]
OrderAct = Literal["offer", "accept", "decline", "set_out", "start", "hold", "resume", "complete", "cancel"]
OPEN_STATES: frozenset[OrderState] = frozenset({"draft", "offered", "accepted", "en_route", "started", "on_hold"})

#: How numbers of each kind begin: ``D20261121-0001``.
NUMBER_PREFIX: Mapping[OrderKind, str] = {
    "dispatch": "D",
    "follow_up": "F",
    "expense": "E",
    "parts": "P",
    "appointment": "A",
    "quote": "Q",
    "care": "C",
    "survey": "S",
    "callback": "B",
    "lead": "L",
}

#: (state, act) → state. Anyone who is on site may finish without every step before it having been tapped on a phone.
TRANSITIONS: Mapping[tuple[OrderState, OrderAct], OrderState] = {
    ("draft", "offer"): "offered",
    ("draft", "cancel"): "cancelled",
    ("offered", "accept"): "accepted",
    ("offered", "decline"): "declined",
    ("offered", "cancel"): "cancelled",
    ("accepted", "decline"): "declined",
    ("accepted", "set_out"): "en_route",
    ("accepted", "start"): "started",
    ("accepted", "hold"): "on_hold",
    ("accepted", "complete"): "done",
    ("accepted", "cancel"): "cancelled",
    ("en_route", "start"): "started",
    ("en_route", "hold"): "on_hold",
    ("en_route", "complete"): "done",
    ("en_route", "cancel"): "cancelled",
    ("started", "hold"): "on_hold",
    ("started", "complete"): "done",
    ("started", "cancel"): "cancelled",
    ("on_hold", "cancel"): "cancelled",
}


class IllegalAct(CtiError):
    """This can't be done to a work order in its present state; look at it again and choose what it allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    """One work order."""

    id: WorkOrderId
    number: str  #: what people say: ``D20261121-0001``
    key: str  #: unique for the effect that made it: ``<process>/<step>/<slot>/<round>``
    kind: OrderKind
    record_id: RecordId
    process_id: str | None  #: the process instance that waits for it
    step: str
    state: OrderState = "draft"
    held_from: OrderState | None = None
    outcome: str | None = None
    assignee: UserId | None = None
    role: str = ""  #: who may take it when nobody is named
    accept_by: datetime | None = None
    due_at: datetime | None = None
    planned_at: datetime | None = None  #: not to be begun before
    late: bool = False
    payload: Mapping[str, Json] = field(default_factory=dict)  #: what the doer is told
    result: Mapping[str, Json] = field(default_factory=dict)  #: what the doer told
    created_at: datetime
    updated_at: datetime
    revision: int = 1

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


def step(order: WorkOrder, act: OrderAct, now: datetime) -> WorkOrder:
    """The order after ``act``; its revision is left to the store.

    Raises IllegalAct, the order being as it was, if its state does not allow it.
    """
    if act == "resume":
        if order.state != "on_hold" or order.held_from is None:
            raise IllegalAct(f"work order {order.number} is {order.state}; there is nothing to resume")
        return replace(order, state=order.held_from, held_from=None, updated_at=now)
    after = TRANSITIONS.get((order.state, act))
    if after is None:
        raise IllegalAct(f"work order {order.number} is {order.state}; it does not allow {act}")
    return replace(order, state=after, held_from=order.state if after == "on_hold" else None, updated_at=now)
