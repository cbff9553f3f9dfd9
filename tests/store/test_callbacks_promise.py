"""A promise to call back: a line on the record, and a process, once for each call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import ManualClock
from ctiserver.features.callbacks.service import Callbacks, Wish
from ctiserver.model.ids import CallId, RecordId
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from ctiserver.store.database import Database
from tests.support.rows import a_record

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
WISH = Wish(call_id=CallId("CALL1"), number="13800138000", queue="repair", reason="promised")


@pytest.fixture
def callbacks(database: Database) -> Callbacks:
    return Callbacks(database, Bus(), ManualClock(T0), load_site(shipped("config")), pbxs={}, region="CN")


@pytest.fixture
async def record(database: Database) -> RecordId:
    record = a_record()
    async with database.unit_of_work() as uow:
        await uow.records.add(record)
    return record.id


async def _left(database: Database, record: RecordId) -> tuple[list[Any], list[dict[str, Any]]]:
    """The lines of the timeline, and what waits to be started."""
    async with database.reading() as uow:
        lines = [(line.actor, line.kind, dict(line.data)) for line in await uow.records.timeline(record)]
        return lines, [dict(row.payload) for row in await uow.outbox.waiting(["process_start"])]


async def test_a_promise_is_on_the_record_and_starts_the_process(
    callbacks: Callbacks, database: Database, record: RecordId
) -> None:
    async with database.unit_of_work() as uow:
        await callbacks.promise(uow, record, WISH)
    lines, starts = await _left(database, record)
    wish = {"number": "13800138000", "queue": "repair", "reason": "promised", "call_id": "CALL1"}
    assert lines[-1] == ("call:CALL1", "callback_requested", wish)
    assert starts == [{"record_id": record, "process": "callback"}]


async def test_two_promises_of_one_call_start_one_process_and_another_call_its_own(
    callbacks: Callbacks, database: Database, record: RecordId
) -> None:
    for call_id in ("CALL1", "CALL1", "CALL2"):
        async with database.unit_of_work() as uow:
            await callbacks.promise_for_missed(uow, record, "13800138000", "", CallId(call_id))
    lines, starts = await _left(database, record)
    assert [line[2]["reason"] for line in lines if line[1] == "callback_requested"] == ["missed"] * 3
    assert len(starts) == 2


async def test_a_promise_that_is_not_committed_leaves_nothing(
    callbacks: Callbacks, database: Database, record: RecordId
) -> None:
    async def broken_off() -> None:
        async with database.unit_of_work() as uow:
            await callbacks.promise(uow, record, WISH)
            raise LookupError

    with pytest.raises(LookupError):
        await broken_off()
    lines, starts = await _left(database, record)
    assert (starts, [line for line in lines if line[1] == "callback_requested"]) == ([], [])
