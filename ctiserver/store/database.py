"""The database: opened once, closed once, and asked for units of work in between."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from ctiserver.errors import UserFault
from ctiserver.private_files import keep_private
from ctiserver.store import schema, sqlite_abilities, sqlite_dialect
from ctiserver.store.faults import StoreUnavailable, translated
from ctiserver.store.unit_of_work import UnitOfWork

_SETTING = "database.url"
#: How long a unit of work waits for a free connection, and on PostgreSQL for each of its answers.
_BUSY_S = sqlite_dialect.BUSY_S
#: So many prepared statements each connection to SQLite keeps; it is about what the calls of a minute need.
_STATEMENTS = 64
#: From so many bytes on, all connections of this process together (DBOS's too), SQLite takes pages from its caches
#: instead of from the system. It limits caches alone: what must be had is had.
_SQLITE_HEAP = 4 * 2**20
#: Larger files (64 MiB at SQLite's page size) are not read through at start; SQLite tells of damage when it meets it.
_CHECKED_PAGES = 16_384

_open_unit: ContextVar[UnitOfWork | None] = ContextVar("_open_unit", default=None)

_LOOK_AGAIN_S = 0.05


class _Turns:
    """So many at a time, and who came first is first.

    A pool alone gives a connection to the task that asks in the moment that it is given back: tasks that
    write again and again (an engine with a backlog) would get it each time, and the others would wait without end.
    """

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises StoreUnavailable if none comes in time."""
        try:
            async with asyncio.timeout(_BUSY_S):
                await self._free.acquire()
        except TimeoutError:
            raise StoreUnavailable(f"the database was busy for {_BUSY_S:g} s") from None
        try:
            yield
        finally:
            self._free.release()


class Database:
    """Units of work on one database. Made by :meth:`open`."""

    def __init__(self, writing: AsyncEngine, reading: AsyncEngine, readers: int) -> None:
        self._writing = writing
        self._reading = reading
        self._listeners: list[tuple[frozenset[str], Callable[[], None]]] = []
        self._followed: frozenset[str] = frozenset()
        self._to_write = _Turns(1 if writing.dialect.name == "sqlite" else readers)
        self._to_read = _Turns(readers)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, upgrade: bool = False, any_schema: bool = False, readers: int = 4
    ) -> AsyncIterator[Database]:
        """Open ``sqlite:///file`` or ``postgresql://user:secret@host/name`` for the length of the block.

        With ``upgrade`` the schema is brought to the newest first; with ``any_schema`` an older one is let be, for
        those who only look at the schema or upgrade it themselves. ``readers`` is how many may read at once; on
        SQLite one writes at a time, on PostgreSQL as many as read.

        Raises UserFault: the file is broken or can't be opened, the SQLite here lacks what is needed, the server can't
        be reached, the schema is newer than this ctiserver, or (with neither) older.
        """
        parsed = parse_url(url)
        engines = (
            _sqlite_engines(parsed, readers) if parsed.get_backend_name() == "sqlite" else _postgres(parsed, readers)
        )
        database = cls(*engines, readers)
        try:
            await database._prepare(parsed, upgrade, any_schema)
            yield database
        finally:
            await database._reading.dispose()
            await database._writing.dispose()

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._writing.dialect.name

    def on_outbox(self, topics: Collection[str], listener: Callable[[], None]) -> None:
        """Call ``listener`` after every commit that left rows of these topics in the outbox; it must not wait."""
        self._listeners.append((frozenset(topics), listener))

    def follow_timelines(self, kinds: Collection[str]) -> None:
        """From now on each line of these kinds on a record's timeline is left in the outbox too, with its commit."""
        self._followed |= frozenset(kinds)

    @asynccontextmanager
    async def unit_of_work(self, *, brief: bool = False) -> AsyncIterator[UnitOfWork]:
        """One writing transaction: kept whole at a clean end of the block, gone whole otherwise.

        Nothing in the block may wait for a PBX, HTTP or a person, nor open another unit. ``brief`` promises that each
        of its statements finds a few rows by their keys: on SQLite these then run where they are asked for, since the
        way to the connection's thread and back takes longer than they do.

        Raises Conflict, Duplicate, StoreUnavailable.
        """
        outer = _open_unit.get()
        if outer is not None and outer.is_open:
            raise RuntimeError("a unit of work is open already; pass it on instead of opening another")
        with translated():
            async with self._to_write.turn(), _connected(self._writing) as connection:
                unit = UnitOfWork(connection, self._followed)
                token = _open_unit.set(unit)
                if self.dialect == "sqlite":
                    sqlite_dialect.set_brief(connection, brief)
                try:
                    await connection.begin()
                    yield unit
                    await _to_the_end(connection.commit())
                finally:
                    unit.is_open = False
                    _open_unit.reset(token)
                    if connection.in_transaction():
                        await _to_the_end(connection.rollback())
                    elif unit.outbox.added:
                        for topics, listener in self._listeners:
                            if not topics.isdisjoint(unit.outbox.added):
                                listener()

    @asynccontextmanager
    async def reading(self, *, brief: bool = False) -> AsyncIterator[UnitOfWork]:
        """One consistent look at the database; a write in it is refused by the database itself.

        ``brief`` as for :meth:`unit_of_work`. Raises StoreUnavailable.
        """
        with translated():
            async with self._to_read.turn(), _connected(self._reading) as connection, connection.begin():
                if self.dialect == "sqlite":
                    sqlite_dialect.set_brief(connection, brief)
                unit = UnitOfWork(connection)
                try:
                    yield unit
                finally:
                    unit.is_open = False

    async def schema_version(self) -> str | None:
        """The schema that the database has; None if it is empty."""
        with translated():
            async with _connected(self._reading) as connection, connection.begin():
                return await connection.run_sync(schema.current)

    async def upgrade(self) -> tuple[str | None, str]:
        """Bring the schema to the newest; returns the versions before and after."""
        with translated():
            async with _connected(self._writing) as connection, connection.begin():
                return await connection.run_sync(schema.upgrade)

    async def _prepare(self, url: sa.URL, upgrade: bool, any_schema: bool) -> None:
        """Raises UserFault for what can't be used."""
        until = time.monotonic() + _BUSY_S
        while True:
            try:
                return await self._look(url, upgrade, any_schema)
            except UserFault as fault:
                # Two that open a new file at once: SQLite does not wait while the other turns WAL on, it gives up.
                cause = fault.__cause__
                text = str(cause.orig if isinstance(cause, exc.DBAPIError) else cause)
                if "locked" not in text or time.monotonic() > until:
                    raise
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _look(self, url: sa.URL, upgrade: bool, any_schema: bool) -> None:
        try:
            if url.get_backend_name() == "sqlite":
                await self._check_file()
            if upgrade:
                async with self._writing.begin() as connection:
                    await connection.run_sync(schema.upgrade)
                return
            async with self._reading.connect() as connection, connection.begin():
                found = await connection.run_sync(schema.current)
        except (exc.DBAPIError, exc.TimeoutError, OSError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, exc.DBAPIError) else error
            raise _unusable(url, cause) from error
        if found != schema.head() and not any_schema:
            raise UserFault(
                f"the database's schema is {found or 'empty'}, this ctiserver needs {schema.head()}",
                where=_SETTING,
                fix="Run: ctiserver db upgrade",
            )

    async def _check_file(self) -> None:
        async with self._writing.connect() as connection:
            pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
            if pages > _CHECKED_PAGES:
                return
            verdict = (await connection.exec_driver_sql("PRAGMA quick_check(1)")).scalar_one()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)


def parse_url(url: str) -> sa.URL:
    """The URL with our driver in it.

    Raises UserFault if it is none of a SQLite file or a PostgreSQL server.
    """
    fix = "Write sqlite:///path/to/file.sqlite, or postgresql://user:secret@host:5432/name"
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError:
        raise UserFault("this is not a database address", where=_SETTING, fix=fix) from None
    backend = parsed.drivername.partition("+")[0]
    if backend == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise UserFault("a database in memory would lose every record at a restart", where=_SETTING, fix=fix)
        return parsed.set(drivername=sqlite_dialect.DRIVER)
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+asyncpg")
    raise UserFault(f"{backend} is not a database that ctiserver can use", where=_SETTING, fix=fix)


def _unusable(url: sa.URL, cause: BaseException | None) -> UserFault:
    if url.get_backend_name() == "sqlite":
        text = " ".join(str(cause).split())
        if "not a database" in text or "malformed" in text or "corrupt" in text or text.startswith("***"):
            return UserFault(
                f"{url.database} is broken or not a SQLite database ({text})",
                where=_SETTING,
                fix="Put back a backup, or move the file away to begin with an empty one; nothing was changed in it",
            )
        if "locked" in text:
            return UserFault(
                f"{url.database} is locked by another program", where=_SETTING, fix="End that program, then try again"
            )
        return UserFault(
            f"{url.database} can't be opened ({text})", where=_SETTING, fix="Check the path, its rights and free space"
        )
    shown = url.set(drivername="postgresql").render_as_string(hide_password=True)
    return UserFault(
        f"the PostgreSQL database at {shown} can't be used ({cause})",
        where=_SETTING,
        fix="Check that it runs, and the host, port, name, user and secret",
    )


def _sqlite_engines(url: sa.URL, readers: int) -> tuple[AsyncEngine, AsyncEngine]:
    sqlite_abilities.refuse_unable(_SETTING)
    path = Path(url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name not in ("", ":memory:"):
            keep_private(path)
        # Without a thread first: aiosqlite leaves one behind where it can't open, and that ends with a traceback.
        sqlite3.connect(path).close()
    except (OSError, sqlite3.Error) as error:
        raise _unusable(url, error) from error

    def engine(size: int, begin: str, pragmas: tuple[str, ...]) -> AsyncEngine:
        made = create_async_engine(
            url,
            hide_parameters=True,  # an error's text goes to the log, and a row's values may be a password's hash
            poolclass=AsyncAdaptedQueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=_BUSY_S,
            pool_use_lifo=True,  # the caches of the connection that was used last hold what is wanted next
            # Two threads use a connection, by turns: its own, and for brief units of work the event loop's.
            connect_args={
                "timeout": sqlite_dialect.LOCK_TRY_S,
                "check_same_thread": False,
                "cached_statements": _STATEMENTS,
            },
            pool_reset_on_return=None,  # a unit of work ends its transaction itself
        )

        @event.listens_for(made.sync_engine, "connect")
        def connected(connection: Any, _record: object) -> None:
            # The driver's own way of beginning transactions is turned off; BEGIN is ours, below.
            connection.isolation_level = None
            cursor = connection.cursor()
            for pragma in (
                f"busy_timeout={round(sqlite_dialect.LOCK_TRY_S * 1000)}",
                "journal_mode=WAL",
                "synchronous=FULL",
                "foreign_keys=ON",
                *pragmas,
            ):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(made.sync_engine, "begin")
        def begun(connection: sa.Connection) -> None:
            # A deferred transaction that reads and then writes can't be made safe by waiting: SQLite must refuse
            # its write when another wrote in between. So a writer takes the lock first.
            adapted: Any = connection.connection.dbapi_connection
            adapted.begin_with = begin

        return made

    # SQLite's own page caches, in KiB; what does not fit is the system's to cache. At SQLite's 2 MiB, and with Python's
    # 128 prepared statements, each connection would go on growing for hours, and the server would seem to leak; and so
    # it would by the caches of connections that are seldom wanted, were there no limit for all of them together.
    together = f"soft_heap_limit={_SQLITE_HEAP}"
    writing, reading = (together, "cache_size=-512"), (together, "query_only=ON", "cache_size=-256")
    return engine(1, "BEGIN IMMEDIATE", writing), engine(readers, "BEGIN", reading)


def _postgres(url: sa.URL, readers: int) -> tuple[AsyncEngine, AsyncEngine]:
    def engine(**execution_options: Any) -> AsyncEngine:
        made = create_async_engine(
            url,
            hide_parameters=True,  # an error's text goes to the log, and a row's values may be a password's hash
            pool_size=readers,
            max_overflow=0,
            pool_timeout=_BUSY_S,
            pool_pre_ping=True,
            connect_args={
                "timeout": _BUSY_S,
                "command_timeout": _BUSY_S,  # a server that hangs tells nothing itself
                "server_settings": {
                    "statement_timeout": str(round(_BUSY_S * 1000)),
                    # A unit of work waits for nothing but the database; one that does belongs to a server that was
                    # stopped or cut off, and others want the rows that it holds.
                    "idle_in_transaction_session_timeout": "5000",
                },
            },
            execution_options=execution_options,
        )

        @event.listens_for(made.sync_engine, "handle_error")
        def broken(context: sa.engine.ExceptionContext) -> None:
            # The driver can't go on with this connection (the server went away in the middle of an operation, say), and
            # SQLAlchemy would give it to the next one who asks, who could not either.
            if isinstance(context.sqlalchemy_exception, exc.InterfaceError) or isinstance(
                context.original_exception, TimeoutError
            ):
                context.is_disconnect = True

        return made

    return engine(), engine(isolation_level="REPEATABLE READ", postgresql_readonly=True)


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    try:
        connection = await engine.connect()
    except OSError as error:  # the server is not there, or did not answer in time
        raise StoreUnavailable(f"the database can't be reached: {error}") from error
    try:
        yield connection
    finally:
        await connection.close()


async def _to_the_end(work: Awaitable[None]) -> None:
    """See a commit or rollback through even when cancelled, since half of one can't be handed back to the pool."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancelled = True
        except Exception:  # noqa: BLE001 - the task keeps it, and result() raises it below
            break
    task.result()
    if cancelled:
        raise asyncio.CancelledError
