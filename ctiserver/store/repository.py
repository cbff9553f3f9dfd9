"""What the repositories of single tables with an id have alike."""

from __future__ import annotations

from functools import cache
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.store import rows
from ctiserver.store.faults import NotFound

T = TypeVar("T")
Id = TypeVar("Id", bound=str)


@cache
def _by_id(table: sa.Table) -> sa.Select[Any]:
    return sa.select(table).where(table.c.id == sa.bindparam("key"))


@cache
def _locked(table: sa.Table) -> sa.Select[Any]:
    # NO KEY UPDATE: a full FOR UPDATE would also hold up rows that merely point here, and so invite deadlocks.
    return _by_id(table).with_for_update(key_share=True)


class Repository(Generic[T, Id]):
    """Rows of one table as frozen items of the model."""

    table: sa.Table
    kind: type[T]

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, item: T) -> None:
        """Keep a new item. Raises Duplicate at the latest at the end of the unit of work."""
        await rows.insert(self._connection, self.table, item)

    async def find(self, key: Id) -> T | None:
        return await self._one(_by_id(self.table), {"key": key})

    async def get(self, key: Id) -> T:
        """Raises NotFound."""
        return self._must(await self.find(key), key)

    async def find_to_change(self, key: Id) -> T | None:
        """As :meth:`find`, and nobody else changes it until this unit of work ends."""
        return await self._one(_locked(self.table), {"key": key})

    async def lock(self, key: Id) -> T:
        """The item, which nobody else changes until this unit of work ends. Raises NotFound."""
        return self._must(await self.find_to_change(key), key)

    async def _one(self, statement: sa.Select[Any], values: dict[str, Any] | None = None) -> T | None:
        row = (await self._connection.execute(statement, values)).one_or_none()
        return None if row is None else rows.build(self.kind, row)

    async def _all(self, statement: sa.Select[Any], values: dict[str, Any] | None = None) -> list[T]:
        return [rows.build(self.kind, row) for row in await self._connection.execute(statement, values)]

    async def _readable(self, statement: sa.Select[Any]) -> tuple[list[T], dict[str, Exception]]:
        """As :meth:`_all`; beside them the ids of rows in which something stands that can't be read, and why.

        One such row must not hide the others from a service that would deal with each.
        """
        try:
            return await self._all(statement), {}
        except (DBAPIError, TimeoutError):
            raise
        except Exception:  # noqa: BLE001 - whose row it is, is found by reading each alone
            found: list[T] = []
            unreadable: dict[str, Exception] = {}
            for key in (await self._connection.execute(statement.with_only_columns(self.table.c.id))).scalars().all():
                try:
                    item = await self.find(key)
                except (DBAPIError, TimeoutError):
                    raise
                except Exception as error:  # noqa: BLE001 - likewise
                    unreadable[key] = error
                else:
                    found += [] if item is None else [item]
            return found, unreadable

    def _must(self, item: T | None, key: str) -> T:
        if item is None:
            raise NotFound(f"there is no {self.kind.__name__.lower()} {key}")
        return item


class RevisedRepository(Repository[T, Id]):
    """Items that carry a revision."""

    async def update(self, item: T) -> None:
        """Write ``item`` over what it was read from. Raises Conflict if that changed meanwhile."""
        await rows.update_checked(self._connection, self.table, item)
