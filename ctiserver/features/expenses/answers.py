"""What the routes of expenses answer. Amounts are exact, as text."""

from __future__ import annotations

from typing import Self

from ctiserver.model.work.expense import ExpenseLine
from ctiserver.web.routes import Answer, Exact, Moment


class ExpenseAnswer(Answer):
    """An expense line."""

    id: str
    record_id: str
    order_id: str | None
    what: str
    quantity: Exact
    unit_price: Exact
    amount: Exact
    payer: str
    payee: str
    state: str
    actor: str
    at: Moment
    decided_by: str
    reason: str
    settled: bool

    @classmethod
    def of_line(cls, line: ExpenseLine, **more: object) -> Self:
        """A line."""
        return cls.of(line, settled=line.settlement_id is not None, **more)


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
    total: Exact
    lines: int
    actor: str
    at: Moment


class SettlementsAnswer(Answer):
    """Settlements, the newest first, and who can be settled."""

    currency: str
    settlements: list[SettlementAnswer]
    payees: list[str]
