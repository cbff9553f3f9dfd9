"""The audit log: newest first, in pages, by person, act and thing; and nobody changes it, whatever SQL they send."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from ctiserver.store.database import Database
from tests.support.rows import NOW


async def _fill(database: Database) -> None:
    async with database.unit_of_work() as uow:
        for number in range(6):
            await uow.audit.note(
                NOW + timedelta(seconds=number),
                "user:admin" if number % 2 else "user:boss",
                "logged_in" if number < 4 else "call_monitored",
                f"call:{number}",
                peer="127.0.0.1",
                detail={"n": number},
            )


async def test_pages_are_newest_first_and_join_without_gap(database: Database) -> None:
    await _fill(database)
    async with database.reading() as uow:
        first = await uow.audit.page(4)
        rest = await uow.audit.page(4, before=first[-1].id)
        assert [entry.detail["n"] for entry in (*first, *rest)] == [5, 4, 3, 2, 1, 0]
        assert [e.detail["n"] for e in await uow.audit.page(actor="user:boss")] == [4, 2, 0]
        assert [e.detail["n"] for e in await uow.audit.page(actor="user:boss", act="call_monitored")] == [4]
        assert [e.detail["n"] for e in await uow.audit.page(subject="call:3")] == [3]


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'user:nobody'", "DELETE FROM audit"])
async def test_the_database_itself_refuses_a_change(database: Database, statement: str) -> None:
    await _fill(database)
    async with database._writing.connect() as connection, connection.begin() as transaction:
        with pytest.raises(DBAPIError, match="append-only"):
            await connection.execute(sa.text(statement))
        await transaction.rollback()
    async with database.reading() as uow:
        assert len(await uow.audit.page()) == 6
