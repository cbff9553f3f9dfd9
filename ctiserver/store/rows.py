"""Between rows and the frozen dataclasses of the model: their fields are the table's columns by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.store.faults import Conflict

T = TypeVar("T")


def values(table: sa.Table, item: object) -> dict[str, Any]:
    """The columns of ``table`` that ``item`` has fields for."""
    kind: Any = type(item)
    return {name: getattr(item, name) for name in _shared(table, kind)}


@cache
def _shared(table: sa.Table, kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name in table.c)


def build(kind: type[T], row: sa.Row[Any], **more: Any) -> T:
    """The dataclass that a whole row stands for; ``more`` are the fields that the row lacks."""
    return kind(**row._mapping, **more)


async def insert(connection: AsyncConnection, table: sa.Table, item: object) -> None:
    """INSERT a whole item."""
    await connection.execute(_insert(table), values(table, item))


async def insert_all(connection: AsyncConnection, table: sa.Table, items: Sequence[object]) -> None:
    """INSERT of several whole items in one go."""
    if items:
        await connection.execute(_insert(table), [values(table, item) for item in items])


async def insert_or_leave(connection: AsyncConnection, table: sa.Table, columns: dict[str, Any]) -> bool:
    """INSERT that leaves what stands there under the same key; whether it inserted."""
    done = await connection.execute(_insert_or_leave(table, connection.dialect.name), columns)
    return done.rowcount == 1


async def insert_all_or_leave(connection: AsyncConnection, table: sa.Table, many: list[dict[str, Any]]) -> None:
    """INSERT of several in one go; each leaves what stands there under the same key."""
    if many:
        await connection.execute(_insert_or_leave(table, connection.dialect.name), many)


async def insert_or_replace(connection: AsyncConnection, table: sa.Table, *many: dict[str, Any]) -> None:
    """INSERT, or UPDATE of the row with the same primary key; several in one go, if they name the same columns."""
    if many:
        statement = _insert_or_replace(table, connection.dialect.name, tuple(many[0]))
        await connection.execute(statement, many[0] if len(many) == 1 else list(many))


async def count_up(connection: AsyncConnection, table: sa.Table, key: str) -> int:
    """One more in the counter ``key``, which begins at 1; returns the new value."""
    statement = (
        _dialect_insert(table, connection.dialect.name)
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
    key, revision = columns.pop("id"), columns["revision"]
    columns |= {"revision": revision + 1, "key_": key, "revision_": revision}
    done = await connection.execute(_update_checked(table), columns)
    if done.rowcount != 1:
        raise Conflict(f"{table.name} {key} is no longer at revision {revision}")


# Statements are made once: building one from a score of values costs more than running it.


@cache
def _insert(table: sa.Table) -> sa.Insert:
    return sa.insert(table)


@cache
def _insert_or_leave(table: sa.Table, dialect: str) -> sa.Insert:
    statement: sa.Insert = _dialect_insert(table, dialect).on_conflict_do_nothing()
    return statement


@cache
def _insert_or_replace(table: sa.Table, dialect: str, columns: tuple[str, ...]) -> sa.Insert:
    keys = [column.name for column in table.primary_key]
    statement = _dialect_insert(table, dialect)
    given: sa.Insert = statement.on_conflict_do_update(
        index_elements=keys, set_={name: statement.excluded[name] for name in columns if name not in keys}
    )
    return given


@cache
def _update_checked(table: sa.Table) -> sa.Update:
    return sa.update(table).where(table.c.id == sa.bindparam("key_"), table.c.revision == sa.bindparam("revision_"))


def _dialect_insert(table: sa.Table, dialect: str) -> Any:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
