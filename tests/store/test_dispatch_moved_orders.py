"""What a dispatcher moves to somebody else, or to another time, goes on through the durable engine, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ctiserver.clock import SystemClock
from ctiserver.features.dispatch.placing import Placing
from ctiserver.features.dispatch.service import HandedOn, NotYours
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import UserId
from ctiserver.model.json_value import Json
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.store.database import Database
from tests.support.dispatch import REPAIR, Running, running, until
from tests.support.rows import a_record, a_user

CLOCK = SystemClock()


@dataclass(frozen=True)
class Shop:
    """A running engine, a dispatcher, two technicians, and a visit that the first of them accepted."""

    run: Running
    placing: Placing
    dora: UserId
    ann: UserId
    bob: UserId
    record: Record
    visit: WorkOrder

    async def lines(self, kind: str) -> list[tuple[str, dict[str, Json]]]:
        """Who wrote each line of this kind on the timeline, and what it says."""
        async with self.run.database.reading() as uow:
            found = await uow.records.timeline(self.record.id)
        return [(line.actor, dict(line.data)) for line in found if line.kind == kind]

    async def timers(self) -> dict[str, datetime]:
        """When each deadline of the process is, by its kind."""
        async with self.run.database.reading() as uow:
            (process,) = await uow.processes.of_record(self.record.id)
            waiting = await uow.timers.waiting(process.id)
        return {timer.key.partition(":")[2].partition("@")[0]: timer.due_at for timer in waiting}


@pytest.fixture
async def shop(database: Database, workflow_url: str) -> AsyncIterator[Shop]:
    dora = a_user("dora", role="dispatcher")
    ann, bob = a_user("ann", role="technician"), a_user("bob", role="technician")
    record = a_record()
    async with database.unit_of_work() as uow:
        for user in (dora, ann, bob):
            await uow.users.add(user)
        await uow.records.add(record)
    async with running(database, workflow_url, REPAIR) as run:
        await run.start(record)
        visit = await run.order(record.id, "dispatch", "offered")
        assert visit.assignee == ann.id
        visit = await run.dispatch.accept(visit.id, ann.id)
        placing = Placing(database, CLOCK, lambda: WorkingTime(ZoneInfo("UTC")))
        yield Shop(run, placing, dora.id, ann.id, bob.id, record, visit)


async def _refused_and_kept(shop: Shop, outcome: str, **result: Json) -> None:
    with pytest.raises(HandedOn, match=shop.visit.number):
        await shop.run.dispatch.complete(shop.visit.id, shop.ann, outcome, result)
    said = {"order": shop.visit.number, "kind": "dispatch", "what": outcome, **result}
    assert (await shop.lines("came_too_late"))[-1] == ("user:ann", said)


async def test_whoever_it_is_moved_to_completes_it_and_the_process_goes_on(shop: Shop) -> None:
    run = shop.run
    await shop.placing.place(shop.visit.id, shop.dora, to=shop.bob, reason="nearer")
    for act in (run.dispatch.accept, run.dispatch.start, run.dispatch.resume):
        with pytest.raises(HandedOn):
            await act(shop.visit.id, shop.ann)
    await _refused_and_kept(shop, "done", labour="90.00")
    await run.dispatch.accept(shop.visit.id, shop.bob)
    await run.dispatch.start(shop.visit.id, shop.bob)
    await _refused_and_kept(shop, "done", labour="90.00")
    with pytest.raises(HandedOn):
        await run.dispatch.decline(shop.visit.id, shop.ann, "ill")
    done = await run.dispatch.complete(shop.visit.id, shop.bob, "done", {"labour": "120.00"})
    assert (done.assignee, done.result) == (shop.bob, {"labour": "120.00"})
    follow_up = await run.order(shop.record.id, "follow_up", "draft")
    # However late: it is told and kept, and nothing is begun a second time.
    await _refused_and_kept(shop, "done", labour="90.00")
    assert [order.id for order in await run.orders(shop.record.id)] == [shop.visit.id, follow_up.id]
    assert [actor for actor, _ in await shop.lines("order_done")] == ["user:bob"]
    assert len(await shop.lines("came_too_late")) == 4


async def test_the_new_owner_has_the_whole_time_to_accept_and_declines_it_for_the_new_time(shop: Shop) -> None:
    run, tomorrow = shop.run, CLOCK.now() + timedelta(days=1)
    before = await shop.timers()
    placed = await shop.placing.place(shop.visit.id, shop.dora, to=shop.bob, planned_at=tomorrow)
    assert (placed.state, placed.planned_at) == ("offered", tomorrow)

    async def deadlines_moved() -> bool:
        return (await shop.timers())["unaccepted"] > before["unaccepted"]

    await until(deadlines_moved, "the process has set the time to accept it again")
    after = await shop.timers()
    assert after["late"] == before["late"]  # counted from the customer's call
    (order,) = await run.orders(shop.record.id)
    assert (order.accept_by, order.due_at) == (after["unaccepted"], after["late"])
    await run.dispatch.decline(shop.visit.id, shop.bob, "on leave")

    async def second() -> bool:
        return len(await run.orders(shop.record.id)) == 2

    await until(second, "somebody else is asked")
    again = (await run.orders(shop.record.id))[-1]
    assert (again.assignee, again.planned_at) == (shop.ann, tomorrow)


async def test_what_is_given_back_is_theirs_again(shop: Shop) -> None:
    run = shop.run
    await shop.placing.place(shop.visit.id, shop.dora, to=shop.bob)
    await shop.placing.place(shop.visit.id, shop.dora, to=shop.ann)
    with pytest.raises(HandedOn):
        await run.dispatch.accept(shop.visit.id, shop.bob)
    await run.dispatch.accept(shop.visit.id, shop.ann)
    await run.dispatch.complete(shop.visit.id, shop.ann, "done")
    await run.order(shop.record.id, "follow_up", "draft")
    assert await shop.lines("came_too_late") == []


async def test_of_what_was_taken_from_who_is_ill_their_report_is_kept(shop: Shop) -> None:
    """Under way without a connection: nobody could know that they were there already."""
    run = shop.run
    await run.dispatch.start(shop.visit.id, shop.ann)
    (moved,) = await shop.placing.hand_over(shop.ann, shop.dora, reason="ill")
    assert moved.order.assignee == shop.bob
    await _refused_and_kept(shop, "done", labour="90.00")
    await shop.placing.hand_over(shop.bob, shop.dora, reason="ill too", away_until=CLOCK.now() + timedelta(days=1))
    await run.dispatch.accept(shop.visit.id, shop.ann)
    await run.dispatch.complete(shop.visit.id, shop.ann, "done")
    await run.order(shop.record.id, "follow_up", "draft")


async def test_who_never_had_it_learns_nothing_of_it(shop: Shop) -> None:
    with pytest.raises(NotYours):
        await shop.run.dispatch.complete(shop.visit.id, shop.bob, "done")
    assert await shop.lines("came_too_late") == []
