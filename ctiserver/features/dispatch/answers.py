"""What the routes of work orders answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from datetime import date, datetime

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
    repeat_calls: int  #: how often somebody rang again about it
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


class ConsideredAnswer(Answer):
    """Somebody who was looked at for the order, and what spoke against them."""

    login: str
    name: str
    open_orders: int
    reason: str
    """``chosen``, ``sticky`` (did it before), ``by_hand``; ``has_more_orders``, ``somebody_did_it_before``, ``fits``:
    would have been right too; else what speaks against them: ``not_active``, ``away``, ``declined_before``,
    ``other_department``, ``lacks_skill``, ``other_region``, ``off_hours``."""
    against: str | None = None
    """What spoke against somebody who was chosen by hand."""


class AssignedAnswer(Answer):
    """How an order came to the person who has it."""

    how: str
    """``rule``, ``sticky``, ``hand``, ``bulk``, ``taken``, ``owner``, ``same``; ``pool``: open to its role;
    ``nobody``: nobody fits."""
    by: str | None  #: who gave it out or took it; a log-in
    reason: str
    at: datetime


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
    considered: list[ConsideredAnswer]
    assigned: AssignedAnswer | None  #: None: it was given out before this was noted
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


class WindowAnswer(Answer):
    """A window for appointments, to before ``end``."""

    begin: datetime
    end: datetime


class RowAnswer(Answer):
    """Somebody's day."""

    login: str
    name: str
    department: str
    regions: list[str]
    skills: list[str]
    away_until: datetime | None
    open_orders: int  #: of all days
    off: list[bool]  #: by window: does not work then, or is away


class VisitRecordAnswer(Answer):
    """What the visit is about; empty where it is not known."""

    id: str
    number: str
    type: str
    subject: str
    priority: int
    repeat_calls: int
    caller_number: str
    contact: str
    organisation: str
    address: str
    region: str


class VisitAnswer(Answer):
    """One visit of a day."""

    id: str
    number: str
    state: str
    assignee: str | None  #: a log-in
    planned_at: datetime | None
    window: int | None  #: which of the day's; none: at no time yet, or at one of an earlier day
    due_at: datetime | None
    late: bool
    movable: bool
    considered: list[ConsideredAnswer]
    assigned: AssignedAnswer | None
    record: VisitRecordAnswer
    revision: int


class DayAnswer(Answer):
    """A day of the field: technicians by department, windows, and visits by time."""

    day: date
    today: date
    time_zone: str
    calendar: str  #: whose hours the windows have; empty: there is none, the day is 08:00 to 20:00
    windows: list[WindowAnswer]
    rows: list[RowAnswer]
    visits: list[VisitAnswer]


class HandedOverAnswer(Answer):
    """One order that was somebody's."""

    id: str
    number: str
    to: str | None  #: a log-in; none: nobody fits, it waits for anyone who takes it
    considered: list[ConsideredAnswer]


class HandoverAnswer(Answer):
    """What happened to somebody's orders; asked again, nothing is left."""

    orders: list[HandedOverAnswer]


class AbsenceAnswer(Answer):
    """Until when somebody gets nothing new."""

    login: str
    until: datetime | None
