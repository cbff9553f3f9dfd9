"""How the process takes memory from the system, where it can be told."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_ARENA_MAX = -8  #: of mallopt(3), glibc


def one_heap() -> None:
    """Let all threads share one heap; to be called before there are any.

    glibc gives each new thread a heap of its own, and each keeps what its thread needed at most: with a thread for each
    connection to SQLite, a server that works the same all day would grow by the sum of their peaks. Python's threads
    hardly ever allocate at the same time. With another C library this does nothing.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
