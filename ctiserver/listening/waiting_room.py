"""Room for those who have connected and not yet shown who they are: bounded, and never closed to a new one.

A stranger can open connections as fast as we can accept them. To refuse new ones when the room is full would refuse
honest ones too, so a new one takes the place of the one that has waited longest. An honest one says what it wants at
once; but when hundreds are accepted in one turn of the event loop, nobody has been heard yet. So a place is only taken
from one that has had a moment to speak and of which nothing lies unread, until the room is quite full.
"""

from __future__ import annotations

import asyncio
import select
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

_T = TypeVar("_T")

#: A moment to speak, in seconds: longer than the longest turn of the event loop.
_MOMENT_S = 0.25
#: Of how many it is looked at whether something lies unread: a system call each.
_LOOKED_AT = 16


class WaitingRoom(Generic[_T]):
    """Room for ``places`` at once. Times are monotonic seconds."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting: OrderedDict[_T, float] = OrderedDict()  #: since when; those who wait longest first

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, one: _T) -> bool:
        return one in self._waiting

    def must_leave(self, now: float, has_unread: Callable[[_T], bool] = lambda _: False) -> _T | None:
        """Who has to give up their place before another one enters at ``now``; None if nobody has to.

        ``has_unread``: whether one has said something that has not been read yet.
        """
        if not self._waiting or len(self._waiting) < max(1, self._places // 4):
            return None
        for one, since in islice(self._waiting.items(), _LOOKED_AT):
            if now - since < _MOMENT_S:
                break
            if not has_unread(one):
                return one
        return next(iter(self._waiting)) if len(self._waiting) >= self._places else None

    def enter(self, one: _T, now: float) -> None:
        """``one`` waits from ``now`` on."""
        self._waiting[one] = now

    def leave(self, one: _T) -> None:
        """``one`` has shown who they are, or is gone."""
        self._waiting.pop(one, None)


def has_unread(transport: asyncio.BaseTransport | None) -> bool:
    """Whether something has come on a connection that has not been read yet, or its end."""
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))
