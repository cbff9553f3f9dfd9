"""The relay: hands rows of the outbox on, woken at each commit that left some."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog

from ctiserver.clock import Clock
from ctiserver.store.database import Database
from ctiserver.store.faults import Conflict, StoreUnavailable
from ctiserver.store.repositories.outbox import OutboxRow
from ctiserver.store.setting_aside import SettingAside

log = structlog.get_logger(__name__)

_BATCH = 200
#: The kind of work that is set aside: a row that the receiver does not take.
HANDED_ON = "handed_on"


class Relay:
    """Hands rows of some topics to one receiver, in order of their due times, at least once each.

    Rows wait here until they are due: most deadlines never come to pass, and until then they are a row of ours that
    the next advance takes back. The receiver must keep what it gets, and know a second copy by the row's id: after a
    kill between its keeping and our noting that, the row comes again.
    """

    def __init__(
        self,
        database: Database,
        topics: Sequence[str],
        receive: Callable[[Sequence[OutboxRow]], Awaitable[None]],
        clock: Clock,
        *,
        look_every_s: float = 1.0,
        aside: SettingAside | None = None,
    ) -> None:
        """``look_every_s``: how often to look without being woken, for rows that fall due or another process left."""
        self._database = database
        self._topics = tuple(topics)
        self._receive = receive
        self._clock = clock
        self._look_every_s = look_every_s
        self._aside = aside  #: None: an error of the receiver goes up
        self._wake = asyncio.Event()
        database.on_outbox(self._topics, self._wake.set)

    async def run(self) -> None:
        """Hand on until cancelled; while the database is away the rows wait in it. An error of the receiver goes up."""
        while True:
            self._wake.clear()
            try:
                if await self._hand_on_each_if_need_be() == _BATCH:
                    continue
            except (StoreUnavailable, Conflict) as error:
                log.warning("relay_store_away", why=str(error))
                await asyncio.sleep(self._look_every_s)
                continue
            try:
                async with asyncio.timeout(self._look_every_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _hand_on_each_if_need_be(self) -> int:
        try:
            return await self.hand_on()
        except (StoreUnavailable, Conflict):
            raise
        except Exception as error:
            if self._aside is None:
                raise
            log.warning("rows_parted", why=str(error))
        now = self._clock.now()
        async with self._database.reading() as uow:
            left, unreadable = await uow.outbox.readable(self._topics, _BATCH, due_by=now)
        for key, why in unreadable.items():
            await self._aside.put(HANDED_ON, key, why)
        for row in left:
            await self._aside.contain(HANDED_ON, row.id, partial(self.hand_on, row.id), about=row.topic)
        return 0

    async def hand_on(self, only: str | None = None) -> int:
        """Hand on what is due now, up to a batch, or only one row; how many rows that were."""
        now = self._clock.now()
        if self._database.dialect == "sqlite":
            # One server, and a write lock that callers wait for: none is held while the receiver keeps the rows.
            async with self._database.reading() as uow:
                rows = await uow.outbox.waiting(self._topics, _BATCH, due_by=now, only=only)
            if rows:
                await self._receive(rows)
                async with self._database.unit_of_work() as uow:
                    await uow.outbox.handed([row.id for row in rows], now)
            return len(rows)
        # Other servers look at the same time: each passes over what another has in hand.
        async with self._database.unit_of_work() as uow:
            rows = await uow.outbox.waiting(self._topics, _BATCH, due_by=now, claim=True, only=only)
            if rows:
                await self._receive(rows)
                await uow.outbox.handed([row.id for row in rows], now)
        return len(rows)
