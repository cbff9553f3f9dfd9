"""The shipped process ``callback``, in the durable engine: whom, once, and beside the record's own work."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctiserver.clock import SystemClock
from ctiserver.model.ids import new_ulid
from ctiserver.model.work.record import CALLBACK_ASKED, TimelineEntry
from ctiserver.resources import shipped
from ctiserver.store.database import Database
from tests.support.dispatch import leave_start, running, until
from tests.support.rows import a_record, a_user

#: Its calendar is none of this test's.
CALLBACK = (
    shipped("config", "processes", "callback.yaml")
    .read_text(encoding="utf-8")
    .replace("calendar: service_desk", "calendar: desk")
)


@pytest.fixture
def workflow_url(database: Database, database_url: str, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/workflow.sqlite" if database.dialect == "sqlite" else database_url


async def test_one_order_with_the_promised_number_and_the_record_stays_open(
    database: Database, workflow_url: str
) -> None:
    ann, record, now = a_user("ann"), a_record(), SystemClock().now()
    wish = {"number": "13800138000", "queue": "repair", "reason": "promised", "call_id": "call"}
    async with database.unit_of_work() as uow:
        await uow.users.add(ann)
        await uow.records.add(record)
        entry = TimelineEntry(
            id=new_ulid(now), record_id=record.id, at=now, actor="call", kind=CALLBACK_ASKED, data=wish
        )
        await uow.records.note(entry)
        await leave_start(uow, record.id, "callback")
        await uow.outbox.add(  # a second wish while the first is owed, as another call leaves it
            "process_start",
            f"process_start/{record.id}/callback/other",
            {"record_id": record.id, "process": "callback"},
            now,
        )
    async with running(database, workflow_url, CALLBACK) as dispatch:
        order = await dispatch.order(record.id, "callback", "offered")
        assert {key: order.payload[key] for key in wish} == wish
        await dispatch.dispatch.accept(order.id, ann.id)
        await dispatch.dispatch.complete(order.id, ann.id, "done", {})

        async def ended() -> bool:
            async with database.reading() as uow:
                return [row.state.get("closed") for row in await uow.processes.of_record(record.id)] == ["called_back"]

        await until(ended, "the process has ended")
        async with database.reading() as uow:
            assert (await uow.records.get(record.id)).status == "open"
        assert [one.kind for one in await dispatch.orders(record.id)] == ["callback"]
