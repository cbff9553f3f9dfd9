"""What a process is told, and what it wants done: the words between ``model.process`` and those who carry them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ctiserver.model.ids import UserId
from ctiserver.model.json_value import JsonObject
from ctiserver.model.process.definition import Choice, Sticky
from ctiserver.model.work.work_order import OrderKind, OrderState

# What a process is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """The process starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEnded:
    """A work order came to an outcome. ``by``: who said so, None for the clock."""

    key: str
    outcome: str
    by: UserId | None = None
    result: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDueAnew:
    """An order's clock stood still, and runs again."""

    key: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderMoved:
    """Somebody gave an order to another person, or planned it for another time. ``order_state``: as it is since."""

    key: str
    revision: int  #: the order's since; names the new timers, since an old one's key can't be had again
    order_state: OrderState
    planned_at: datetime | None = None  #: None: at the time it was


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """A deadline has come. ``order_state`` is what its order is in now, None if there is none."""

    key: str
    order_state: OrderState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something of the definition's ``any_time``."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Somebody called the whole process off."""

    reason: str


Event = Begin | OrderEnded | OrderDueAnew | OrderMoved | TimerFired | Happened | Cancelled


# What is to be done


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """Make a work order. With ``planned_at`` it stays a draft until OfferOrder."""

    key: str
    slot: str
    step: str
    kind: OrderKind
    role: str  #: whose inbox it goes to; ``owner`` is the record's
    choose: Choice
    avoid: tuple[UserId, ...]  #: who declined it before
    same_as: str | None  #: the order whose assignee keeps it
    planned_at: datetime | None
    accept_by: datetime | None
    due_at: datetime | None
    formulas: Mapping[str, str]  #: department, skills, region, payer, amount, where given
    outcomes: tuple[str, ...]  #: what the doer may answer
    attempt: int
    call: str | None = None  #: the flow that the server plays to the customer, where no person does it
    within: str | None = None  #: the calendar in whose hours the customer may be called
    window_s: float | None = None  #: how long a stretch of time is to be agreed on
    checklist: tuple[JsonObject, ...] = ()  #: ``name``, ``title``, ``required``
    sticky: Sticky | None = None  #: whose doer before shall have it


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferOrder:
    """The planned time has come."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDeadlines:
    """An order that was moved has other deadlines; None: as before."""

    key: str
    accept_by: datetime | None = None
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawOrder:
    """Cancel an order that is still open, or note that nobody accepted it (``declined``)."""

    key: str
    reason: str
    declined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkLate:
    """The order is past its time."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Tell the process TimerFired(key) at ``due_at``."""

    key: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DropTimers:
    """Forget every timer whose key begins so."""

    prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Tell ``whom`` (a role, ``owner``, ``customer``, or ``assignee``) what happened."""

    whom: str
    what: str
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisePriority:
    """Make the record more urgent."""

    by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseRecord:
    """The process is over, and with it the record; ``beside``: the record goes on."""

    resolution: str
    beside: bool = False


Command = (
    OpenOrder
    | OfferOrder
    | SetDeadlines
    | WithdrawOrder
    | MarkLate
    | SetTimer
    | DropTimers
    | Notify
    | RaisePriority
    | CloseRecord
)
