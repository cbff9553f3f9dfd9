"""Domain events from those who learn something to those who act on it, inside one process.

The bus keeps order per subscriber, never blocks the publisher and is bounded. A service follows it with
:meth:`Bus.follow`: where it falls behind by more than the limit, the bus drops the events that wait for it, and the
service reads the state again (its ``resync``).

An event that a service fails on is set aside, with the reason and a way to try it again, and the next one is taken in.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import structlog
from prometheus_client import Counter

from ctiserver.errors import CtiError
from ctiserver.metrics import REGISTRY

log = structlog.get_logger(__name__)

E = TypeVar("E")

FAILED = Counter(
    "ctiserver_events_not_taken_in_total",
    "Events that a service failed on",
    ("service", "event"),
    registry=REGISTRY,
)
#: So many events that a service failed on are kept, the newest: what is older is in the counter and in the log.
_KEPT = 200
#: Events that may wait for one subscriber: a link that comes up reports every seat, and all that happened meanwhile.
_LIMIT = 100_000
_REASON_MAX = 500


class Lagged(CtiError):
    """A subscriber fell behind its bound and missed events; it must take a fresh snapshot."""


class Subscription(Generic[E]):
    """What one subscriber has still to read. Iterate with ``async for``; it ends when the bus closes."""

    def __init__(self, kinds: tuple[type[E], ...], limit: int) -> None:
        self._kinds = kinds
        self._limit = limit
        self._waiting: deque[E] = deque()
        self._wake = asyncio.Event()
        self._missed = 0
        self._closed = False

    def _offer(self, event: object) -> None:
        if not isinstance(event, self._kinds):
            return
        if len(self._waiting) >= self._limit:
            self._missed += len(self._waiting) + 1
            self._waiting.clear()
        elif not self._missed:
            self._waiting.append(event)
        else:
            self._missed += 1
        self._wake.set()

    def _close(self) -> None:
        self._closed = True
        self._wake.set()

    def waiting(self, limit: int) -> list[E]:
        """Take those that wait already, at most ``limit``: for who is quicker with many at once than with each."""
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def __aiter__(self) -> Subscription[E]:
        return self

    async def __anext__(self) -> E:
        while True:
            if self._missed:
                missed, self._missed = self._missed, 0
                raise Lagged(f"{missed} events missed; a fresh snapshot is needed")
            if self._waiting:
                return self._waiting.popleft()
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTakenIn:
    """An event that a service failed on. It is in memory alone: after a restart a fresh snapshot tells as much."""

    id: str  #: ``event-<number>``
    service: str
    event: object
    work: Callable[[Any], Awaitable[object] | object]
    reason: str
    at: datetime
    tries: int = 1


class Bus:
    """One process's event bus."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC), *, limit: int = _LIMIT) -> None:
        """``limit``: events that may wait for one subscriber."""
        self._subscriptions: set[Subscription[Any]] = set()
        self._limit = limit
        self._out_of_step: set[str] = set()  #: services that stopped following, or whose resync is still to be done
        self._now = now
        self._numbers = itertools.count(1)
        self._failed: dict[str, NotTakenIn] = {}
        self._told: dict[tuple[str, str, str], int] = {}

    async def take_in(self, service: str, event: E, work: Callable[[E], Awaitable[object] | object]) -> bool:
        """Let ``work`` take ``event`` in; whether it did. What it raises goes no further than here.

        An event that fails has no claim on the ones behind it, nor on the service: both would be lost with it.
        """
        return await self._take_in(service, event, work, tries=1)

    async def _take_in(
        self, service: str, event: E, work: Callable[[E], Awaitable[object] | object], *, tries: int
    ) -> bool:
        try:
            going_on = work(event)
            if inspect.isawaitable(going_on):
                await going_on
        except Exception as error:  # noqa: BLE001 - the edge of one event: nothing of it may reach another
            self._set_aside(service, event, work, error, tries)
            return False
        return True

    def _set_aside(self, service: str, event: object, work: Callable[[Any], Any], error: Exception, tries: int) -> None:
        kind = type(event).__name__
        FAILED.labels(service, kind).inc()
        told = (service, kind, type(error).__name__)
        times = self._told[told] = self._told.get(told, 0) + 1
        if times & (times - 1) == 0:  # the first, the second, the fourth …: one that fails each time fills no disk
            log.error("event_not_taken_in", service=service, kind=kind, times=times, exc_info=error)
        said = "".join(c if c.isprintable() else " " for c in str(error))[:_REASON_MAX]
        item = NotTakenIn(
            id=f"event-{next(self._numbers)}",
            service=service,
            event=event,
            work=work,
            reason=f"{type(error).__name__}: {said}",
            at=self._now(),
            tries=tries,
        )
        self._failed[item.id] = item
        if len(self._failed) > _KEPT:
            del self._failed[next(iter(self._failed))]

    @property
    def not_taken_in(self) -> list[NotTakenIn]:
        """The events that services failed on, the newest first."""
        return list(reversed(self._failed.values()))

    async def again(self, key: str) -> bool:
        """Take one of them in again; whether that went well. Raises KeyError for one that is not there."""
        item = self._failed.pop(key)
        return await self._take_in(item.service, item.event, item.work, tries=item.tries + 1)

    def drop(self, key: str) -> NotTakenIn:
        """Forget one of them. Raises KeyError for one that is not there."""
        return self._failed.pop(key)

    def publish(self, event: object) -> None:
        """Hand ``event`` to every subscriber of its type or of a base of it, now, without waiting."""
        for subscription in self._subscriptions:
            subscription._offer(event)

    async def follow(
        self,
        service: str,
        kinds: tuple[type[E], ...],
        handle: Callable[[E], Awaitable[object] | object],
        resync: Callable[[], Awaitable[object] | object],
        *,
        begin: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Let ``handle`` take in each event of these types and their subclasses, until the bus closes.

        ``resync`` makes what the service holds equal to the state elsewhere: the PBX links, the database. It is called
        when events were missed: the service fell behind, or it failed and was started again. The links' state has to be
        read before the first ``await``: events published later come to ``handle``. What it raises ends this call, and
        the next one with the same ``service`` begins with it.

        ``begin`` is awaited once the events are being kept, before the first one.
        """

        async def each(events: list[E]) -> None:
            for event in events:
                await self.take_in(service, event, handle)

        await self.follow_batches(service, kinds, each, resync, at_most=1, begin=begin)

    async def follow_batches(
        self,
        service: str,
        kinds: tuple[type[E], ...],
        handle: Callable[[list[E]], Awaitable[object]],
        resync: Callable[[], Awaitable[object] | object],
        *,
        at_most: int,
        begin: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """As :meth:`follow`, with up to ``at_most`` events at a time. What ``handle`` raises ends this call."""
        with self.subscribe(*kinds) as events:
            if service in self._out_of_step:
                await self._resync(service, resync, "the service was started again")
            self._out_of_step.add(service)
            if begin is not None:
                await begin()
            while True:
                try:
                    async for event in events:
                        await handle([event, *events.waiting(at_most - 1)])
                    break
                except Lagged as lagged:
                    await self._resync(service, resync, str(lagged))
            self._out_of_step.discard(service)

    async def _resync(self, service: str, resync: Callable[[], Awaitable[object] | object], why: str) -> None:
        log.error("events_missed", service=service, why=why)
        done = resync()
        if inspect.isawaitable(done):
            await done

    @contextmanager
    def subscribe(self, *kinds: type[E], limit: int | None = None) -> Iterator[Subscription[E]]:
        """Events of these types (and their subclasses) published from now until the block ends.

        For tests and the demo, which wait for an event. A service has :meth:`follow`."""
        subscription = Subscription(kinds, self._limit if limit is None else limit)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """Let every subscriber read what is waiting, then end."""
        for subscription in self._subscriptions:
            subscription._close()
