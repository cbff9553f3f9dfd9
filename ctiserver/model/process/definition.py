"""Process definitions as admins write them: ``config/processes/*.yaml``. What they mean is in ``model.process``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ctiserver.model.calendar.span import SpanField
from ctiserver.model.expression import expression
from ctiserver.model.json_value import JsonObject
from ctiserver.model.person import Role
from ctiserver.model.work.work_order import OrderKind
from ctiserver.strict_yaml import Name, Written

#: least_loaded: the fitting person with the fewest open orders. anybody: the first of the role who takes it.
Choice = Literal["least_loaded", "anybody"]
Sticky = Literal["record", "contact"]

#: What each kind of order may come to, besides ``declined`` and ``late``. The first ones must lead somewhere.
MUST: Mapping[OrderKind, tuple[str, ...]] = {
    "dispatch": ("done",),
    "follow_up": ("satisfied", "dissatisfied", "unreachable"),
    "expense": ("done",),
    "parts": ("done",),
    "appointment": ("done",),
    "quote": ("done", "refused"),
    "care": ("done",),
    "survey": ("done", "unreachable"),
    "callback": ("done", "unreachable"),
    "lead": ("won", "lost"),
}
MAY: Mapping[OrderKind, tuple[str, ...]] = {
    "dispatch": ("not_home", "rescheduled", "parts_missing", "refused", "no_fault", "unsafe"),
    "follow_up": (),
    "expense": ("rejected",),
    "parts": ("backordered",),
    "appointment": ("refused", "unreachable"),
    "quote": ("unreachable",),
    "care": ("refused", "unreachable"),
    "survey": ("refused",),
    "callback": ("refused",),
    "lead": (),
}
#: Kinds that may be done by calling the customer (``by:``): those that can come to ``unreachable``.
CALLED: tuple[OrderKind, ...] = ("follow_up", "survey", "care", "callback")
#: Outcomes that the clock or the assignment gives, to any kind of order.
CLOCKED = ("late", "declined")


def outcomes_of(kind: OrderKind) -> tuple[str, ...]:
    """Everything that an order of this kind may come to."""
    return (*MUST[kind], *MAY[kind], *CLOCKED)


def _expression(text: str) -> str:
    if text.startswith("="):
        try:
            expression.parse(text[1:])
        except expression.ExpressionError as error:
            raise ValueError(str(error)) from None
    return text


#: Plain text, or ``=`` and an expression.
Formula = Annotated[str, AfterValidator(_expression)]


def _share(text: str) -> str:
    if not text.endswith("%") or not text[:-1].isdigit() or not 0 < int(text[:-1]) < 100:
        raise ValueError(f"{text!r} is not a share of the time; write it like 50%")
    return text


Share = Annotated[str, AfterValidator(_share)]


def _move(value: Any) -> Any:
    if isinstance(value, str):
        return {"go": value}
    if isinstance(value, dict) and isinstance(value.get("redo"), list):
        # Behind a validator of our own the value counts as Python's, where strict mode takes no list for a tuple.
        return {**value, "redo": tuple(value["redo"])}
    return value


class Assign(Written):
    """Who gets an order."""

    role: Role
    department: Formula | None = None
    skills: Formula | None = None
    region: Formula | None = None
    choose: Choice = "least_loaded"
    sticky: Sticky | None = None  #: who did such an order before for the same record or contact gets it, if they fit


class Way(Written):
    """One of the ways in which an order may be done: the server calls the customer, or a person does."""

    call: Name | None = None  #: a flow, which the person who answers hears
    person: Name | None = None  #: a role, or ``owner``

    @model_validator(mode="after")
    def _one(self) -> Way:
        if (self.call is None) == (self.person is None):
            raise ValueError("a way has exactly one of call: and person:")
        return self


class Check(Written):
    """One thing on an order's checklist."""

    title: dict[str, str] = {}  # noqa: RUF012 - pydantic copies defaults
    required: bool = False  #: without it the order can't be done


class Within(Written):
    """When a customer may be called."""

    calendar: Name


class Order(Written):
    """One work order that a step waits for."""

    order: OrderKind
    to: Assign | None = None
    by: tuple[Way, ...] = ()  #: instead of ``to``: the ways, each tried ``attempts`` times before the next
    within: Within | None = None  #: planned for, and called, only while this calendar is open
    at: Formula | None = None  #: planned for this time: what an earlier order came to, such as ``=slot.window``
    window: SpanField | None = None  #: how long a stretch of time is agreed on with the customer
    accept_within: SpanField | None = None  #: nobody accepted: as if declined
    complete_within: SpanField | None = None  #: from its start, or from when it was planned
    after: SpanField | None = None  #: planned for later: nobody is offered it before
    open: Name | None = None  #: a calendar: planned only for when it is open
    remind: tuple[Share, ...] = ()  #: shares of the time to complete
    attempts: Annotated[int, Field(ge=1, le=20)] = 1  #: how often ``unreachable`` is tried again
    retry_after: SpanField | None = None
    payer: Formula | None = None
    amount: Formula | None = None
    checklist: dict[Name, Check] = {}  # noqa: RUF012


class Move(Written):
    """What an outcome leads to."""

    go: Name | None = None
    stay: bool = False
    redo: tuple[Name, ...] = ()  #: orders of a step with ``all`` that are made again; the others stay done
    max: Annotated[int, Field(ge=1, le=100)] | None = None
    then: Name | None = None  #: a step, or a role that gets the order by hand
    notify: str | None = None
    escalate: Role | None = None
    raise_priority: Annotated[int, Field(ge=1, le=9)] | None = None
    at_most: Literal["once an hour", "once a day", "once a week"] | None = None


MoveField = Annotated[Move, BeforeValidator(_move)]


class AnyTime(Written):
    """What an event leads to that may come at any step."""

    close: Name | None = None
    notify: str | None = None
    raise_priority: Annotated[int, Field(ge=1, le=9)] | None = None
    at_most: Literal["once an hour", "once a day", "once a week"] | None = None


class Step(Written):
    """One step: an order, several at once, or the end."""

    order: OrderKind | None = None
    to: Assign | None = None
    by: tuple[Way, ...] = ()
    within: Within | None = None
    at: Formula | None = None
    window: SpanField | None = None
    accept_within: SpanField | None = None
    complete_within: SpanField | None = None
    after: SpanField | None = None
    open: Name | None = None
    remind: tuple[Share, ...] = ()
    attempts: Annotated[int, Field(ge=1, le=20)] = 1
    retry_after: SpanField | None = None
    payer: Formula | None = None
    amount: Formula | None = None
    checklist: dict[Name, Check] = {}  # noqa: RUF012
    all: dict[Name, Order] | None = None
    close: Name | None = None
    notify: str | None = None
    on: dict[Name, MoveField] = {}  # noqa: RUF012 - pydantic copies defaults

    @model_validator(mode="after")
    def _one_kind(self) -> Step:
        kinds = [kind for kind in ("order", "all", "close") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError("a step has exactly one of order:, all: and close:")
        for order in self.orders("").values():
            if (order.to is None) == (not order.by):
                raise ValueError("an order needs to: (who gets it), or by: (the ways in which it is done)")
        if self.close is not None and self.on:
            raise ValueError("a step that closes leads nowhere; remove on:")
        return self

    def orders(self, name: str) -> dict[str, Order]:
        """The step's orders by slot; a single order's slot has the step's name."""
        if self.all is not None:
            return dict(self.all)
        if self.order is None:
            return {}
        shared = {field: getattr(self, field) for field in Order.model_fields}
        return {name: Order.model_construct(**shared)}


#: ``for: {type: any}``: beside whatever else is done about a record; its end leaves the record as it is.
ANY = "any"


class ForWhat(Written):
    """Which records a process is for: those of a type, or ``any``."""

    type: Name


class ProcessFile(Written):
    """``config/processes/NAME.yaml``"""

    schema_: Literal["process/1"] = Field(alias="schema")
    process: Name
    version: Annotated[int, Field(ge=1)]
    title: dict[str, str] = {}  # noqa: RUF012
    for_: ForWhat = Field(alias="for")
    calendar: Name | None = None  #: what working hours and days are counted in
    start: Name
    any_time: dict[Name, AnyTime] = {}  # noqa: RUF012
    steps: dict[Name, Step]


def from_json(data: JsonObject) -> ProcessFile:
    """The definition that an instance carries a copy of."""
    return ProcessFile.model_validate_json(json.dumps(data), strict=True)
