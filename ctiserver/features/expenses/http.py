"""Expenses over HTTP: written for a work order, read by record, decided, settled by the month."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from aiohttp import web
from pydantic import Field

from ctiserver.features.expenses.answers import (
    ExpenseAnswer,
    ExpensesAnswer,
    SettlementAnswer,
    SettlementsAnswer,
    WaitingAnswer,
    WaitingExpensesAnswer,
)
from ctiserver.features.expenses.service import Money
from ctiserver.model.ids import RecordId, WorkOrderId
from ctiserver.model.person import Role
from ctiserver.model.work.expense import Payer, total
from ctiserver.site.price_list import Goods
from ctiserver.store.database import Database
from ctiserver.web.access import EVERYBODY, SUPERVISORS, Intent, Person, person_of
from ctiserver.web.routes import Body, Route, json_answer, read_body

PAYMASTERS: frozenset[Role] = frozenset[Role]({"cashier", "supervisor", "admin"})
Key = Annotated[str, Field(min_length=8, max_length=120)]
Word = Annotated[str, Field(min_length=1, max_length=40)]


class PartBody(Body):
    """POST /api/v1/work-orders/{order_id}/parts"""

    key: Key
    """Chosen by who asks; the same asked for twice is done once."""
    part: Word
    quantity: Annotated[int, Field(ge=1, le=1000)]


class ExpenseBody(Body):
    """POST /api/v1/work-orders/{order_id}/expenses"""

    key: Key
    what: Word
    quantity: Annotated[Decimal, Field(gt=0, le=10_000, decimal_places=2)]
    payer: Payer | None = None


class DecisionBody(Body):
    """POST /api/v1/expenses/{expense_id}/decision"""

    approve: bool
    reason: Annotated[str, Field(max_length=500)] = ""


class SettleBody(Body):
    """POST /api/v1/settlements"""

    payee: Annotated[str, Field(min_length=1, max_length=128)]
    month: Annotated[str, Field(pattern=r"^20\d{2}-(0[1-9]|1[0-2])$")]


class ExpensesHttp:
    """Routes over money."""

    def __init__(self, database: Database, money: Money, goods: Goods) -> None:
        self._database = database
        self._money = money
        self._goods = goods

    def routes(self) -> list[Route]:
        """Path parameter ``expense_id`` is guarded by :meth:`may_reach`; orders and records by their own features."""
        order = "/api/v1/work-orders/{order_id}"
        return [
            Route(
                method="POST",
                path=f"{order}/parts",
                handler=self._use,
                roles=EVERYBODY,
                body=PartBody,
                answer=ExpenseAnswer,
                status=(201,),
            ),
            Route(
                method="POST",
                path=f"{order}/expenses",
                handler=self._spend,
                roles=EVERYBODY,
                body=ExpenseBody,
                answer=ExpenseAnswer,
                status=(201,),
            ),
            Route(
                method="GET",
                path="/api/v1/records/{record_id}/expenses",
                handler=self._of_record,
                roles=EVERYBODY,
                answer=ExpensesAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/expenses/waiting",
                handler=self._waiting,
                roles=SUPERVISORS,
                answer=WaitingExpensesAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/expenses/{expense_id}/decision",
                handler=self._decide,
                roles=SUPERVISORS,
                body=DecisionBody,
                answer=ExpenseAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/settlements",
                handler=self._settlements,
                roles=PAYMASTERS,
                answer=SettlementsAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/settlements",
                handler=self._settle,
                roles=PAYMASTERS,
                body=SettleBody,
                answer=SettlementAnswer,
                status=(201,),
            ),
        ]

    async def may_reach(self, person: Person, expense_id: str, intent: Intent) -> bool:
        """Anyone who may decide at all may decide on any."""
        async with self._database.reading() as uow:
            return person.role in SUPERVISORS and await uow.expenses.find(expense_id) is not None

    async def _use(self, request: web.Request) -> web.Response:
        body = await read_body(request, PartBody)
        order_id = WorkOrderId(request.match_info["order_id"])
        line = await self._money.use_part(
            person_of(request), order_id, key=body.key, part=body.part, quantity=body.quantity
        )
        return json_answer(ExpenseAnswer.of_line(line), status=201)

    async def _spend(self, request: web.Request) -> web.Response:
        body = await read_body(request, ExpenseBody)
        order_id = WorkOrderId(request.match_info["order_id"])
        line = await self._money.spend(
            person_of(request), order_id, key=body.key, what=body.what, quantity=body.quantity, payer=body.payer
        )
        return json_answer(ExpenseAnswer.of_line(line), status=201)

    async def _of_record(self, request: web.Request) -> web.Response:
        lines = await self._money.of_record(RecordId(request.match_info["record_id"]))
        owed = [line for line in lines if line.state != "refused"]
        payers = sorted({line.payer for line in owed})
        return json_answer(
            ExpensesAnswer(
                currency=self._goods.currency,
                lines=[ExpenseAnswer.of_line(line) for line in lines],
                totals={payer: str(total(line for line in owed if line.payer == payer)) for payer in payers},
            )
        )

    async def _waiting(self, _: web.Request) -> web.Response:
        waiting = await self._money.waiting()
        lines = [WaitingAnswer.of_line(line, record_number=record.number) for line, record in waiting]
        return json_answer(WaitingExpensesAnswer(currency=self._goods.currency, lines=lines))

    async def _decide(self, request: web.Request) -> web.Response:
        body = await read_body(request, DecisionBody)
        line = await self._money.decide(
            person_of(request), request.match_info["expense_id"], approve=body.approve, reason=body.reason
        )
        return json_answer(ExpenseAnswer.of_line(line))

    async def _settlements(self, _: web.Request) -> web.Response:
        found = await self._money.settlements()
        return json_answer(
            SettlementsAnswer(
                currency=self._goods.currency,
                settlements=[SettlementAnswer.of(settlement) for settlement in found],
                payees=[f"outlet:{name}" for name in self._goods.outlets],
            )
        )

    async def _settle(self, request: web.Request) -> web.Response:
        body = await read_body(request, SettleBody)
        settlement = await self._money.settle(person_of(request), body.payee, body.month)
        return json_answer(SettlementAnswer.of(settlement), status=201)
