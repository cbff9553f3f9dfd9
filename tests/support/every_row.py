"""Every row of a server's databases, read by SQL of the test's own, in a form in which two databases can be compared."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from ctiserver.store.tables import metadata

_NOT_ROWS = ("dbos_migrations", "event_dispatch_kv")
Rows = dict[str, list[str]]


def every_row(url: str) -> Rows:
    """The rows of each of the server's tables, as sorted lines of JSON."""
    with _engine(url).connect() as connection:
        return {table.name: _lines(connection.execute(sa.select(table))) for table in metadata.sorted_tables}


def every_workflow_row(url: str) -> Rows:
    """The rows of each of the workflow engine's tables, but for the version of their schema."""
    schema = None if url.startswith("sqlite") else "dbos"  # that has tables which SQLite has not
    with _engine(url).connect() as connection:
        found = {}
        for name in sa.inspect(connection).get_table_names(schema=schema):
            table = sa.Table(name, sa.MetaData(schema=schema), autoload_with=connection, resolve_fks=False)
            if name not in _NOT_ROWS:
                columns = sorted(table.columns, key=lambda one: one.name)
                found[name] = _lines(connection.execute(sa.select(*map(_loose, columns))))
        return found


def _loose(column: sa.Column[Any]) -> Any:
    return sa.type_coerce(column, sa.JSON()) if isinstance(column.type, JSONB) else column


def _lines(result: sa.CursorResult[Any]) -> list[str]:
    return sorted(
        json.dumps({key: _said(row[key]) for key in sorted(row)}, sort_keys=True)
        for row in map(dict, result.mappings())
    )


def _said(value: Any) -> Any:
    match value:
        case None | "null":
            return None  # SQLite keeps JSON's null as text
        case str():
            return value
        case bool() | int() | float():
            return float(value) + 0.0  # SQLite has no booleans, JSONB writes 1e16 out and knows no -0.0
        case dict():
            return {key: _said(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_said(inner) for inner in value]
        case _:
            return str(value)


def _engine(url: str) -> sa.Engine:
    parsed = sa.make_url(url)
    if url.startswith("postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    return sa.create_engine(parsed, poolclass=sa.NullPool)
