"""Passwords: argon2id, made and checked off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ctiserver.errors import UserFault
from ctiserver.web.problems import TooMany

T = TypeVar("T")

#: Of the processor's time, what callers leave: a log-in can wait, a caller in a menu can't (Linux counts it by thread).
_NICENESS = 15
#: Checks that wait for their turn; each takes some 50 ms, so a longer line is an attack, or nobody waits for its end.
LONGEST_LINE = 20
SHORTEST = 8
LONGEST = 256  #: a longer one would only make the hash slow


class _Line:
    """Those who wait for their turn."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(1)
        self.waiting = 0


def _step_back() -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class Passwords:
    """Makes and checks password hashes; two at a time, since each takes 64 MiB.

    One for browsers that are known, one for all others: a flood of strangers delays no browser that was here before.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="passwords", initializer=_step_back)
        self._lines = {True: _Line(), False: _Line()}  #: by whether the browser is known
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """Raises UserFault if the password is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise UserFault(
                f"a password has {SHORTEST} to {LONGEST} characters, this one {len(password)}", fix="Choose another"
            )
        async with self._lines[True].turn:
            return await self._off_loop(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str, *, known: bool = False) -> bool:
        """Does the password belong to the stored hash? Without one (None) the answer is no, and takes as long.

        ``known``: it is asked for a browser that has logged in to the account before.

        Raises TooMany when too many others wait for the same.
        """
        if len(password) > LONGEST:
            return False
        line = self._lines[known]
        if line.waiting >= LONGEST_LINE:
            raise TooMany("too many logins at once; try again in 2 s", 2)
        line.waiting += 1
        try:
            async with line.turn:
                if self._nobodys is None:
                    self._nobodys = await self._off_loop(self._hasher.hash, "nobody's password")
                right = await self._off_loop(self._verify, stored or self._nobodys, password)
        finally:
            line.waiting -= 1
        return right and stored is not None

    async def _off_loop(self, work: Callable[..., T], *arguments: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
