"""What must be written, however long the database is away: a lock of another program, a full disk, a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from ctiserver.store.faults import Conflict, StoreUnavailable

log = structlog.get_logger(__name__)

_FIRST_S, _LONGEST_S = 0.1, 2.0


async def now_and_again(work: Callable[[], Awaitable[object]], every_s: float, put_off: str) -> None:
    """Do ``work`` now and every so many seconds, until cancelled.

    Where it raises StoreUnavailable it waits for the next time, and ``put_off`` stands in the log.
    """
    while True:
        try:
            await work()
        except StoreUnavailable as error:
            log.warning(put_off, reason=str(error))
        await asyncio.sleep(every_s)


async def until_stored(work: Callable[[], Awaitable[None]], what: str) -> None:
    """Do ``work``, again and again while it raises StoreUnavailable or Conflict, after which nothing of it was kept.

    For who follows the bus: events wait meanwhile, up to the subscription's limit. ``what`` is said in the log.
    """
    delay_s, tries = _FIRST_S, 1
    while True:
        try:
            await work()
        except (StoreUnavailable, Conflict) as error:
            if tries == 1 and isinstance(error, StoreUnavailable):
                log.error("waits_for_the_database", what=what, reason=str(error))
            tries += 1
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_S)
        else:
            if tries > 1:
                log.info("stored_after_all", what=what, tries=tries)
            return
