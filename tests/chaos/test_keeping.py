"""Backups, restores and the move while kill -9 falls on the server and on the tool: every row, or nothing."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from ctiserver.model.work.record import Record
from ctiserver.store.database import Database
from tests.chaos.test_kill import SUBJECTS, all_closed, begin, fates, people, reference, server
from tests.support import postgres
from tests.support.database import newest_sqlite
from tests.support.eventually import eventually
from tests.support.every_row import every_row, every_workflow_row
from tests.support.served import Site

_LATE_S = 120.0


@pytest.fixture
def site(tmp_path: Path, database: Database, database_url: str, workflow_url: str) -> Site:
    """A folder whose ctiserver.yaml names the test's own databases."""
    return Site.made(tmp_path / "site", CTISERVER_DATABASE__URL=database_url, CTISERVER_WORKFLOW__URL=workflow_url)


@pytest.fixture
def workflow_url(database: Database, database_url: str, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/workflow.sqlite" if database.dialect == "sqlite" else database_url


@pytest.fixture
def urls(database_url: str, workflow_url: str) -> tuple[str, str]:
    return database_url, workflow_url


Restore = Callable[[Path, Path], Awaitable[tuple[str, str]]]


@pytest.fixture
def restore(site: Site, database: Database, request: pytest.FixtureRequest) -> Restore:
    """Restores a backup into a folder (and a database of its own); gives the URLs of its databases."""

    async def into_folder(backup: Path, into: Path) -> tuple[str, str]:
        if database.dialect == "sqlite":
            await done(site, "restore", str(backup), "--into", str(into))
            return f"sqlite:///{into}/data/ctiserver.sqlite", f"sqlite:///{into}/data/workflow.sqlite"
        cluster: postgres.Cluster = request.getfixturevalue("postgres_cluster")
        name = f"restored_{os.getpid()}"
        url = cluster.create(name)
        request.addfinalizer(lambda: cluster.drop(name))
        await done(site, "restore", str(backup), "--into", str(into), "--database", url)
        return url, url

    return into_folder


@asynccontextmanager
async def tool(site: Site, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of the commands, as a process of its own; killed at the end of the block if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ctiserver", "db", *arguments,
        env=site.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def done(site: Site, *arguments: str) -> str:
    """What a command that must succeed prints."""
    async with tool(site, *arguments) as process:
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        return said.decode()


async def killed_when(site: Site, sight: Callable[[], Awaitable[bool]], *arguments: str) -> bool:
    """Start a command and kill it as soon as something is seen; False if it ended before that."""
    async with tool(site, *arguments) as process:

        async def seen() -> bool:
            return process.returncode is not None or await sight()

        await eventually(seen, within_s=_LATE_S)
        return process.returncode is None


def backups(into: Path) -> list[Path]:
    return sorted(path for path in into.glob("*") if not path.name.startswith("."))


@pytest.mark.timeout(600)
async def test_work_that_was_open_when_it_was_backed_up_ends_as_it_should(
    site: Site, database: Database, urls: tuple[str, str], tmp_path: Path, restore: Restore
) -> None:
    await people(database)
    expected = await reference(database, tmp_path, *urls)
    records = await begin(database, 24)
    into = tmp_path / "backups"
    async with server(tmp_path, *urls) as victim:
        await victim.says("ready")
        await done(site, "backup", "--config", str(site.config), "--to", str(into))
        await victim.kill()
    (backup,) = backups(into)
    url, workflow = await restore(backup, tmp_path / "new")
    async with Database.open(url) as copy:
        async with server(tmp_path, url, workflow) as heir:
            await heir.says("ready")
            await all_closed(copy, records, deadline_s=_LATE_S)
        for fate in await fates(copy, records):
            assert fate == expected[str(fate[0])]


async def test_a_backup_that_is_killed_leaves_nothing_under_a_good_name(
    site: Site, database: Database, tmp_path: Path
) -> None:
    await people(database)
    await begin(database, 4)
    for number in range(200):  # enough to copy that the kill falls in between
        (site.folder / f"data/photos/{number % 10}").mkdir(parents=True, exist_ok=True)
        (site.folder / f"data/photos/{number % 10}/{number}.jpg").write_bytes(os.urandom(40_000))
    into = tmp_path / "backups"
    arguments = ("backup", "--config", str(site.config), "--to", str(into))
    sights = ("*.part", "*.part/database/main*", "*.part/data/photos", "*.part/data/photos/7", "*.part/manifest.json")
    killed = 0
    for sight in sights:

        async def seen(pattern: str = sight) -> bool:
            return any(into.glob(f".{pattern}"))

        killed += await killed_when(site, seen, *arguments)
        for backup in backups(into):
            assert "Every file is as it was written." in await done(site, "verify", str(backup))
            shutil.rmtree(backup)
    assert killed >= 3
    await done(site, *arguments)
    assert [path.name for path in into.iterdir()] == [path.name for path in backups(into)]  # what was left is gone


async def test_a_restore_that_is_killed_leaves_no_folder_and_can_be_done_again(
    site: Site, database: Database, urls: tuple[str, str], tmp_path: Path, restore: Restore
) -> None:
    await people(database)
    await begin(database, 4)
    for number in range(200):
        (site.folder / "data/photos").mkdir(parents=True, exist_ok=True)
        (site.folder / f"data/photos/{number}.jpg").write_bytes(os.urandom(40_000))
    into = tmp_path / "backups"
    await done(site, "backup", "--config", str(site.config), "--to", str(into))
    (backup,) = backups(into)
    target = tmp_path / "new"
    half = tmp_path / ".new.part"
    more = [] if database.dialect == "sqlite" else ["--database", "postgresql://nobody@127.0.0.1:1/x"]
    for sight in (half, half / "data/photos", half / "ctiserver.yaml"):

        async def seen(path: Path = sight) -> bool:
            return path.exists()

        await killed_when(site, seen, "restore", str(backup), "--into", str(target), *more)
        assert not target.exists() or database.dialect == "sqlite"
        shutil.rmtree(target, ignore_errors=True)
    url, _ = await restore(backup, target)
    assert every_row(url) == every_row(urls[0])
    assert len(list(target.glob("data/photos/*.jpg"))) == 200
    assert not half.exists()


class Watch:
    """Looks into a PostgreSQL database from outside."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection

    async def moving(self) -> bool:
        """Whether a command writes rows into it now."""
        found = await self._connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND query ILIKE ANY (ARRAY['INSERT INTO %', 'CREATE TABLE %', 'SAVEPOINT %', 'RELEASE %'])"
        )
        return await found.fetchone() is not None

    async def tables(self) -> int:
        """How many tables the server has there."""
        found = await self._connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        row = await found.fetchone()
        return 0 if row is None else int(row[0])


@pytest.mark.postgres
@pytest.mark.timeout(600)
async def test_a_move_that_is_killed_moves_nothing_and_open_work_goes_on_after_it(
    tmp_path: Path, postgres_cluster: postgres.Cluster
) -> None:
    sqlite_url, workflow_url = newest_sqlite(tmp_path), f"sqlite:///{tmp_path}/workflow.sqlite"
    dice = random.Random(7)
    site = Site.made(tmp_path / "site", CTISERVER_DATABASE__URL=sqlite_url, CTISERVER_WORKFLOW__URL=workflow_url)
    async with Database.open(sqlite_url) as database:
        await people(database)
        expected = await reference(database, tmp_path, sqlite_url, workflow_url)
        records: list[Record] = await begin(database, 16)
        async with server(tmp_path, sqlite_url, workflow_url) as victim:
            await victim.says("ready")
            await victim.live(dice.uniform(0.2, 0.8))
            await victim.kill()
        open_ones = [fate for fate in await fates(database, records) if fate[1] != "closed"]
        assert open_ones, "the server was too quick: nothing is open"
    url = postgres_cluster.create(f"moved_{os.getpid()}")
    try:
        arguments = ("move", "--config", str(site.config), "--to", url)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            watch = Watch(connection)
            killed = sum([await killed_when(site, watch.moving, *arguments) for _ in range(2)])
            if killed == 2:
                assert await eventually(watch.tables, lambda count: count == 0) == 0
        said = await done(site, *arguments)
        assert "Every row is the same on both sides." in said or "holds every row of this already" in said
        assert every_row(url) == every_row(sqlite_url)
        assert every_workflow_row(url) == every_workflow_row(workflow_url)
        async with Database.open(url) as moved:
            async with server(tmp_path, url, url) as heir:
                await heir.says("ready")
                await all_closed(moved, records, deadline_s=_LATE_S)
            for fate in await fates(moved, records):
                assert fate == expected[str(fate[0])]
        assert len(expected) == len(SUBJECTS)
    finally:
        postgres_cluster.drop(f"moved_{os.getpid()}")
