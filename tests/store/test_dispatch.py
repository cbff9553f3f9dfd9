"""From a saved disposition to a closed record, through the durable engine, on both databases."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from ctiserver.clock import SystemClock
from ctiserver.store.database import Database
from tests.support.dispatch import Running, running
from tests.support.rows import a_record, a_user


@pytest.fixture
def workflow_url(database: Database, database_url: str, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/workflow.sqlite" if database.dialect == "sqlite" else database_url


@pytest.fixture
async def dispatch(database: Database, workflow_url: str) -> AsyncIterator[Running]:
    async with running(database, workflow_url) as started:
        yield started


async def test_a_repair_goes_from_the_desk_to_closed(dispatch: Running) -> None:
    mia, ann, record = a_user("mia", role="technician"), a_user("ann"), a_record()
    async with dispatch.database.unit_of_work() as uow:
        await uow.users.add(mia)
        await uow.users.add(ann)
        await uow.records.add(record)
    await dispatch.start(record)

    visit = await dispatch.order(record.id, "dispatch", "offered")
    assert visit.assignee == mia.id
    assert visit.due_at is not None
    assert timedelta(hours=23) < visit.due_at - SystemClock().now() < timedelta(hours=25)
    assert [order.id for order in await dispatch.dispatch.inbox(mia.id)] == [visit.id]
    await dispatch.dispatch.accept(visit.id, mia.id)
    await dispatch.dispatch.start(visit.id, mia.id)
    await dispatch.dispatch.complete(visit.id, mia.id, "done", {"labour": "120.00"})

    follow_up = await dispatch.order(record.id, "follow_up", "draft")
    assert follow_up.planned_at is not None
    assert timedelta(days=2) < follow_up.planned_at - SystemClock().now() < timedelta(days=4)
    assert follow_up.due_at == follow_up.planned_at + timedelta(days=1)
    async with dispatch.database.reading() as uow:
        (process,) = await uow.processes.of_record(record.id)
        waiting = await uow.timers.waiting(process.id)
        kinds = [entry.kind for entry in await uow.records.timeline(record.id)]
    assert [timer.key for timer in waiting] == ["follow_up/1:begin", "follow_up/1:late"]
    assert kinds == [
        "process_started",
        "order_offered",
        "order_accepted",
        "order_started",
        "order_done",
        "order_planned",
    ]
