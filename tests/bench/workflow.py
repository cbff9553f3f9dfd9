"""The durable workflow on SQLite: starts and advances a second, how late timers fire, what many open ones weigh.

``CTISERVER_BENCH_PROCESSES`` says how many processes are opened (1,000 unless told; 10,000 takes some minutes).
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from ctiserver.clock import SystemClock
from ctiserver.features.dispatch.service import Dispatch
from ctiserver.model.ids import UserId
from ctiserver.model.record import Record
from ctiserver.store.database import Database
from tests.support.dispatch import REPAIR, leave_start, running, until
from tests.support.rows import a_record, a_user

CLOCK = SystemClock()
_BATCH = 200
#: How long after the start of the bench the timers of :func:`_timers` are due.
_TIMERS_DUE = timedelta(seconds=12)


def run() -> dict[str, object]:
    count = int(os.environ.get("CTISERVER_BENCH_PROCESSES", "1000"))
    with tempfile.TemporaryDirectory(prefix="ctiserver-bench-") as folder:
        return asyncio.run(_run(Path(folder), count))


async def _run(folder: Path, count: int) -> dict[str, object]:
    workflow_url = f"sqlite:///{folder}/workflow.sqlite"
    async with Database.open(f"sqlite:///{folder}/ctiserver.sqlite", upgrade=True) as database:
        mia = a_user("mia", role="technician")
        async with database.unit_of_work() as uow:
            await uow.users.add(mia)
        async with running(database, workflow_url, polling_s=0.1):
            begun_kb = _resident_kb()
            records, starts = await _starts(database, count)
            advances = await _advances(database, records[: min(count, 500)], mia.id)
            open_kb = _resident_kb()
        first_s = await _first_advance(database, workflow_url)
        late_ms = await _timers(database, workflow_url, 500)
    return {
        "open_processes": count,
        "starts_per_s": round(starts, 1),
        "advances_per_s": round(advances, 1),
        "resident_mb_before": round(begun_kb / 1024, 1),
        "resident_mb_with_all_open": round(open_kb / 1024, 1),
        "restart_to_first_advance_s": round(first_s, 2),
        "timers_due_at_once": len(late_ms),
        "timer_late_ms_median": round(statistics.median(late_ms)),
        "timer_late_ms_worst": round(max(late_ms)),
    }


async def _starts(database: Database, count: int) -> tuple[list[Record], float]:
    """Leave so many starts in the outbox, then see how fast each comes to its first work order."""
    records = [a_record() for _ in range(count)]
    begun = time.monotonic()
    for at in range(0, count, _BATCH):
        async with database.unit_of_work() as uow:
            for record in records[at : at + _BATCH]:
                await uow.records.add(record)
                await leave_start(uow, record.id)
    await until(lambda: _orders(database, records[-1], 1), "every process has begun", deadline_s=600)
    await _none_waiting(database, records, 1)
    return records, count / (time.monotonic() - begun)


async def _advances(database: Database, records: list[Record], who: UserId) -> float:
    """Complete the dispatch of each, then see how fast each comes to its follow-up."""
    dispatch = Dispatch(database, CLOCK)
    begun = time.monotonic()
    for record in records:
        async with database.reading() as uow:
            (visit,) = await uow.work_orders.of_record(record.id)
        await dispatch.accept(visit.id, who)
        await dispatch.complete(visit.id, who, "done")
    await _none_waiting(database, records, 2)
    return len(records) / (time.monotonic() - begun)


async def _none_waiting(database: Database, records: list[Record], orders: int) -> None:
    for record in records:
        await until(lambda record=record: _orders(database, record, orders), "all have moved on", deadline_s=600)  # type: ignore[misc]


async def _orders(database: Database, record: Record, count: int) -> bool:
    async with database.reading() as uow:
        return len(await uow.work_orders.of_record(record.id)) >= count


async def _first_advance(database: Database, workflow_url: str) -> float:
    """From the start of a server that has all of these open to the first work order of a new process."""
    record = a_record()
    async with database.unit_of_work() as uow:
        await uow.records.add(record)
        await leave_start(uow, record.id)
    begun = time.monotonic()
    async with running(database, workflow_url, polling_s=0.1):
        await until(lambda: _orders(database, record, 1), "the first advance")
        return time.monotonic() - begun


async def _timers(database: Database, workflow_url: str, count: int) -> list[float]:
    """How many milliseconds after they were due so many timers, all due in one second, fired."""
    text = REPAIR.replace("complete_within: 1 day", f"complete_within: {_TIMERS_DUE.total_seconds():g} seconds", 1)
    records = [a_record() for _ in range(count)]
    async with running(database, workflow_url, text, polling_s=0.1):
        async with database.unit_of_work() as uow:
            for record in records:
                await uow.records.add(record)
                await leave_start(uow, record.id)
        await until(_all(database, records, _late), "every deadline was told", deadline_s=120, every_s=0.5)
    late: list[float] = []
    async with database.reading() as uow:
        for record in records:
            (visit,) = await uow.work_orders.of_record(record.id)
            assert visit.due_at is not None
            late.append((visit.updated_at - visit.due_at).total_seconds() * 1000)
    return late


async def _late(database: Database, record: Record) -> bool:
    async with database.reading() as uow:
        return any(order.late for order in await uow.work_orders.of_record(record.id))


def _all(
    database: Database, records: list[Record], holds: Callable[[Database, Record], Awaitable[bool]]
) -> Callable[[], Awaitable[bool]]:
    async def every() -> bool:
        for record in reversed(records):
            if not await holds(database, record):
                return False
        return True

    return every


def _resident_kb() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0
