"""Moving from SQLite to PostgreSQL: every row of both databases, compared, in one transaction or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from ctiserver.errors import UserFault
from ctiserver.store import schema, tables
from ctiserver.store.keeping.postgres_copy import WORKFLOW_SCHEMA, PostgresTarget, connect, occupied, ordered
from ctiserver.store.keeping.restore import MakeWorkflowTables
from ctiserver.store.keeping.sqlite_copy import SqliteSource, schema_version
from ctiserver.store.keeping.sqlite_copy import connect as connect_sqlite

_AT_ONCE = 1_000
#: Each side's own: which migrations made its tables.
_NOT_MOVED = "dbos_migrations"


@dataclass(frozen=True, slots=True)
class TableMoved:
    """A table, how many rows it has, and a digest of their content that does not depend on their order."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Every table that is in PostgreSQL now."""

    tables: list[TableMoved]
    before: bool  #: an earlier run had moved them; this one only compared


@dataclass(frozen=True, slots=True)
class _Pair:
    """A table on both sides."""

    source: sa.Connection
    read: sa.Table  #: as SQLite has it
    write: sa.Table  #: as PostgreSQL has it


def move(main: Path, workflow: Path | None, url: str, make_workflow_tables: MakeWorkflowTables) -> Moved:
    """Copy everything from the SQLite files into the empty PostgreSQL database at ``url``, and compare each row.

    The files can't be written to meanwhile, and are left as they are.

    Raises UserFault: the schema of the file is not the newest, the database is not empty, PostgreSQL can't keep a row.
    """
    with closing(connect_sqlite(main)) as looking:
        found = schema_version(looking, "main")
    if found != schema.head():
        raise UserFault(
            f"the schema of {main} is {found or 'empty'}, and this ctiserver needs {schema.head()}",
            fix="Run: ctiserver db upgrade",
        )
    if workflow is not None:
        make_workflow_tables(f"sqlite:///{workflow}")  # an older file gets the tables that PostgreSQL will have
    with ExitStack() as stack:
        sources = {}
        for part, path in (("main", main), ("workflow", workflow)):
            if path is not None:
                file = SqliteSource(path, part)
                stack.callback(file.close)
                stack.enter_context(file.frozen())
                sources[part] = stack.enter_context(_reading(path))
        with connect(url) as connection:
            in_the_way = occupied(connection)
        if in_the_way is None and workflow is not None:
            make_workflow_tables(url)
        with PostgresTarget.open(url) as target:
            if in_the_way is None:
                target.make_schema(schema.head())
            try:
                pairs = list(_pairs(sources, target.connection))
                if in_the_way is None:
                    for pair in pairs:
                        _copy(pair, target.connection)
                    target.set_serials(target.namespace)
                    target.set_serials(WORKFLOW_SCHEMA)
                return Moved([_compared(pair, target.connection) for pair in pairs], in_the_way is not None)
            except (_Differs, sa.exc.ProgrammingError, sa.exc.NoSuchTableError) as error:
                if in_the_way is None:
                    raise
                raise UserFault(
                    f"the database is not empty: it {in_the_way}", where="--to", fix="Name an empty one"
                ) from error


class _Differs(UserFault):
    """What PostgreSQL has is not what SQLite has."""


def _pairs(sources: dict[str, sa.Connection], target: sa.Connection) -> Iterator[_Pair]:
    for table in tables.metadata.sorted_tables:
        yield _Pair(sources["main"], table, table)
    if "workflow" not in sources:
        return
    source = sources["workflow"]
    inspector = sa.inspect(source)
    order = ordered(target, WORKFLOW_SCHEMA)  # it has some that SQLite has not: of older versions of the library
    there = {name: [column["name"] for column in inspector.get_columns(name)] for name in inspector.get_table_names()}
    for name, columns in sorted(there.items(), key=lambda one: order.index(one[0]) if one[0] in order else -1):
        if name == _NOT_MOVED:
            continue
        write = sa.Table(name, sa.MetaData(schema=WORKFLOW_SCHEMA), autoload_with=target, resolve_fks=False)
        for column in write.columns:
            if isinstance(column.type, JSONB):
                column.type = JSONB(none_as_null=True)
        missing = set(columns) - {column.name for column in write.columns}
        if missing:
            raise UserFault(
                f"PostgreSQL's workflow table {name} lacks {', '.join(sorted(missing))}, which SQLite's has",
                fix="This is a fault of ctiserver with this version of the workflow library: please report it",
            )
        read = sa.Table(name, sa.MetaData(), *(sa.Column(one, _generic(write.c[one].type)) for one in columns))
        yield _Pair(source, read, write)


def _generic(kind: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    return _WrittenJson() if isinstance(kind, JSONB) else kind.as_generic()


class _WrittenJson(sa.TypeDecorator[Any]):
    """JSON that SQLite keeps as text, where JSON's null is not SQL's."""

    impl = sa.Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        if value is None:
            return None
        read = json.loads(value)
        return sa.JSON.NULL if read is None else read


def _copy(pair: _Pair, target: sa.Connection) -> None:
    rows = pair.source.execution_options(yield_per=_AT_ONCE).execute(sa.select(pair.read))
    for some in rows.mappings().partitions(_AT_ONCE):
        items = [dict(row) for row in some]
        try:
            with target.begin_nested():
                target.execute(sa.insert(pair.write), items)
        except (sa.exc.DataError, sa.exc.IntegrityError, sa.exc.StatementError, ValueError):
            _find_refused(pair.write, items, target)
            raise


def _find_refused(table: sa.Table, items: Iterable[dict[str, Any]], target: sa.Connection) -> None:
    """Raises UserFault for the first row that PostgreSQL does not take."""
    keys = [column.name for column in table.primary_key.columns]
    for item in items:
        try:
            with target.begin_nested():
                target.execute(sa.insert(table), [item])
        except (sa.exc.StatementError, ValueError) as error:
            cause = getattr(error, "orig", None) or error
            raise UserFault(
                f"PostgreSQL can't keep a row of {table.name} ({', '.join(f'{key} {item[key]}' for key in keys)}): "
                f"{' '.join(str(cause).split())}",
                fix="Change that row in SQLite, then move again; nothing was moved",
            ) from error


def _compared(pair: _Pair, target: sa.Connection) -> TableMoved:
    names = sorted(column.name for column in pair.read.columns)
    had, has = _summed(pair.source, pair.read, names), _summed(target, pair.write, names)
    if had != has:
        raise _Differs(
            f"table {has.name} has {has.rows} rows in PostgreSQL and {had.rows} in SQLite, or other content",
            fix="Nothing was moved; this is a fault of ctiserver: please report it",
        )
    return has


def _summed(connection: sa.Connection, table: sa.Table, names: list[str]) -> TableMoved:
    """The digest is the sum of the SHA-256 of every row: the same for the same rows in any order."""
    count = total = 0
    statement = sa.select(*(table.c[name] for name in names))
    for row in connection.execution_options(yield_per=_AT_ONCE).execute(statement):
        text = json.dumps([_plain(value) for value in row], ensure_ascii=True, sort_keys=True)
        total += int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
        count += 1
    return TableMoved(table.name, count, f"{total % (1 << 256):064x}")


def _plain(value: Any) -> Any:
    """A value as JSON that both databases agree on."""
    match value:
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case sa.JSON.NULL:
            return None  # PostgreSQL's driver does not tell one null from the other
        case float() if value.is_integer():
            return int(value)  # JSONB writes 1e16 out
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value


@contextmanager
def _reading(path: Path) -> Iterator[sa.Connection]:
    engine = sa.create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
