"""The durable workflow on SQLite and PostgreSQL, side by side: starts and advances a second, by the clock and by CPU
second; memory with many open; from a restart to the first advance; how late timers fire.

What is to be done waits in the outbox before the clock starts, so that only the engine is measured, and neither those
who ask nor those who look. ``calibration_ms`` is what a fixed piece of Python took just before: on a busy machine it
grows, and so does every figure beside it.

``CTISERVER_BENCH_PROCESSES`` says how many processes are opened (1,000 unless told; 10,000 takes some minutes), of which
``CTISERVER_BENCH_TIMERS`` (a fifth) have a deadline within one minute. ``CTISERVER_BENCH_BACKENDS`` may name one of the
two. Without PostgreSQL's programs SQLite is measured alone.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from ctiserver.clock import SystemClock
from ctiserver.features.dispatch.service import Dispatch
from ctiserver.model.ids import UserId
from ctiserver.model.work.record import Record
from ctiserver.store import tables
from ctiserver.store.database import Database
from tests.support import postgres
from tests.support.dispatch import leave_start, running, until
from tests.support.rows import a_record, a_user

CLOCK = SystemClock()
_BATCH = 200
_COMPLETED = 500
_TIMERS_WITHIN = timedelta(minutes=1)
#: How long before the first of the timers is due, so that the server runs by then.
_BEFORE_TIMERS = timedelta(seconds=5)


def run() -> dict[str, object]:
    count = int(os.environ.get("CTISERVER_BENCH_PROCESSES", "1000"))
    timers = int(os.environ.get("CTISERVER_BENCH_TIMERS", str(count // 5)))
    backends = os.environ.get("CTISERVER_BENCH_BACKENDS", "sqlite postgresql").split()
    report: dict[str, object] = {"open_processes": count, "timers_within_one_minute": timers}
    with tempfile.TemporaryDirectory(prefix="ctiserver-bench-") as folder, ExitStack() as stack:
        if "sqlite" in backends:
            urls = (f"sqlite:///{folder}/ctiserver.sqlite", f"sqlite:///{folder}/workflow.sqlite")
            report["sqlite"] = asyncio.run(_measured(*urls, count, timers))
        if "postgresql" in backends:
            try:
                cluster = stack.enter_context(postgres.cluster(Path(folder)))
            except postgres.NoPostgres as error:
                report["postgresql"] = str(error)
            else:
                url = cluster.create("bench")
                report["postgresql"] = asyncio.run(_measured(url, url, count, timers))
    return report


async def _measured(url: str, workflow_url: str, count: int, timers: int) -> dict[str, object]:
    async with Database.open(url, upgrade=True) as database:
        mia = a_user("mia", role="technician")
        async with database.unit_of_work() as uow:
            await uow.users.add(mia)
        bench = Bench(database, workflow_url, mia.id)
        report: dict[str, object] = {"calibration_ms": round(_calibration_ms(), 1)}
        records = await bench.begin(count)
        report["starts"] = await bench.carried_out(orders=count)
        completed = records[: min(count // 2, _COMPLETED)]
        await bench.complete(completed)
        report["advances"] = await bench.carried_out(orders=count + len(completed))
        report["restart_to_first_advance_s"] = round(await bench.first_advance(), 2)
        late_s = await bench.timers(timers)
        report["timers"] = {
            "fired": len(late_s),
            "late_s_median": round(statistics.median(late_s), 2),
            "late_s_worst": round(max(late_s), 2),
        }
        report["resident_mb"] = round(_resident_kb() / 1024, 1)
        return report


@dataclass(frozen=True)
class Bench:
    """One database, and the engine on it, which runs only while something is measured."""

    database: Database
    workflow_url: str
    technician: UserId

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[None]:
        async with running(self.database, self.workflow_url, polling_s=0.1):
            yield

    async def begin(self, count: int) -> list[Record]:
        """So many records whose processes are to be started."""
        records = [a_record() for _ in range(count)]
        for at in range(0, count, _BATCH):
            async with self.database.unit_of_work() as uow:
                for record in records[at : at + _BATCH]:
                    await uow.records.add(record)
                    await leave_start(uow, record.id)
        return records

    async def complete(self, records: list[Record]) -> None:
        """The technician does the visit of each; their processes have yet to be told."""
        dispatch = Dispatch(self.database, CLOCK)
        for record in records:
            async with self.database.reading() as uow:
                (visit,) = await uow.work_orders.of_record(record.id)
            await dispatch.accept(visit.id, self.technician)
            await dispatch.complete(visit.id, self.technician, "done")

    async def carried_out(self, *, orders: int) -> dict[str, float]:
        """Run the engine until there are so many work orders: each start and each completion makes one.

        Counted from when the engine runs; how long it takes to run is measured by :meth:`first_advance`.
        """
        before = await self._count(tables.work_orders)
        async with self.engine():
            cpu, begun = time.process_time(), time.monotonic()
            await self._orders(orders, every_s=0.1)
            spent_s, cpu_s = time.monotonic() - begun, time.process_time() - cpu
        done = orders - before
        return {
            "done": done,
            "per_s": round(done / spent_s, 1),
            "per_cpu_s": round(done / cpu_s, 1),
            "cpu_ms_each": round(cpu_s / done * 1000, 2),
        }

    async def first_advance(self) -> float:
        """From the start of a server that has all of these open to the first work order of a new process."""
        before = await self._count(tables.work_orders)
        await self.begin(1)
        begun = time.monotonic()
        async with self.engine():
            await self._orders(before + 1, every_s=0.01)
            return time.monotonic() - begun

    async def timers(self, count: int) -> list[float]:
        """Let so many deadlines come within one minute; how many seconds after it was due each fired."""
        first = CLOCK.now() + _BEFORE_TIMERS
        async with self.database.unit_of_work() as uow:
            connection = uow.timers._connection
            waiting = sa.select(tables.timers.c.id).where(
                tables.timers.c.state == "waiting", tables.timers.c.key == "visit/1:late"
            )
            ids = list((await connection.execute(waiting.order_by(tables.timers.c.id).limit(count))).scalars())
            for table in (tables.timers, tables.outbox):
                await connection.execute(
                    sa.update(table).where(table.c.id == sa.bindparam("id_")).values(due_at=sa.bindparam("due_")),
                    [{"id_": key, "due_": first + _TIMERS_WITHIN * n / len(ids)} for n, key in enumerate(ids)],
                )
        fired = sa.select(tables.timers.c.due_at, tables.timers.c.ended_at).where(tables.timers.c.state == "fired")
        async with self.engine():
            found: list[float] = []

            async def all_fired() -> bool:
                async with self.database.reading() as uow:
                    rows = [row for row in await uow.timers._connection.execute(fired) if row.due_at >= first]
                found[:] = [(row.ended_at - row.due_at).total_seconds() for row in rows]
                return len(found) == len(ids)

            await until(all_fired, "every timer has fired", every_s=1.0, deadline_s=300)
            return found

    async def _orders(self, count: int, every_s: float) -> None:
        async def there() -> bool:
            return await self._count(tables.work_orders) >= count

        await until(there, f"there are {count} work orders", every_s=every_s, deadline_s=1800)

    async def _count(self, table: sa.Table) -> int:
        async with self.database.reading() as uow:
            counted = await uow.timers._connection.execute(sa.select(sa.func.count()).select_from(table))
            return int(counted.scalar_one())


def _calibration_ms() -> float:
    begun = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number * number % 7
    return (time.process_time() - begun) * 1000


def _resident_kb() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0
