"""How the process takes memory from the system and gives it back, where it can be told (glibc).

A server that does the same all day should be as large in the evening as in the morning. Left to itself glibc lets it
grow for days: by a heap for each thread, and by holes that large blocks leave in a heap.
"""

from __future__ import annotations

import asyncio
import ctypes
from contextlib import suppress

#: Of mallopt(3).
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
#: Blocks of so many bytes or more are pages of their own, which the system has back when they are freed. It is glibc's
#: first value, which it would else raise with each such block that is freed, up to 32 MiB.
_OWN_PAGES_FROM = 128 * 1024
_GIVE_BACK_EVERY_S = 60.0


def one_heap() -> None:
    """Let all threads share one heap without large blocks; to be called before there are any threads.

    glibc gives each new thread a heap of its own, and each keeps what its thread needed at most: with a thread for each
    connection to SQLite, the server would grow by the sum of their peaks. Python's threads hardly ever allocate at the
    same time. With another C library this does nothing.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES_FROM)


async def give_back() -> None:
    """Give pages that nothing stands on back to the system, every minute, until cancelled. It takes some 3 ms."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(_GIVE_BACK_EVERY_S)
        trim(0)
