"""Domain events from those who learn something to those who act on it, inside one process.

The bus keeps order per subscriber, never blocks the publisher and is bounded: a subscriber that falls behind by more
than its limit is told so (:class:`Lagged` out of its ``async for``), drops what it missed and takes a fresh snapshot.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from ctiserver.errors import CtiError

E = TypeVar("E")


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


class Bus:
    """One process's event bus."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription[Any]] = set()

    def publish(self, event: object) -> None:
        """Hand ``event`` to every subscriber of its type or of a base of it, now, without waiting."""
        for subscription in self._subscriptions:
            subscription._offer(event)

    @contextmanager
    def subscribe(self, *kinds: type[E], limit: int = 10_000) -> Iterator[Subscription[E]]:
        """Events of these types (and their subclasses) published from now until the block ends."""
        subscription = Subscription(kinds, limit)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """Let every subscriber read what is waiting, then end."""
        for subscription in self._subscriptions:
            subscription._close()
