"""Work within a deadline, and for a caller only as long as they are on the line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import structlog

from ctiserver.agi.session import Session
from ctiserver.ivr.runtime.ports import PortFailed

log = structlog.get_logger(__name__)
T = TypeVar("T")

#: How long a port may take where the flow does not say; the caller hears nothing meanwhile.
PORT_TIMEOUT_S = 3.0
#: How long what is being written may go on when the caller hangs up meanwhile; what is being read is given up at once.
GRACE_S = 0.05


async def within(seconds: float, work: Awaitable[T]) -> T:
    """What ``work`` gives. Raises PortFailed after ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise PortFailed(f"it took longer than {seconds:g} s") from None


async def while_on_line(session: Session | None, seconds: float, work: Awaitable[T], grace_s: float = 0.0) -> T:
    """What ``work`` gives; given up ``grace_s`` after the caller hung up, which raises HungUp. Raises PortFailed.

    Without a session, the caller is gone already and the deadline alone holds.
    """
    if session is None:
        return await within(seconds, work)
    with session.working(grace_s):
        return await within(seconds, work)


async def log_failure(work: Awaitable[None], event: str) -> None:
    """Do what is worth having but not worth a call: a failure is logged as ``event``."""
    try:
        await within(PORT_TIMEOUT_S, work)
    except PortFailed as error:
        log.error(event, reason=str(error))
