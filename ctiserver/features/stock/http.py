"""``/api/v1/stock``: what lies where, what was done, and doing it."""

from __future__ import annotations

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from ctiserver.features.stock.answers import (
    LevelAnswer,
    MoveAnswer,
    MovesAnswer,
    PartAnswer,
    PartsAnswer,
    PricedAnswer,
    SentAnswer,
    StockAnswer,
    TitledAnswer,
)
from ctiserver.features.stock.service import StockKeeping
from ctiserver.model.ids import WorkOrderId
from ctiserver.model.person import Role
from ctiserver.site.price_list import Goods
from ctiserver.web.access import EVERYBODY, person_of
from ctiserver.web.routes import Body, Route, json_answer, read_body

_PAGE = 50
KEEPERS: frozenset[Role] = frozenset[Role]({"storekeeper", "supervisor", "admin"})
Key = Annotated[str, Field(min_length=8, max_length=120)]
Word = Annotated[str, Field(min_length=1, max_length=40)]
Count = Annotated[int, Field(ge=1, le=100_000)]


class MoveBody(Body):
    """POST /api/v1/stock/moves"""

    key: Key
    """Chosen by who asks; the same move asked for twice is made once."""
    kind: Literal["receive", "reserve", "release", "issue", "return_old", "write_off"]
    place: Word
    part: Word
    quantity: Count
    order_id: WorkOrderId | None = None


class SendBody(Body):
    """POST /api/v1/stock/sent"""

    key: Key
    place: Word
    to: Word
    part: Word
    quantity: Count


class StockHttp:
    """Routes over stock."""

    def __init__(self, stock: StockKeeping, goods: Goods) -> None:
        self._stock = stock
        self._goods = goods

    def routes(self) -> list[Route]:
        return [
            Route(method="GET", path="/api/v1/parts", handler=self._parts, roles=EVERYBODY, answer=PartsAnswer),
            Route(
                method="GET",
                path="/api/v1/stock",
                handler=self._levels,
                roles=EVERYBODY,
                answer=StockAnswer,
                query={"place": "one place; all of them otherwise"},
            ),
            Route(
                method="GET",
                path="/api/v1/stock/moves",
                handler=self._moves,
                roles=KEEPERS,
                answer=MovesAnswer,
                query={
                    "place": "one place",
                    "part": "one part",
                    "before": "the id of the last move of the page before",
                },
            ),
            Route(
                method="POST",
                path="/api/v1/stock/moves",
                handler=self._move,
                roles=KEEPERS,
                body=MoveBody,
                answer=StockAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/stock/sent",
                handler=self._send,
                roles=KEEPERS,
                body=SendBody,
                answer=SentAnswer,
            ),
        ]

    async def _parts(self, _: web.Request) -> web.Response:
        goods = self._goods
        return json_answer(
            PartsAnswer(
                currency=goods.currency,
                parts=[PartAnswer.of(part, name=name) for name, part in goods.parts.items()],
                work=[PricedAnswer.of(work, name=name) for name, work in goods.work.items()],
                places=[TitledAnswer.of(place, name=name) for name, place in goods.places.items()],
            )
        )

    async def _levels(self, request: web.Request) -> web.Response:
        levels = await self._stock.levels(request.query.get("place"))
        return json_answer(StockAnswer(levels=[LevelAnswer.of(level) for level in levels]))

    async def _moves(self, request: web.Request) -> web.Response:
        query = request.query
        found = await self._stock.moves(query.get("place"), query.get("part"), query.get("before"), _PAGE)
        following = found[-1].id if len(found) == _PAGE else None
        return json_answer(MovesAnswer(moves=[MoveAnswer.of(move) for move in found], before=following))

    async def _move(self, request: web.Request) -> web.Response:
        body = await read_body(request, MoveBody)
        level = await self._stock.move(
            body.kind,
            key=body.key,
            place=body.place,
            part=body.part,
            quantity=body.quantity,
            actor=person_of(request).actor,
            order_id=body.order_id,
        )
        return json_answer(StockAnswer(levels=[LevelAnswer.of(level)]))

    async def _send(self, request: web.Request) -> web.Response:
        body = await read_body(request, SendBody)
        levels = await self._stock.send(
            key=body.key,
            place=body.place,
            to=body.to,
            part=body.part,
            quantity=body.quantity,
            actor=person_of(request).actor,
        )
        return json_answer(StockAnswer(levels=[LevelAnswer.of(level) for level in levels]))
