"""The machine's clock is stepped: deadlines are UTC instants, and each fires once, when UTC says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ctiserver.features.dispatch.advance import TOPICS, Advance
from ctiserver.features.dispatch.relay import Relay
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.work.record import Record
from ctiserver.store.database import Database
from ctiserver.store.repositories.outbox import OutboxRow
from tests.support.dispatch import REPAIR, definitions, leave_start
from tests.support.rows import a_record

HOUR = timedelta(hours=1)


class SteppedClock:
    """A clock that an operator, or NTP, sets forward and back."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0


async def test_after_a_step_each_deadline_fires_once_and_none_is_lost(database: Database) -> None:
    clock = SteppedClock(datetime(2030, 1, 1, tzinfo=UTC))
    found = definitions(REPAIR.replace("accept_within: 1 hour", ""))  # the visit is late after a day
    advance = Advance(database, lambda: found, clock, WorkingTime(ZoneInfo("UTC")))
    received: list[OutboxRow] = []

    async def receive(rows: Sequence[OutboxRow]) -> None:
        received.extend(rows)

    relay = Relay(database, TOPICS, receive, clock)

    async def carried_out() -> int:
        """Hand on what is due now, and carry it out; how many rows that were."""
        count = await relay.hand_on()
        for row in received[len(received) - count :]:
            await advance(row.topic, row.id, row.payload)
        return count

    async def begin() -> list[Record]:
        records = [a_record() for _ in range(5)]
        async with database.unit_of_work() as uow:
            for record in records:
                await uow.records.add(record)
                await leave_start(uow, record.id)
        assert await carried_out() == 5
        return records

    async def late(records: list[Record]) -> int:
        async with database.reading() as uow:
            orders = [order for record in records for order in await uow.work_orders.of_record(record.id)]
            notes = [entry.kind for record in records for entry in await uow.records.timeline(record.id)]
        assert sum(order.late for order in orders) == notes.count("order_late"), "each is told of once"
        return sum(order.late for order in orders)

    first = await begin()
    clock.at += 25 * HOUR  # forward, past every deadline
    assert await carried_out() == 5
    assert await late(first) == 5
    clock.at -= 10 * HOUR  # and back before them
    assert await carried_out() == 0
    second = await begin()  # due a day after what the clock says now
    clock.at += 12 * HOUR  # past the first ones' deadlines again
    assert await carried_out() == 0
    assert await late(first) == 5
    clock.at += 12 * HOUR
    assert await carried_out() == 5
    assert (await late(first), await late(second)) == (5, 5)
    assert len({row.id for row in received}) == len(received) == 20
