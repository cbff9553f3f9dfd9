"""SQLite files: looked at in one instant, copied page by page while others write, and put back.

SQLite's online backup copies what the connection sees in its open read transaction; with the write-ahead log nobody who
writes waits for it. ``VACUUM INTO`` would be smaller, but begins a look of its own, later than that of the other file.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.store.keeping.manifest import DatabaseEntry

#: How long to wait for another program that writes.
_LOCK_S = 15.0
_VERSION_TABLES = {"main": ("alembic_version", "version_num"), "workflow": ("dbos_migrations", "version")}
_TABLES = """
    SELECT name FROM sqlite_master AS t WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
    AND sql NOT LIKE 'CREATE VIRTUAL%' AND NOT EXISTS (
      SELECT 1 FROM sqlite_master AS v WHERE v.sql LIKE 'CREATE VIRTUAL%' AND t.name GLOB v.name || '_*'
    ) ORDER BY name
"""


class SqliteSource:
    """One SQLite file to be backed up."""

    def __init__(self, path: Path, part: str) -> None:
        """``part`` is ``main`` or ``workflow``. Raises UserFault if there is no such file."""
        self.path = path
        self._part = part
        self._reader = connect(path)

    def close(self) -> None:
        self._reader.close()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Nobody else writes to it during the block. Raises UserFault if that can't be had in time."""
        with closing(connect(self.path)) as writer:
            begin(writer, "BEGIN IMMEDIATE", self.path)
            try:
                yield
            finally:
                writer.execute("ROLLBACK")

    def look(self) -> None:
        """What is saved is what the file holds now."""
        begin(self._reader, "BEGIN", self.path)
        self._reader.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def save(self, folder: Path) -> dict[str, DatabaseEntry]:
        """Copy it to ``PART.sqlite`` in ``folder``. Raises UserFault if the copy is not sound, OSError."""
        target = folder / f"{self._part}.sqlite"
        os.close(os.open(target, os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with closing(sqlite3.connect(target, isolation_level=None)) as copy:
                self._reader.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
                verdict = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise sqlite3.DatabaseError(verdict)
                return {self._part: _entry(copy, self._part)}
        except sqlite3.Error as error:
            raise UserFault(
                f"{self.path} can't be backed up ({error})",
                where="database.url" if self._part == "main" else "workflow.url",
                fix="Check it and the free space; a broken file must be put back from an earlier backup",
            ) from error


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that is there. Raises UserFault."""
    try:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_LOCK_S, isolation_level=None)
    except sqlite3.Error as error:
        raise UserFault(
            f"the database {path} can't be opened ({error})",
            fix="Check the path in the settings, and its rights; `ctiserver serve` makes a new one",
        ) from None


def begin(connection: sqlite3.Connection, statement: str, path: Path) -> None:
    """Begin a transaction. Raises UserFault for a file that is locked or none of SQLite's."""
    try:
        connection.execute(statement)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise UserFault(f"the database {path} can't be used ({error})", fix="End the program that locks it") from None


def check(folder: Path, part: str, entry: DatabaseEntry) -> None:
    """Compare a saved file with what the manifest says of it. Raises UserFault."""
    saved = folder / f"{part}.sqlite"
    try:
        with closing(sqlite3.connect(f"{saved.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            found = _entry(connection, part)
    except sqlite3.Error as error:
        raise UserFault(f"database/{saved.name} is not a whole database ({error})", where=str(folder.parent)) from None
    if found != entry:
        raise UserFault(f"database/{saved.name} has other rows than the manifest says", where=str(folder.parent))


def put_back(folder: Path, part: str, target: Path) -> None:
    """Copy a saved file to its new place. Raises OSError."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL, 0o600))
    shutil.copyfile(folder / f"{part}.sqlite", target)


def schema_version(connection: sqlite3.Connection, part: str) -> str:
    """The schema that a file has; empty if it has none."""
    table, column = _VERSION_TABLES[part]
    try:
        row = connection.execute(f"SELECT {column} FROM {table}").fetchone()  # noqa: S608 - names of ours
    except sqlite3.OperationalError:
        return ""
    return "" if row is None else str(row[0])


def _entry(connection: sqlite3.Connection, part: str) -> DatabaseEntry:
    names = [name for (name,) in connection.execute(_TABLES)]
    counts = {
        name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - a table's own name
        for name in names
    }
    return DatabaseEntry(kind="sqlite", schema_version=schema_version(connection, part), tables=counts)
