"""SQLite through aiosqlite with one trip to its thread a statement, where SQLAlchemy's own adapter makes four.

The adapter asks the connection's thread for a cursor, for the execution, for the rows and for the cursor's end, one
after the other; each is a hand-over between threads that costs more than the statement. An advance of a process is
two dozen statements. A transaction's BEGIN goes along with its first statement, and one without statements never
begins. Nothing else is changed; server-side cursors are SQLAlchemy's.

In a brief unit of work a statement makes no trip at all: once the transaction has begun, nothing that a statement waits
for is left but the disk cache. What may wait, the beginning (for another writer) and the commit (for the disk), goes to
the thread.

Another program's lock is waited for here and not in SQLite: its thread can't be called off, and a task that
gave up waiting would wait on for it to end.
"""

from __future__ import annotations

import asyncio
import collections
import sqlite3
import time
from contextlib import suppress
from typing import Any

import aiosqlite
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
    SQLiteDialect_aiosqlite,
)
from sqlalchemy.ext.asyncio import AsyncConnection

DRIVER = "sqlite+ctiserver"
#: How long a writer of one process waits for a writer of another.
BUSY_S = 15.0
#: How long of it SQLite itself waits at a time, and how long after that is tried again.
LOCK_TRY_S = 0.2
_AGAIN_AFTER_S = 0.05


class _Outcome:
    """What is left of a cursor after its one trip."""

    def __init__(self, cursor: sqlite3.Cursor | None = None) -> None:
        self.description = None if cursor is None else cursor.description
        self.rowcount = -1 if cursor is None else cursor.rowcount
        self.lastrowid = None if cursor is None else cursor.lastrowid
        self.arraysize = 1

    async def close(self) -> None:
        """It was closed on its trip."""


def _execute(
    connection: sqlite3.Connection, begin: str, operation: str, parameters: Any, many: bool
) -> tuple[_Outcome, list[Any]]:
    """On the connection's thread: all that a statement needs."""
    cursor = connection.cursor()
    try:
        if begin:
            cursor.execute(begin)
        if many:
            cursor.executemany(operation, parameters)
        else:
            cursor.execute(operation, () if parameters is None else parameters)
        rows = cursor.fetchall() if cursor.description else []
        return _Outcome(cursor), rows
    finally:
        cursor.close()


def _locked(error: sqlite3.Error) -> bool:
    """Is it another program's lock that did not let the transaction begin?"""
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class OneTripCursor(AsyncAdapt_aiosqlite_cursor):
    """A cursor whose every execution is one trip."""

    __slots__ = ()

    _cursor: Any
    _adapt_connection: OneTripConnection

    def _make_new_cursor(self, connection: Any) -> Any:
        return _Outcome()

    def _aenter_cursor(self, cursor: Any) -> Any:
        return cursor

    async def _execute_async(self, operation: Any, parameters: Any) -> Any:
        await self._trip(operation, parameters, many=False)

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> Any:
        await self._trip(operation, seq_of_parameters, many=True)

    async def _trip(self, operation: Any, parameters: Any, *, many: bool) -> None:
        connection: Any = self._connection
        adapted = self._adapt_connection
        async with adapted._execute_mutex:
            begin, adapted.begin_with = adapted.begin_with, ""
            if adapted.brief and not begin:
                self._cursor, rows = _execute(connection._conn, "", operation, parameters, many)
                self._rows = collections.deque(rows)
                return
            until = time.monotonic() + BUSY_S
            while True:
                try:
                    self._cursor, rows = await connection._execute(
                        _execute, connection._conn, begin, operation, parameters, many
                    )
                    break
                except sqlite3.Error as error:
                    if connection.in_transaction:
                        raise
                    if not begin or not _locked(error) or time.monotonic() > until:
                        adapted.begin_with = begin  # another writer did not let it begin
                        raise
                await asyncio.sleep(_AGAIN_AFTER_S)
            self._rows = collections.deque(rows)


class OneTripConnection(AsyncAdapt_aiosqlite_connection):
    """A connection whose cursors make one trip."""

    __slots__ = ("begin_with", "brief")

    _cursor_cls = OneTripCursor

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self.begin_with = ""  #: the statement that begins the transaction, until the first statement in it has run
        self.brief = False  #: whether statements of the transaction, once it has begun, run in the thread that asks

    def commit(self) -> None:
        if self.begin_with:
            self.begin_with = ""
        else:
            super().commit()

    def rollback(self) -> None:
        if self.begin_with:
            self.begin_with = ""
        else:
            super().rollback()


def set_brief(connection: AsyncConnection, brief: bool) -> None:
    """Say of a connection that was just given out whether the unit of work that has it is a brief one."""
    held = connection.sync_connection
    assert held is not None
    adapted: Any = held.connection.dbapi_connection
    adapted.brief = brief


async def _opened(*arguments: Any, **options: Any) -> aiosqlite.Connection:
    """A connection that is open. Anyone who is called off meanwhile leaves none behind, as with aiosqlite alone."""
    connection = aiosqlite.connect(*arguments, **options)
    connection._thread.daemon = True  # as SQLAlchemy has it: a connection never keeps the process from its end

    async def opened() -> aiosqlite.Connection:
        return await connection

    opening = asyncio.ensure_future(opened())
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(sqlite3.Error):
            await (await opening).close()
        raise


class _Dbapi(AsyncAdapt_aiosqlite_dbapi):
    def connect(self, *arguments: Any, **options: Any) -> OneTripConnection:
        adapted = super().connect(*arguments, async_creator_fn=_opened, **options)
        return OneTripConnection(self, adapted._connection)


class OneTripDialect(SQLiteDialect_aiosqlite):
    """SQLAlchemy's dialect for aiosqlite, with these connections."""

    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> _Dbapi:
        return _Dbapi(__import__("aiosqlite"), __import__("sqlite3"))


registry.register(DRIVER.replace("+", "."), __name__, OneTripDialect.__name__)
