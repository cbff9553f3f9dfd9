"""Between rows and the frozen dataclasses of the model: their fields are the table's columns by name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.store.faults import Conflict

T = TypeVar("T")


def values(table: sa.Table, item: object) -> dict[str, Any]:
    """The columns of ``table`` that ``item`` has fields for."""
    return {f.name: getattr(item, f.name) for f in fields(item) if f.name in table.c}  # type: ignore[arg-type]


def build(kind: type[T], row: sa.Row[Any], **more: Any) -> T:
    """The dataclass that a whole row stands for; ``more`` are the fields that the row lacks."""
    return kind(**row._mapping, **more)


def insert_or_leave(connection: AsyncConnection, table: sa.Table, **columns: Any) -> sa.Insert:
    """INSERT that leaves what stands there under the same key; its rowcount says whether it inserted."""
    statement: sa.Insert = _insert(connection, table).values(**columns).on_conflict_do_nothing()
    return statement


def insert_or_replace(connection: AsyncConnection, table: sa.Table, **columns: Any) -> sa.Insert:
    """INSERT, or UPDATE of the row with the same primary key."""
    keys = [column.name for column in table.primary_key]
    rest = {name: value for name, value in columns.items() if name not in keys}
    statement: sa.Insert = _insert(connection, table).values(**columns)
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)  # type: ignore[attr-defined, no-any-return]


async def count_up(connection: AsyncConnection, table: sa.Table, key: str) -> int:
    """One more in the counter ``key``, which begins at 1; returns the new value."""
    statement = (
        _insert(connection, table)
        .values(name=key, value=1)
        .on_conflict_do_update(index_elements=["name"], set_={"value": table.c.value + 1})
        .returning(table.c.value)
    )
    value: int = (await connection.execute(statement)).scalar_one()
    return value


async def update_checked(connection: AsyncConnection, table: sa.Table, item: Any) -> None:
    """Write ``item`` over its row if that still has the revision that ``item`` was read with.

    Raises Conflict if it does not, or is gone.
    """
    columns = values(table, item)
    key, revision = columns.pop("id"), columns.pop("revision")
    done = await connection.execute(
        sa.update(table).where(table.c.id == key, table.c.revision == revision).values(**columns, revision=revision + 1)
    )
    if done.rowcount != 1:
        raise Conflict(f"{table.name} {key} is no longer at revision {revision}")


def _insert(connection: AsyncConnection, table: sa.Table) -> Any:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
