"""kill -9 at any instant: no process, order or deadline is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from ctiserver.clock import SystemClock
from ctiserver.model.work.record import Record
from ctiserver.store.database import Database
from tests.support.dispatch import leave_start, until
from tests.support.rows import a_record, a_user

SUBJECTS = ("plain", "declined once", "unhappy once", "never reached")


@pytest.fixture
def workflow_url(database: Database, database_url: str, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/workflow.sqlite" if database.dialect == "sqlite" else database_url


@dataclass(frozen=True)
class Server:
    """A server process."""

    process: asyncio.subprocess.Process
    log: Path

    async def says(self, word: str) -> None:
        """Wait until it prints a line that begins so."""
        assert self.process.stdout is not None
        async with asyncio.timeout(120):  # a machine that does much else takes long to start Python
            while line := await self.process.stdout.readline():
                if line.decode().startswith(word):
                    return
        raise AssertionError(f"the server ended before it said {word!r}:\n{self.log.read_text()[-4000:]}")

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        # To the end of its output, or asyncio would leave the pipe open.
        await self.process.communicate()

    async def live(self, seconds: float) -> None:
        """Let it run; it must not end by itself."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.process.wait()
        assert self.process.returncode is None, self.log.read_text()[-4000:]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def server(tmp_path: Path, database_url: str, workflow_url: str, *arguments: str) -> AsyncIterator[Server]:
    """A server process, killed at the end of the block at the latest."""
    log = tmp_path / "server.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.chaos.server", database_url, workflow_url, *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=errors, env={**os.environ, "PYTHONPATH": "."},
        )  # fmt: skip
    running = Server(process, log)
    try:
        yield running
    finally:
        await running.kill()


async def people(database: Database) -> None:
    async with database.unit_of_work() as uow:
        for role in ("technician", "agent", "dispatcher", "supervisor"):
            await uow.users.add(a_user(role, role=role))


async def begin(database: Database, count: int) -> list[Record]:
    """So many records, whose processes are left in the outbox: each twice, as an impatient user does."""
    records = [a_record(subject=SUBJECTS[number % len(SUBJECTS)]) for number in range(count)]
    for record in records:
        async with database.unit_of_work() as uow:
            await uow.records.add(record)
            await leave_start(uow, record.id)
            await leave_start(uow, record.id)
    return records


async def fates(database: Database, records: list[Record]) -> list[tuple[object, ...]]:
    """What became of each record: how it ended, and its orders, in a form that two runs can be compared in."""
    found: list[tuple[object, ...]] = []
    async with database.reading() as uow:
        for record in records:
            now = await uow.records.get(record.id)
            processes = await uow.processes.of_record(record.id)
            orders = sorted(
                (order.key.partition("/")[2], order.state, order.outcome or "")
                for order in await uow.work_orders.of_record(record.id)
            )
            timeline = Counter(entry.kind for entry in await uow.records.timeline(record.id))
            waiting = [timer.key for process in processes for timer in await uow.timers.waiting(process.id)]
            found.append(
                (now.subject, now.status, now.resolution, now.priority, [p.status for p in processes],
                 orders, sorted(timeline.items()), waiting)
            )  # fmt: skip
    return found


async def all_closed(database: Database, records: list[Record], deadline_s: float = 60) -> None:
    async def closed() -> bool:
        async with database.reading() as uow:
            return all([(await uow.records.get(record.id)).status == "closed" for record in records])

    await until(closed, "every record is closed", every_s=0.1, deadline_s=deadline_s)


async def test_a_start_survives_a_kill_between_commit_and_relay(
    database: Database, database_url: str, workflow_url: str, tmp_path: Path
) -> None:
    await people(database)
    (record,) = await begin(database, 1)
    async with server(tmp_path, database_url, workflow_url, "--hold") as victim:
        await victim.says("holding")  # the relay has read the row, and the engine has not
        await victim.kill()
    async with database.reading() as uow:
        assert await uow.processes.of_record(record.id) == []
        assert [row.handed_at for row in await uow.outbox.waiting(["process_start"])] == [None]
    for _ in range(2):  # once more, to see that the second start finds nothing left to start
        async with server(tmp_path, database_url, workflow_url) as heir:
            await heir.says("ready")
            await all_closed(database, [record])
    ((_, _, resolution, _, processes, orders, timeline, waiting),) = await fates(database, [record])
    assert (resolution, processes, waiting) == ("resolved", ["closed"], [])
    assert orders == [("follow_up/1", "done", "satisfied"), ("visit/1", "done", "done")]
    assert dict(timeline)["process_started"] == 1  # type: ignore[call-overload]


async def reference(database: Database, tmp_path: Path, database_url: str, workflow_url: str) -> dict[str, object]:
    """What becomes of each kind of record when nobody kills anything."""
    records = await begin(database, len(SUBJECTS))
    async with server(tmp_path, database_url, workflow_url) as calm:
        await calm.says("ready")
        await all_closed(database, records)
    return {str(fate[0]): fate for fate in await fates(database, records)}


async def killed_often(
    database: Database, tmp_path: Path, *, urls: tuple[str, str], records: list[Record], kills: int, seed: int
) -> None:
    dice = random.Random(seed)
    for _ in range(kills):
        async with server(tmp_path, *urls) as victim:
            await victim.says("ready")
            await victim.live(dice.uniform(0.0, 1.2))
            await victim.kill()
    async with server(tmp_path, *urls) as last:
        await last.says("ready")
        await all_closed(database, records, deadline_s=60 + len(records))


async def test_records_end_where_they_end_without_kills(
    database: Database, database_url: str, workflow_url: str, tmp_path: Path
) -> None:
    await people(database)
    expected = await reference(database, tmp_path, database_url, workflow_url)
    records = await begin(database, 12)
    await killed_often(database, tmp_path, urls=(database_url, workflow_url), records=records, kills=3, seed=1)
    for fate in await fates(database, records):
        assert fate == expected[str(fate[0])]


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [11, 12])
async def test_two_hundred_records_and_twenty_kills(
    database: Database, database_url: str, workflow_url: str, tmp_path: Path, seed: int
) -> None:
    await people(database)
    expected = await reference(database, tmp_path, database_url, workflow_url)
    records = await begin(database, 200)
    await killed_often(database, tmp_path, urls=(database_url, workflow_url), records=records, kills=20, seed=seed)
    for fate in await fates(database, records):
        assert fate == expected[str(fate[0])]


only_postgres = pytest.mark.parametrize(
    "database_url",
    [pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.one_backend])],
    indirect=True,
)


async def begun_by_both(database: Database, records: list[Record], one: Server, other: Server) -> None:
    """Wait until both run and some of the records have got somewhere."""
    await one.says("ready")
    await other.says("ready")

    async def somewhere() -> bool:
        async with database.reading() as uow:
            return any([await uow.processes.of_record(record.id) for record in records])

    await until(somewhere, "a process has begun", deadline_s=120)


@only_postgres
async def test_what_a_killed_server_had_begun_another_takes_over(
    database: Database, database_url: str, workflow_url: str, tmp_path: Path
) -> None:
    await people(database)
    expected = await reference(database, tmp_path, database_url, workflow_url)
    records = await begin(database, 40)
    async with (
        server(tmp_path, database_url, workflow_url, "--executor", "a") as one,
        server(tmp_path, database_url, workflow_url, "--executor", "b") as other,
    ):
        await begun_by_both(database, records, one, other)
        await one.kill()
        await all_closed(database, records, deadline_s=120)
    for fate in await fates(database, records):
        assert fate == expected[str(fate[0])]


@only_postgres
@pytest.mark.chaos
async def test_a_server_that_was_stopped_and_goes_on_does_nothing_twice(
    database: Database, database_url: str, workflow_url: str, tmp_path: Path
) -> None:
    await people(database)
    expected = await reference(database, tmp_path, database_url, workflow_url)
    records = await begin(database, 40)

    async def taken_over() -> bool:
        """It counts as dead after ten seconds, and the other looks every two."""
        async with database.reading() as uow:
            return "a" in await uow.executors.silent_since(SystemClock().now() - timedelta(seconds=14))

    async with (
        server(tmp_path, database_url, workflow_url, "--executor", "a") as one,
        server(tmp_path, database_url, workflow_url, "--executor", "b") as other,
    ):
        await begun_by_both(database, records, one, other)
        one.stop()
        await until(taken_over, "the stopped server's work was taken over", deadline_s=40)
        one.go_on()
        await all_closed(database, records, deadline_s=120)
    for fate in await fates(database, records):
        assert fate == expected[str(fate[0])]
