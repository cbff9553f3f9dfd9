"""Use cases of money: what a work order cost, who decides on much of it, what an outlet is owed for a month."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol
from zoneinfo import ZoneInfo

from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.model.ids import RecordId, WorkOrderId, new_ulid
from ctiserver.model.json_value import Json
from ctiserver.model.work.expense import ExpenseLine, Payer, Settlement, payer_of, total
from ctiserver.model.work.record import Record
from ctiserver.site.price_list import CENTS, Goods
from ctiserver.store.database import Database
from ctiserver.store.faults import Conflict
from ctiserver.store.unit_of_work import UnitOfWork
from ctiserver.strict_yaml import suggest
from ctiserver.web.access import Person

#: More of one thing than anybody uses at one customer's: a slip of the finger.
MOST = Decimal(10_000)


class IssuePart(Protocol):
    """Take a part out of stock for a work order, inside a unit of work; raises NotEnough."""

    async def __call__(
        self, uow: UnitOfWork, *, key: str, place: str, part: str, quantity: int, actor: str, order_id: WorkOrderId
    ) -> object: ...


class Money:
    """Expense lines and settlements."""

    def __init__(self, database: Database, clock: Clock, goods: Goods, *, time_zone: str, issue: IssuePart) -> None:
        """``time_zone``: whose months and days count."""
        self._database = database
        self._clock = clock
        self._goods = goods
        self._zone = ZoneInfo(time_zone)
        self._issue = issue

    async def of_record(self, record_id: RecordId) -> list[ExpenseLine]:
        """In the order they were written."""
        async with self._database.reading() as uow:
            return await uow.expenses.of_record(record_id)

    async def use_part(self, by: Person, order_id: WorkOrderId, *, key: str, part: str, quantity: int) -> ExpenseLine:
        """A technician built a part in: it leaves their van (or the store that they name by having none), and costs.

        Both commit together, once a key. Raises NotEnough; UserFault for an unknown part or a technician without a
        van; Conflict for a key that stands for something else.
        """
        if part not in self._goods.parts:
            raise UserFault(
                f"there is no part {part!r}", where="goods.yaml: parts", fix=suggest(part, self._goods.parts)
            )
        van = self._goods.van_of(by.login)
        if van is None:
            raise UserFault(
                f"no place in goods.yaml is the van of {by.login}",
                where="goods.yaml: places",
                fix="Name its technician",
            )
        async with self._database.unit_of_work() as uow:
            line = await self._line(uow, by, order_id, key=key, what=part, quantity=Decimal(quantity), payer=None)
            await self._issue(
                uow,
                key=f"{key}/issue",
                place=van,
                part=part,
                quantity=quantity,
                actor=by.actor,
                order_id=order_id,
            )
        return line

    async def spend(
        self, by: Person, order_id: WorkOrderId, *, key: str, what: str, quantity: Decimal, payer: Payer | None = None
    ) -> ExpenseLine:
        """Write down work that costs: hours, kilometres, the visit. Raises UserFault; Conflict."""
        if what not in self._goods.work:
            raise UserFault(f"there is no work {what!r}", where="goods.yaml: work", fix=suggest(what, self._goods.work))
        async with self._database.unit_of_work() as uow:
            return await self._line(uow, by, order_id, key=key, what=what, quantity=quantity, payer=payer)

    async def decide(self, by: Person, expense_id: str, *, approve: bool, reason: str = "") -> ExpenseLine:
        """Approve or refuse a line that waits; the same once more changes nothing.

        Raises NotFound; UserFault for a refusal without a reason; Conflict if it was decided otherwise, or
        written by the same person: nobody approves their own.
        """
        if not approve and not reason.strip():
            raise UserFault("a refusal needs its reason", where="reason")
        wanted = "approved" if approve else "refused"
        async with self._database.unit_of_work() as uow:
            line = await uow.expenses.lock(expense_id)
            if line.state == wanted:
                return line
            if line.state != "waiting":
                raise Conflict(f"this line was {line.state} by {line.decided_by or 'the limit'} in the meantime")
            if line.actor == by.actor:
                raise Conflict("you can't approve your own expense")
            now = self._clock.now()
            decided = replace(
                line,
                state="approved" if approve else "refused",
                decided_by=by.actor,
                decided_at=now,
                reason=reason.strip(),
            )
            await uow.expenses.update(decided)
            await self._note(uow, decided, by.actor, f"expense_{wanted}", {"reason": reason.strip()})
        return decided

    async def waiting(self) -> list[tuple[ExpenseLine, Record]]:
        """Lines that wait for a decision, with their records; the oldest first."""
        async with self._database.reading() as uow:
            return [(line, await uow.records.get(line.record_id)) for line in await uow.expenses.in_state("waiting")]

    async def settle(self, by: Person, payee: str, month: str) -> Settlement:
        """Settle a payee's month: every approved line up to its end that no settlement has paid. Done once.

        Raises UserFault for an unknown outlet, or a month that is not over.
        """
        outlet = payee.removeprefix("outlet:")
        if not payee.startswith("outlet:") or outlet not in self._goods.outlets:
            known = [f"outlet:{name}" for name in self._goods.outlets]
            raise UserFault(f"{payee!r} is not an outlet", where="goods.yaml: outlets", fix=suggest(payee, known))
        ends_at = self._end_of(month)
        now = self._clock.now()
        if ends_at > now:
            raise UserFault(f"{month} is not over yet", where="month", fix="Settle it when it is")
        async with self._database.unit_of_work() as uow:
            known_one = await uow.settlements.of(payee, month)
            if known_one is not None:
                return known_one
            lines = await uow.expenses.unsettled(payee, ends_at)
            settlement = Settlement(
                id=new_ulid(now), payee=payee, month=month, total=total(lines), lines=len(lines), actor=by.actor, at=now
            )
            await uow.settlements.add(settlement)
            await uow.expenses.settle([line.id for line in lines], settlement.id)
        return settlement

    async def settlements(self) -> list[Settlement]:
        """The newest first."""
        async with self._database.reading() as uow:
            return await uow.settlements.recent()

    async def _line(
        self,
        uow: UnitOfWork,
        by: Person,
        order_id: WorkOrderId,
        *,
        key: str,
        what: str,
        quantity: Decimal,
        payer: Payer | None,
    ) -> ExpenseLine:
        if not 0 < quantity <= MOST:
            raise UserFault(
                f"{quantity} is not a valid quantity of {what}", where="quantity", fix=f"More than 0, up to {MOST}"
            )
        known = await uow.expenses.by_key(key)
        if known is not None:
            if (known.order_id, known.what, known.quantity) != (order_id, what, quantity):
                raise Conflict(f"the key {key} is already used for another line; choose a new key for each line")
            return known
        order = await uow.work_orders.get(order_id)
        record = await uow.records.get(order.record_id)
        device = None if record.device_id is None else await uow.contacts.device(record.device_id)
        now = self._clock.now()
        priced = self._goods.parts.get(what) or self._goods.work[what]
        price = Decimal(priced.price)
        amount = (price * quantity).quantize(CENTS, ROUND_HALF_UP)
        until = None if device is None else device.warranty_until
        line = ExpenseLine(
            id=new_ulid(now),
            key=key,
            record_id=record.id,
            order_id=order_id,
            what=what,
            quantity=quantity,
            unit_price=price,
            amount=amount,
            payer=payer or payer_of(record.payer, until, now.astimezone(self._zone).date()),
            payee="" if what in self._goods.parts else self._goods.payee(by.login),
            state="waiting" if amount > Decimal(self._goods.approval_above) else "approved",
            actor=by.actor,
            at=now,
        )
        await uow.expenses.add(line)
        await self._note(uow, line, by.actor, "expense_written", {})
        return line

    async def _note(self, uow: UnitOfWork, line: ExpenseLine, actor: str, kind: str, more: dict[str, Json]) -> None:
        data: dict[str, Json] = {
            "what": line.what,
            "amount": f"{line.amount} {self._goods.currency}",
            "payer": line.payer,
            **more,
        }
        await uow.records.write_line(line.record_id, self._clock.now(), actor, kind, data)

    def _end_of(self, month: str) -> datetime:
        """When a month of the site's time zone ends. Raises UserFault for what is not a month."""
        try:
            begin = datetime.strptime(month, "%Y-%m").replace(tzinfo=self._zone)
        except ValueError:
            raise UserFault(f"{month!r} is not a month", where="month", fix="Write it as 2026-11") from None
        following = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
        return following.astimezone(UTC)
