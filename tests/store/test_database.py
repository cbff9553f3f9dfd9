"""Units of work keep everything or nothing, lose no update, and say plainly what is wrong with a database."""

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import exc

from ctiserver.errors import UserFault
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.contact import Contact
from ctiserver.model.ids import AgentId, CallId, ContactId, PbxName
from ctiserver.store import rows, schema, tables
from ctiserver.store.database import Database, parse_url
from ctiserver.store.faults import Conflict, Duplicate, NotFound, StoreUnavailable, Unfit
from ctiserver.store.sqlite_dialect import BUSY_S
from ctiserver.store.unit_of_work import UnitOfWork
from tests.support.postgres import Cluster
from tests.support.rows import a_contact, a_record, a_user


async def _add(block: AbstractAsyncContextManager[UnitOfWork], contact: Contact) -> None:
    async with block as uow:
        await uow.contacts.add(contact)


NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


async def test_a_hundred_concurrent_read_modify_writes_lose_nothing(database: Database) -> None:
    record = a_record()
    async with database.unit_of_work() as uow:
        await uow.records.add(record)

    async def raise_priority() -> None:
        async with database.unit_of_work() as uow:
            read = await uow.records.lock(record.id)
            await asyncio.sleep(0)  # lets every other writer try to get in between
            await uow.records.update(a_record(read, priority=read.priority + 1))

    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(raise_priority())

    async with database.reading() as uow:
        after = await uow.records.get(record.id)
    assert (after.priority, after.revision) == (100, 101)


async def test_two_processes_lose_nothing_on_one_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.sqlite"
    async with Database.open(url, upgrade=True) as one, Database.open(url) as other:
        record = a_record()
        async with one.unit_of_work() as uow:
            await uow.records.add(record)

        async def raise_priority(database: Database) -> None:
            async with database.unit_of_work() as uow:
                read = await uow.records.lock(record.id)
                await uow.records.update(a_record(read, priority=read.priority + 1))

        async with asyncio.TaskGroup() as group:
            for _ in range(25):
                group.create_task(raise_priority(one))
                group.create_task(raise_priority(other))
        async with other.reading() as uow:
            assert (await uow.records.get(record.id)).priority == 50


async def test_a_stale_revision_is_a_conflict_and_changes_nothing(database: Database) -> None:
    record = a_record()
    async with database.unit_of_work() as uow:
        await uow.records.add(record)
    async with database.unit_of_work() as uow:
        await uow.records.update(a_record(record, notes="first"))
    with pytest.raises(Conflict):
        async with database.unit_of_work() as uow:
            await uow.records.update(a_record(record, notes="second"))
    async with database.reading() as uow:
        assert (await uow.records.get(record.id)).notes == "first"


async def test_a_failing_block_keeps_nothing(database: Database) -> None:
    contact = a_contact()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what is tested
        async with database.unit_of_work() as uow:
            await uow.contacts.add(contact)
            raise ZeroDivisionError
    async with database.reading() as uow:
        assert await uow.contacts.find(contact.id) is None
        with pytest.raises(NotFound):
            await uow.contacts.get(contact.id)


async def test_a_cancelled_block_keeps_nothing_and_frees_the_database(database: Database) -> None:
    inside = asyncio.Event()
    contact = a_contact()

    async def stuck() -> None:
        async with database.unit_of_work() as uow:
            await uow.contacts.add(contact)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(stuck())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(20), database.unit_of_work() as uow:
        assert await uow.contacts.find(contact.id) is None


async def test_a_commit_under_way_is_seen_through_when_cancelled(database: Database) -> None:
    told: list[str] = []
    database.on_outbox(["t"], lambda: told.append("committed"))
    committing = asyncio.Event()

    async def use_case() -> None:
        async with database.unit_of_work() as uow:
            await uow.outbox.add("t", "k", {}, NOW)
            committing.set()

    for _ in range(20):  # wherever the cancellation falls: kept and told of, or neither
        committing.clear()
        told.clear()
        async with database.unit_of_work() as uow:
            await uow.outbox.purge(datetime(3000, 1, 1, tzinfo=UTC))
            for row in await uow.outbox.waiting(["t"]):
                await uow.outbox.handed([row.id], NOW)
            await uow.outbox.purge(datetime(3000, 1, 1, tzinfo=UTC))
        task = asyncio.ensure_future(use_case())
        await committing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with database.reading() as uow:
            kept = len(await uow.outbox.waiting(["t"]))
        assert kept == len(told)


async def test_readers_see_the_state_before_a_writer_commits_and_never_wait_for_it(database: Database) -> None:
    contact = a_contact()
    async with database.unit_of_work() as uow:
        await uow.contacts.add(contact)
        async with asyncio.timeout(20), database.reading() as other:
            assert await other.contacts.find(contact.id) is None
    async with database.reading() as other:
        assert await other.contacts.get(contact.id) == contact


async def test_writing_while_reading_is_refused(database: Database) -> None:
    with pytest.raises(StoreUnavailable, match=r"read-?only"):
        await _add(database.reading(), a_contact())


async def test_a_unit_of_work_inside_another_is_a_programming_error(database: Database) -> None:
    async with database.unit_of_work():
        with pytest.raises(RuntimeError, match="open already"):
            async with database.unit_of_work():
                raise AssertionError("never entered")


async def test_a_second_row_with_a_unique_key_is_a_duplicate(database: Database) -> None:
    contact = a_contact()
    async with database.unit_of_work() as uow:
        await uow.contacts.add(contact)
    with pytest.raises(Duplicate):
        async with database.unit_of_work() as uow:
            await uow.contacts.add(contact)


async def test_a_dangling_reference_is_refused(database: Database) -> None:
    with pytest.raises(Duplicate):
        async with database.unit_of_work() as uow:
            await uow.records.add(a_record(contact_id=ContactId("0" * 26)))


async def test_listeners_hear_of_committed_outbox_rows_only(database: Database) -> None:
    heard: list[int] = []
    database.on_outbox(["t", "u"], lambda: heard.append(1))
    async with database.unit_of_work() as uow:
        await uow.contacts.add(a_contact())
    assert heard == []
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what is tested
        async with database.unit_of_work() as uow:
            await uow.outbox.add("t", "k", {}, NOW)
            raise ZeroDivisionError
    assert heard == []
    async with database.unit_of_work() as uow:
        await uow.outbox.add("t", "k", {}, NOW)
        assert heard == []
    assert heard == [1]
    async with database.unit_of_work() as uow:
        await uow.outbox.add("another's", "k2", {}, NOW)
    assert heard == [1]


async def test_sqlite_keeps_what_it_was_told_to_keep(tmp_path: Path) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/a.sqlite", upgrade=True) as database:
        for engine in (database._writing, database._reading):
            async with engine.connect() as connection:
                settings = {
                    name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
                    for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
                }
            assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 200}


async def test_who_gives_up_waiting_for_another_programs_lock_does_not_wait_on(tmp_path: Path) -> None:
    """A caller's flow waits three seconds for what it asks; its caller would hear nothing for as long as SQLite waits."""
    loop = asyncio.get_running_loop()
    async with Database.open(f"sqlite:///{tmp_path}/a.sqlite", upgrade=True) as database:
        other = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        begun = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), database.unit_of_work() as uow:
                await uow.outbox.add("t", "k", {}, NOW)
        assert loop.time() - begun < BUSY_S / 2
        waits = asyncio.create_task(_left_in_outbox(database))
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
        await waits
        async with database.reading() as uow:
            assert await uow.outbox.waiting_count() == 1
        other.close()


async def _left_in_outbox(database: Database) -> None:
    async with database.unit_of_work() as uow:
        await uow.outbox.add("t", "k", {}, NOW)


@pytest.mark.postgres
@pytest.mark.parametrize("when", ["before", "within"])
async def test_a_postgres_that_hangs_is_away(
    postgres_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr("ctiserver.store.database._BUSY_S", 1.0)
    async with Database.open(postgres_cluster.create(f"hangs_{when}"), upgrade=True, readers=1) as database:
        async with database._writing.connect() as connection:
            backend: int = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()

        async def hangs() -> None:
            if when == "before":
                os.kill(backend, signal.SIGSTOP)
            async with database.unit_of_work() as uow:
                assert await uow.outbox.waiting_count() == 0
                os.kill(backend, signal.SIGSTOP)
                await uow.outbox.add("t", "k", {}, NOW)

        try:
            with pytest.raises(StoreUnavailable):
                await hangs()
            await _left_in_outbox(database)  # by a connection of its own
        finally:
            os.kill(backend, signal.SIGCONT)


async def test_a_number_that_is_too_long_is_cut(database: Database) -> None:
    made_up = "9" * 70
    entry = CallEntry(id=CallId("C" * 26), pbx=PbxName("main"), direction="inbound", ani=made_up, started_at=NOW)
    async with database.unit_of_work() as uow:
        await uow.calls.begin(entry)
        await uow.calls.save(replace(entry, dnis=made_up))
    async with database.reading() as uow:
        kept = await uow.calls.get(entry.id)
    assert (kept.ani, kept.dnis) == ("9" * 64, "9" * 64)


async def test_a_value_that_postgres_refuses_is_no_database_that_is_away(database: Database) -> None:
    contact = replace(a_contact(), name="a\0b")
    if database.dialect == "sqlite":
        await _add(database.unit_of_work(), contact)
    else:
        with pytest.raises(Unfit, match="refuses a value"):
            await _add(database.unit_of_work(), contact)


# The schema


async def test_migrations_make_exactly_the_tables(database: Database) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        # The indexes for the search of contacts: each database has its own kind, which no metadata can describe.
        own = {"include_name": lambda name, kind, _: "_windows" not in (name or "")}
        return compare_metadata(MigrationContext.configure(connection, opts=own), tables.metadata)

    async with database._writing.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_upgrading_twice_changes_nothing(database: Database) -> None:
    assert await database.upgrade() == (schema.head(), schema.head())
    assert await database.schema_version() == schema.head()


async def test_an_older_database_keeps_what_it_holds(database_url: str) -> None:
    def to_the_first(connection: sa.Connection) -> None:
        settings = schema.config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")

    async with Database.open(database_url, any_schema=True) as database:
        async with database._writing.begin() as connection:
            await connection.run_sync(to_the_first)
            await connection.execute(
                sa.insert(tables.outbox).values(id="A" * 26, topic="t", key="k", payload={"n": 1}, created_at=NOW)
            )
        with pytest.raises(UserFault, match=r"schema is 0001.*ctiserver db upgrade"):
            async with Database.open(database_url):
                raise AssertionError("never entered")
        assert await database.upgrade() == ("0001", schema.head())
        async with database.reading() as uow:
            (row,) = await uow.outbox.waiting(["t"], due_by=NOW)
    assert (row.payload, row.due_at) == ({"n": 1}, NOW)


async def test_agents_keep_what_points_to_them_when_they_get_a_pbx(database_url: str) -> None:
    """SQLite makes their table again; records and pops point into it."""

    def to_the_eighth(connection: sa.Connection) -> None:
        settings = schema.config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0008")

    async with Database.open(database_url, any_schema=True) as database:
        async with database._writing.begin() as connection:
            await connection.run_sync(to_the_eighth)
            await connection.exec_driver_sql(
                "INSERT INTO agents (id, name, extension, interface, skills, active, revision) "
                "VALUES ('mia', 'Mia', '101', 'PJSIP/agent1', '[\"repair\"]', true, 3)"
            )
            await connection.execute(
                sa.insert(tables.pops).values(
                    id="P" * 26, call_id="C" * 26, agent_id="mia", sent_at=NOW, reason=None, painted_at=None
                )
            )
        assert (await database.upgrade())[1] == schema.head()
        async with database.reading() as uow:
            agent = await uow.agents.get(AgentId("mia"))
        assert (agent.pbx, agent.interface, agent.skills, agent.revision) == ("", "PJSIP/agent1", ("repair",), 3)
        with pytest.raises(exc.IntegrityError):
            async with database._writing.begin() as connection:
                await connection.exec_driver_sql("DELETE FROM agents")


async def test_many_upgrade_an_empty_database_at_once(database_url: str) -> None:
    async def upgrade() -> None:
        async with Database.open(database_url, upgrade=True) as database:
            assert await database.schema_version() == schema.head()

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(upgrade())


async def test_an_empty_database_asks_for_the_upgrade(database_url: str) -> None:
    with pytest.raises(UserFault, match=r"schema is empty.*ctiserver db upgrade"):
        async with Database.open(database_url):
            raise AssertionError("never entered")


async def test_a_newer_schema_is_refused_and_left_alone(database: Database, database_url: str) -> None:
    async with database._writing.begin() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for upgrade in (False, True):
        with pytest.raises(UserFault, match="9999, which is newer"):
            async with Database.open(database_url, upgrade=upgrade):
                raise AssertionError("never entered")


# What bad input gets


@pytest.mark.parametrize("damage", ["no database", "cut short", "overwritten"])
async def test_a_broken_file_is_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "broken.sqlite"
    async with Database.open(f"sqlite:///{path}", upgrade=True):
        pass
    content = bytearray(path.read_bytes())
    if damage == "no database":
        content = bytearray(b"this is a letter to my mother\n" * 100)
    elif damage == "cut short":
        content = content[: len(content) // 2]
    else:
        content[4096:20480] = b"\xff" * 16384
    path.write_bytes(content)
    kept = tmp_path / "kept"
    shutil.copy(path, kept)
    with pytest.raises(UserFault, match="broken") as raised:
        async with Database.open(f"sqlite:///{path}", upgrade=True):
            raise AssertionError("never entered")
    assert "\n" not in str(raised.value)
    assert "database.url" in str(raised.value)
    assert path.read_bytes() == kept.read_bytes()


async def test_a_folder_where_no_file_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserFault, match="can't be opened"):
        async with Database.open(f"sqlite:///{tmp_path}/file/x.sqlite", upgrade=True):
            raise AssertionError("never entered")


async def test_a_file_that_another_program_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctiserver.store.database._BUSY_S", 0.1)
    path = tmp_path / "locked.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("CREATE TABLE t (x)")
    try:
        with pytest.raises(UserFault, match="locked by another program"):
            async with Database.open(f"sqlite:///{path}", upgrade=True):
                raise AssertionError("never entered")
    finally:
        other.close()


async def test_a_server_that_is_not_there_is_one_sentence_without_the_secret() -> None:
    with pytest.raises(UserFault, match="can't be used") as raised:
        async with Database.open("postgresql://somebody:hush@127.0.0.1:1/nowhere"):
            raise AssertionError("never entered")
    assert "hush" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.postgres
async def test_a_database_that_is_not_there(postgres_cluster: object) -> None:
    with pytest.raises(UserFault, match="nowhere"):
        async with Database.open(postgres_cluster.url("nowhere")):  # type: ignore[attr-defined]
            raise AssertionError("never entered")


@pytest.mark.parametrize("url", ["", "mysql://h/x", "sqlite://", "sqlite:///:memory:", "ctiserver.sqlite"])
def test_no_database_address(url: str) -> None:
    with pytest.raises(UserFault, match="Write sqlite:///"):
        parse_url(url)


async def test_a_unit_cancelled_at_its_first_statement_leaves_no_transaction_behind(tmp_path: Path) -> None:
    """BEGIN goes along with the first statement, so a cancellation there must still roll it back."""
    async with Database.open(f"sqlite:///{tmp_path}/one.sqlite", upgrade=True) as database:
        for pauses in range(6):

            async def work() -> None:
                async with database.unit_of_work() as uow:
                    await uow.contacts.add(a_contact())

            task = asyncio.create_task(work())
            for _ in range(pauses):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            async with (
                asyncio.timeout(10.0),
                Database.open(f"sqlite:///{tmp_path}/one.sqlite") as other,
                other.unit_of_work() as uow,  # the lock is free
            ):
                await uow.contacts.add(a_contact())


async def test_who_writes_again_and_again_lets_others_in(database: Database) -> None:
    over = asyncio.Event()
    turns = 0

    async def busy() -> None:
        nonlocal turns
        while not over.is_set():
            async with database.unit_of_work() as uow:
                await uow.executors.beat("busy", NOW)
            turns += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(busy())
        while turns < 20:  # noqa: ASYNC110 - it is the writers' turns that count
            await asyncio.sleep(0)
        before = turns
        async with database.unit_of_work() as uow:
            waited = turns - before  # on PostgreSQL others go on meanwhile
            await uow.executors.beat("other", NOW)
        over.set()
    assert waited <= 8, "everybody else once, and those who had begun"


async def test_an_error_of_the_database_tells_no_values(database: Database) -> None:
    """They go to the log, and one of them may be the hash of a password."""
    user = a_user("tech1", password_hash="$argon2id$secret")

    async def added_without_a_name() -> None:
        async with database.unit_of_work() as uow:
            nameless = {**rows.values(tables.users, user), "name": None}
            await uow.users._connection.execute(sa.insert(tables.users), nameless)

    with pytest.raises(Duplicate) as failure:
        await added_without_a_name()
    told = []
    error: BaseException | None = failure.value
    while error is not None:
        told.append(str(error))
        error = error.__cause__
    assert told
    assert "$argon2id$secret" not in "\n".join(told)
