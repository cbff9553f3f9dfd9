"""What is kept of screen-pops: taken at once, written a moment later, many in one transaction.

A phone that rings must not wait for the disk, nor for the phone that rang before it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import structlog

from ctiserver.model.calls.call_entry import Pop
from ctiserver.model.ids import AgentId, CallId
from ctiserver.store.database import Database
from ctiserver.store.faults import StoreUnavailable

log = structlog.get_logger(__name__)

#: While the database is away, so many are kept in memory; the oldest go first then.
_MOST = 10_000
_AGAIN_AFTER_S = 1.0


class PopBook:
    """Pops, the last of which are still on their way to the disk."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, Pop] = {}
        self._wake = asyncio.Event()
        self._closed = False

    def take(self, pop: Pop) -> None:
        """Keep a pop; it is written soon."""
        if len(self._waiting) >= _MOST:
            lost = self._waiting.pop(next(iter(self._waiting)))
            log.error("pop_not_kept", call_id=lost.call_id, agent=lost.agent_id)
        self._waiting[pop.id] = pop
        self._wake.set()

    def close(self) -> None:
        """No more come: :meth:`run` ends once all are written."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Write what was taken, until closed."""
        while not (self._closed and not self._waiting):
            self._wake.clear()
            if not self._waiting:
                await self._wake.wait()
                continue
            try:
                await self._write(list(self._waiting.values()))
            except StoreUnavailable as error:
                log.error("pops_not_written_yet", waiting=len(self._waiting), error=str(error))
                if self._closed:
                    return
                await asyncio.sleep(_AGAIN_AFTER_S)

    async def painted(self, pop_id: str, agent_id: AgentId, at: datetime) -> bool:
        """Note when it was drawn; False if it is none of the agent's, or was noted before. Raises StoreUnavailable."""
        waiting = self._waiting.get(pop_id)
        if waiting is not None:
            if waiting.agent_id != agent_id or waiting.painted_at is not None:
                return False
            self.take(replace(waiting, painted_at=at))
            return True
        async with self._database.unit_of_work() as uow:
            return await uow.pops.painted(pop_id, agent_id, at)

    async def find(self, pop_id: str) -> Pop | None:
        """Raises StoreUnavailable."""
        if pop_id in self._waiting:
            return self._waiting[pop_id]
        async with self._database.reading() as uow:
            return await uow.pops.find(pop_id)

    async def of_call(self, call_id: CallId) -> list[Pop]:
        """In the order they were sent. Raises StoreUnavailable."""
        waiting = {pop.id: pop for pop in self._waiting.values() if pop.call_id == call_id}
        async with self._database.reading() as uow:
            written = {pop.id: pop for pop in await uow.pops.of_call(call_id)}
        return [pop for _, pop in sorted({**written, **waiting}.items())]

    async def _write(self, pops: list[Pop]) -> None:
        try:
            async with self._database.unit_of_work() as uow:
                for pop in pops:
                    await uow.pops.save(pop)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the edge of one pop
            # One that refers to what is gone must not keep the others from being written.
            if len(pops) > 1:
                for pop in pops:
                    await self._write([pop])
                return
            log.error("pop_not_kept", call_id=pops[0].call_id, agent=pops[0].agent_id, error=str(error))
        for pop in pops:
            if self._waiting.get(pop.id) is pop:  # else it was painted meanwhile, and is written once more
                del self._waiting[pop.id]
