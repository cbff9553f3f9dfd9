"""Use cases of stock. Each is one unit of work: the level, the promise to an order, and the line that says who did it.

Every move carries a key that its asker chose; the same move asked for twice is made once, so that a phone without a
connection may ask again.
"""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from ctiserver.clock import Clock
from ctiserver.errors import CtiError, UserFault
from ctiserver.model.ids import WorkOrderId, new_ulid
from ctiserver.model.json_value import Json
from ctiserver.model.work.stock import Level, MoveKind, StockMove, moved
from ctiserver.site.price_list import Goods
from ctiserver.store.database import Database
from ctiserver.store.faults import Conflict
from ctiserver.store.setting_aside import SettingAside
from ctiserver.store.unit_of_work import UnitOfWork
from ctiserver.strict_yaml import suggest

log = structlog.get_logger(__name__)

_TIDY_EVERY_S = 30.0
#: The kind of work that is set aside: a promise that can't be freed.
_PROMISE = "stock_promise"


class StockKeeping:
    """Spare parts."""

    def __init__(self, database: Database, clock: Clock, goods: Goods, aside: SettingAside | None = None) -> None:
        self._aside = aside or SettingAside(database, clock)
        self._aside.add_kind(_PROMISE)
        self._database = database
        self._clock = clock
        self._goods = goods

    async def levels(self, place: str | None = None) -> list[Level]:
        """What lies where. Raises UserFault for a place that the site lacks."""
        if place is not None:
            self._known(place, None)
        async with self._database.reading() as uow:
            return await uow.stock.levels(place)

    async def move(
        self,
        kind: MoveKind,
        *,
        key: str,
        place: str,
        part: str,
        quantity: int,
        actor: str,
        order_id: WorkOrderId | None = None,
    ) -> Level:
        """Do one thing to one part at one place; the level afterwards.

        Raises NotEnough; UserFault for an unknown part or place, or a move that needs an order and has none; NotFound
        for an unknown order; Conflict for a key that stands for another move.
        """
        async with self._database.unit_of_work() as uow:
            return await self.move_within(
                uow, kind, key=key, place=place, part=part, quantity=quantity, actor=actor, order_id=order_id
            )

    async def move_within(
        self,
        uow: UnitOfWork,
        kind: MoveKind,
        *,
        key: str,
        place: str,
        part: str,
        quantity: int,
        actor: str,
        order_id: WorkOrderId | None = None,
    ) -> Level:
        """As :meth:`move`, but to commit with what else ``uow`` does."""
        self._known(place, part)
        if kind in ("reserve", "release") and order_id is None:
            raise UserFault(f"{kind} is for a work order", where="order_id", fix="Say which one")
        record_id = None if order_id is None else (await uow.work_orders.get(order_id)).record_id
        level = await uow.stock.lock(place, part)
        now = self._clock.now()
        move = StockMove(
            id=new_ulid(now),
            key=key,
            kind=kind,
            place=place,
            part=part,
            quantity=quantity,
            order_id=order_id,
            record_id=record_id,
            actor=actor,
            at=now,
        )
        known = await uow.stock.by_key(key)
        if known is not None:
            if _what(known) != _what(move):
                raise Conflict(
                    f"the key {key} is already used for another movement; choose a new key for each movement"
                )
            return level
        promised = 0 if order_id is None else await uow.stock.promised(order_id, place, part)
        after = moved(level, move, promised=promised, old_back=self._goods.parts[part].old_back)
        await uow.stock.save(after)
        if order_id is not None and after.reserved != level.reserved:
            await uow.stock.promise(order_id, place, part, promised + after.reserved - level.reserved)
        await uow.stock.add(move)
        if record_id is not None and kind in ("reserve", "issue", "return_old"):
            said: dict[str, Json] = {"part": part, "place": place, "quantity": quantity}
            await uow.records.write_line(record_id, now, actor, f"part_{kind}", said)
        return after

    async def send(self, *, key: str, place: str, to: str, part: str, quantity: int, actor: str) -> tuple[Level, Level]:
        """Send parts from one place to another; both levels afterwards. Raises as :meth:`move`."""
        if place == to:
            raise UserFault("source and destination must differ", where="to", fix="Choose another one")
        async with self._database.unit_of_work() as uow:
            # always in the same order, so that two who send to each other don't wait for each other
            for name in sorted((place, to)):
                self._known(name, part)
                await uow.stock.lock(name, part)
            sent = await self.move_within(
                uow, "send", key=f"{key}/send", place=place, part=part, quantity=quantity, actor=actor
            )
            arrived = await self.move_within(
                uow, "arrive", key=f"{key}/arrive", place=to, part=part, quantity=quantity, actor=actor
            )
        return sent, arrived

    async def tidy(self) -> int:
        """What was reserved for orders that are over and was not used is free again; for how many promises."""
        freed = 0
        async with self._database.reading() as uow:
            stale = await uow.stock.stale_promises()  # most of the time there is none, and nobody who writes waits
        for promise in stale:
            order_id, place, part, _ = promise
            freed += await self._aside.contain(
                _PROMISE, f"{order_id}/{place}/{part}", partial(self._free, promise), about=f"{part} · {place}"
            )
        return freed

    async def _free(self, promise: tuple[WorkOrderId, str, str, int]) -> None:
        async with self._database.unit_of_work() as uow:
            if promise not in await uow.stock.stale_promises():
                return
            order_id, place, part, quantity = promise
            # a promise may be made and freed again and again, so its key must not stand for all times
            key = f"{order_id}/released/{new_ulid(self._clock.now())}"
            await self.move_within(
                uow, "release", key=key, place=place, part=part, quantity=quantity, actor="stock", order_id=order_id
            )

    async def run(self) -> None:
        """Tidy up now and then, until cancelled."""
        while True:
            try:
                await self.tidy()
            except CtiError as error:  # the database is away, or two promised at once: what is stale then is so later
                log.error("stock_not_tidied", reason=str(error))
            await asyncio.sleep(_TIDY_EVERY_S)

    async def moves(self, place: str | None, part: str | None, before: str | None, limit: int) -> list[StockMove]:
        """What was done, the newest first."""
        async with self._database.reading() as uow:
            return await uow.stock.moves(place=place, part=part, before=before, limit=limit)

    def _known(self, place: str, part: str | None) -> None:
        if place not in self._goods.places:
            raise UserFault(
                f"there is no place {place!r}", where="goods.yaml: places", fix=suggest(place, self._goods.places)
            )
        if part is not None and part not in self._goods.parts:
            raise UserFault(
                f"there is no part {part!r}", where="goods.yaml: parts", fix=suggest(part, self._goods.parts)
            )


def _what(move: StockMove) -> tuple[object, ...]:
    """A move without what differs each time it is asked for."""
    return move.kind, move.place, move.part, move.quantity, move.order_id
