"""Expense lines (费用): what a record's work cost, who pays, who is paid; exact decimals, never floats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from ctiserver.model.ids import RecordId, WorkOrderId

Payer = Literal["customer", "maker", "company"]
#: ``waiting``: above the limit, for a supervisor to decide.
ExpenseState = Literal["approved", "waiting", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpenseLine:
    """One line. ``key`` is unique: the same cost is written once."""

    id: str  #: ULID
    key: str
    record_id: RecordId
    order_id: WorkOrderId | None
    what: str  #: a part or a kind of work from goods.yaml
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal  #: quantity × unit price, to the cent, half up
    payer: Payer
    payee: str  #: ``outlet:<name>`` or ``user:<login>``; empty for parts, which are ours
    state: ExpenseState
    actor: str
    at: datetime
    decided_by: str = ""
    decided_at: datetime | None = None
    reason: str = ""  #: of a refusal
    settlement_id: str | None = None  #: the settlement that paid it
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What one payee is owed for a month. One payee and month is settled once; lines that come late go to the next."""

    id: str  #: ULID
    payee: str
    month: str  #: ``2026-11``, of the site's time zone
    total: Decimal
    lines: int
    actor: str
    at: datetime


def payer_of(said: str, warranty_until: date | None, day: date) -> Payer:
    """The payer: who the record names; else the maker up to the last day of the warranty; else the customer."""
    match said:
        case "customer" | "maker" | "company":
            return said
        case _:
            return "maker" if warranty_until is not None and day <= warranty_until else "customer"


def total(lines: Iterable[ExpenseLine]) -> Decimal:
    """The exact sum."""
    return sum((line.amount for line in lines), Decimal("0.00"))
