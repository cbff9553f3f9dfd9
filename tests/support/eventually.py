"""Wait for something that no event tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.02


async def eventually(
    look: Callable[[], Awaitable[T]], good: Callable[[T], bool] = bool, *, within_s: float = 20.0
) -> T:
    """Look again and again until what is seen is good; fail with the last sight when it does not become so."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        seen = await look()
        if good(seen):
            return seen
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {within_s} s; last seen: {seen!r}")
        await asyncio.sleep(_POLL_S)
