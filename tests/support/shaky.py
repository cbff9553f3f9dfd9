"""A database that goes away and comes back when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ctiserver.store.database import Database
from ctiserver.store.faults import StoreUnavailable
from ctiserver.store.unit_of_work import UnitOfWork


class Shaky:
    """A database that can be taken away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.away = False  #: for who writes
        self.reading_away = False
        self.hangs = False  #: for who reads: no answer comes
        self.tries = 0  #: of who writes
        self.looks = 0

    @asynccontextmanager
    async def unit_of_work(self, *, brief: bool = False) -> AsyncIterator[UnitOfWork]:
        self.tries += 1
        if self.away:
            raise StoreUnavailable("away")
        async with self._database.unit_of_work(brief=brief) as uow:
            yield uow

    @asynccontextmanager
    async def reading(self, *, brief: bool = False) -> AsyncIterator[UnitOfWork]:
        self.looks += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.reading_away:
            raise StoreUnavailable("away")
        async with self._database.reading(brief=brief) as uow:
            yield uow
