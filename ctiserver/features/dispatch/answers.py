"""What the routes of work orders answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from datetime import datetime

from ctiserver.web.routes import Answer, JsonAnswer


class OrderContactAnswer(Answer):
    name: str
    organisation: str
    numbers: list[str]


class OrderFieldAnswer(Answer):
    name: str
    title: dict[str, str]
    value: str


class OrderRecordAnswer(Answer):
    """As much of the record as the order's doer needs."""

    id: str
    number: str
    subject: str
    priority: int
    notes: str
    caller_number: str
    contact: OrderContactAnswer | None
    fields: list[OrderFieldAnswer]


class CheckAnswer(Answer):
    """Something to tick; what is ``required`` must be, before the order is done."""

    name: str
    title: dict[str, str]
    required: bool


class OrderPhotoAnswer(Answer):
    """A photo; the picture is at ``/api/v1/photos/{id}``."""

    id: str
    added_at: datetime


class CallBackAnswer(Answer):
    """Whom to call back, and why: ``missed``, ``promised`` … Empty where that is not known."""

    number: str
    reason: str
    queue: str
    call_id: str


class WorkOrderAnswer(Answer):
    """A work order, and what it is for."""

    id: str
    number: str
    kind: str
    step: str
    state: str
    outcome: str | None
    assignee: str | None
    role: str | None
    accept_by: datetime | None
    due_at: datetime | None
    planned_at: datetime | None
    late: bool
    outcomes: list[str]
    considered: list[JsonAnswer]
    attempt: int  #: the how-manieth try; those who are called are tried more than once
    call_back: CallBackAnswer | None  #: of an order to call somebody back
    checklist: list[CheckAnswer]
    photos: list[OrderPhotoAnswer]
    result: JsonAnswer
    created_at: datetime
    revision: int
    record: OrderRecordAnswer


class WorkOrdersAnswer(Answer):
    """An inbox, due ones first."""

    work_orders: list[WorkOrderAnswer]
    after: str | None  #: for the next page; None: this is the last


class TakenAnswer(Answer):
    """Noted; what follows from it comes with the next advance of the process."""
