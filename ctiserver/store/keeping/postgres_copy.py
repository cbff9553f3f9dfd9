"""PostgreSQL: every table copied in one REPEATABLE READ transaction, and put back in one transaction.

Not by pg_dump: it is often not installed where the server runs, it refuses a server newer than itself, and its file
tells neither its rows nor their number. COPY needs the driver that we have; the schema is made by our migrations.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

from ctiserver.errors import UserFault
from ctiserver.store import schema
from ctiserver.store.keeping.manifest import DatabaseEntry

WORKFLOW_SCHEMA = "dbos"
_VERSIONS = {"main": ("alembic_version", "version_num"), "workflow": ("dbos_migrations", "version")}
_CONNECT_S = 15
_LOCK = "15s"
_COLUMNS = """
    SELECT c.relname, a.attname FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = %s ORDER BY c.relname, a.attnum
"""
_SERIALS = """
    SELECT c.relname, a.attname, pg_get_serial_sequence(format('%%I.%%I', n.nspname, c.relname), a.attname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind = 'r' AND n.nspname = %s
      AND pg_get_serial_sequence(format('%%I.%%I', n.nspname, c.relname), a.attname) IS NOT NULL
"""


class PostgresSource:
    """One PostgreSQL database to be backed up: the server's tables, the workflow engine's, or both."""

    def __init__(self, url: str, parts: Sequence[str]) -> None:
        """``parts`` are among ``main`` and ``workflow``. Raises UserFault if it can't be reached."""
        self._url = url
        self._parts = tuple(parts)
        self._connection = connect(url)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Nothing is noted as handed on to the workflow engine during the block. Raises UserFault."""
        with connect(self._url) as holder:
            try:
                holder.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(_LOCK))
                holder.execute("LOCK TABLE outbox IN SHARE MODE")
            except psycopg.Error as error:
                raise unusable(self._url, error) from None
            yield
            holder.rollback()

    def look(self) -> None:
        """What is saved is what the database holds now."""
        self._connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._connection.commit()
        self._connection.execute("SET idle_in_transaction_session_timeout = 0")
        self._connection.execute("SELECT 1")

    def save(self, folder: Path) -> dict[str, DatabaseEntry]:
        """Write ``PART/TABLE.copy.gz`` below ``folder``. Raises UserFault, OSError."""
        try:
            return {
                part: self._save_part(folder, part)
                for part in self._parts
                if part == "main" or version(self._connection, part)  # no workflow tables: the server never ran
            }
        except psycopg.Error as error:
            raise unusable(self._url, error) from error

    def _save_part(self, folder: Path, part: str) -> DatabaseEntry:
        (folder / part).mkdir(mode=0o700)
        namespace = namespace_of(self._connection, part)
        counts = {}
        for table, columns in tables(self._connection, namespace).items():
            handle = os.open(folder / part / f"{table}.copy.gz", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0) as packed:
                cursor = self._connection.cursor()
                statement = sql.SQL("COPY {} ({}) TO STDOUT").format(*_named(namespace, table, columns))
                packed.write(("\t".join(columns) + "\n").encode())
                with cursor.copy(statement) as rows:
                    for chunk in rows:
                        packed.write(chunk)
                counts[table] = cursor.rowcount
        return DatabaseEntry(kind="postgresql", schema_version=version(self._connection, part), tables=counts)


class PostgresTarget:
    """An empty PostgreSQL database that is filled in one transaction: all of it or nothing."""

    def __init__(self, connection: sa.Connection) -> None:
        """``connection`` is within the transaction that everything is done in."""
        self.connection = connection
        driver: Any = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        self.driver = driver

    @property
    def namespace(self) -> str:
        """The schema (PostgreSQL's word) of the server's own tables."""
        return namespace_of(self.driver, "main")

    @classmethod
    @contextmanager
    def open(cls, url: str) -> Iterator[PostgresTarget]:
        """Commits at a clean end of the block. Raises UserFault if the database can't be used."""
        engine = sa.create_engine(
            sa.make_url(url).set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": _CONNECT_S}
        )
        try:
            with engine.begin() as connection:
                yield cls(connection)
        except (sa.exc.DBAPIError, psycopg.Error) as error:
            cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            raise unusable(url, cause or error) from error
        finally:
            engine.dispose()

    def make_schema(self, revision: str) -> None:
        """Make the server's tables, with the schema of that revision."""
        schema.make(self.connection, revision)

    def put_back(self, folder: Path, part: str, entry: DatabaseEntry) -> list[str]:
        """Fill a part's tables with what was saved; returns the tables that are not ctiserver's, left out.

        Raises UserFault if the rows are other or others than the manifest says.
        """
        namespace = namespace_of(self.driver, part)
        present = tables(self.driver, namespace)
        version_table = _VERSIONS[part][0]
        for table in ordered(self.connection, namespace):
            if table in entry.tables and table != version_table:
                count = self._fill(folder / part / f"{table}.copy.gz", namespace, table)
                if count != entry.tables[table]:
                    raise UserFault(f"table {table} has {count} rows, and the manifest says {entry.tables[table]}")
        self.set_serials(namespace)
        return sorted(set(entry.tables) - set(present))

    def set_serials(self, namespace: str) -> None:
        """Let every counter of the database go on after the highest number that is there."""
        for table, column, sequence in self.driver.execute(_SERIALS, [namespace]).fetchall():
            self.driver.execute(
                sql.SQL("SELECT setval({}::regclass, coalesce(max({}), 0) + 1, false) FROM {}").format(
                    sql.Literal(sequence), sql.Identifier(column), sql.Identifier(namespace, table)
                )
            )

    def _fill(self, path: Path, namespace: str, table: str) -> int:
        cursor = self.driver.cursor()
        with gzip.open(path, "rb") as packed:
            columns = packed.readline().decode().rstrip("\n").split("\t")
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(*_named(namespace, table, columns))
            with cursor.copy(statement) as rows:
                while chunk := packed.read(1 << 16):
                    rows.write(chunk)
        return cursor.rowcount


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection to a PostgreSQL database. Raises UserFault."""
    try:
        plain = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(plain, connect_timeout=_CONNECT_S)
    except psycopg.Error as error:
        raise unusable(url, error) from None


def tables(connection: psycopg.Connection[Any], namespace: str) -> dict[str, list[str]]:
    """The columns of every table of a schema."""
    found: dict[str, list[str]] = {}
    for table, column in connection.execute(_COLUMNS, [namespace]).fetchall():
        found.setdefault(table, []).append(column)
    return found


def occupied(connection: psycopg.Connection[Any]) -> str | None:
    """What already is there, as words; None if the database is empty, or holds empty workflow tables alone."""
    own = namespace_of(connection, "main")
    present = set(tables(connection, own))
    if present:
        return f"has tables ({', '.join(sorted(present)[:3])}{' …' if len(present) > 3 else ''})"
    for table in tables(connection, WORKFLOW_SCHEMA):
        if table == _VERSIONS["workflow"][0]:
            continue
        found = connection.execute(
            sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(WORKFLOW_SCHEMA, table))
        ).fetchone()
        if found:
            return f"holds workflows ({WORKFLOW_SCHEMA}.{table})"
    return None


def ordered(connection: sa.Connection, namespace: str) -> list[str]:
    """The tables of a schema so that none refers to a later one."""
    inspector = sa.inspect(connection)
    return [name for name, _ in inspector.get_sorted_table_and_fkc_names(schema=namespace) if name is not None]


def namespace_of(connection: psycopg.Connection[Any], part: str) -> str:
    """The schema (PostgreSQL's word) that a part's tables are in."""
    if part == "workflow":
        return WORKFLOW_SCHEMA
    row = connection.execute("SELECT current_schema()").fetchone()
    return str(row[0]) if row and row[0] else "public"


def version(connection: psycopg.Connection[Any], part: str) -> str:
    """Which schema a part has; empty if it has none."""
    table, column = _VERSIONS[part]
    namespace = namespace_of(connection, part)
    if table not in tables(connection, namespace):
        return ""
    row = connection.execute(
        sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), sql.Identifier(namespace, table))
    ).fetchone()
    return str(row[0]) if row else ""


def unusable(url: str, error: BaseException) -> UserFault:
    """What to say of a PostgreSQL database that can't be used."""
    shown = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=True)
    return UserFault(
        f"the PostgreSQL database at {shown} can't be used ({' '.join(str(error).split())})",
        fix="Check that it runs, and the host, port, name, user and secret; nothing was changed",
    )


def _named(namespace: str, table: str, columns: Sequence[str]) -> tuple[sql.Composable, sql.Composable]:
    return sql.Identifier(namespace, table), sql.SQL(", ").join(map(sql.Identifier, columns))
