"""What the routes of expenses answer. Amounts are exact, as text."""

from __future__ import annotations

from datetime import datetime

from ctiserver.web.routes import Answer


class ExpenseAnswer(Answer):
    """An expense line."""

    id: str
    record_id: str
    order_id: str | None
    what: str
    quantity: str
    unit_price: str
    amount: str
    payer: str
    payee: str
    state: str
    actor: str
    at: datetime
    decided_by: str
    reason: str
    settled: bool


class ExpensesAnswer(Answer):
    """A record's expenses, and their sum by who pays; refused lines don't count."""

    currency: str
    lines: list[ExpenseAnswer]
    totals: dict[str, str]


class WaitingAnswer(ExpenseAnswer):
    record_number: str


class WaitingExpensesAnswer(Answer):
    """Lines that wait for a decision, the oldest first."""

    currency: str
    lines: list[WaitingAnswer]


class SettlementAnswer(Answer):
    """What a payee is owed for a month."""

    id: str
    payee: str
    month: str
    total: str
    lines: int
    actor: str
    at: datetime


class SettlementsAnswer(Answer):
    """Settlements, the newest first, and who can be settled."""

    currency: str
    settlements: list[SettlementAnswer]
    payees: list[str]
