"""Passwords: argon2id, made and checked off the event loop, and attempts counted so that guessing is slow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.web.problems import TooMany

#: Checks that wait for their turn; each takes some 50 ms, so a longer line is an attack, or nobody waits for its end.
LONGEST_LINE = 20
SHORTEST = 8
LONGEST = 256  #: a longer one would only make the hash slow


class Passwords:
    """Makes and checks password hashes; two at a time, since each takes 64 MiB."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(2)
        self._nobodys: str | None = None
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Raises UserFault if the password is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise UserFault(
                f"a password has {SHORTEST} to {LONGEST} characters, this one {len(password)}", fix="Choose another"
            )
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Does the password belong to the stored hash? Without one (None) the answer is no, and takes as long.

        Raises TooMany when too many others wait for the same.
        """
        if len(password) > LONGEST:
            return False
        if self._waiting >= LONGEST_LINE:
            raise TooMany("many people log in just now; try again in 2 s", 2)
        self._waiting += 1
        try:
            async with self._turns:
                if self._nobodys is None:
                    self._nobodys = await asyncio.to_thread(self._hasher.hash, "nobody's password")
                right = await asyncio.to_thread(self._verify, stored or self._nobodys, password)
        finally:
            self._waiting -= 1
        return right and stored is not None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


@dataclass(slots=True)
class _Failures:
    count: int = 0
    not_before: float = 0.0  #: monotonic seconds
    last: float = 0.0


@dataclass(slots=True)
class Attempts:
    """Failed log-ins by whoever failed: after a few, each further one costs twice the wait, up to five minutes."""

    clock: Clock
    free: int = 5
    longest_wait_s: float = 300.0
    forget_after_s: float = 900.0
    limit: int = 10_000
    _failures: dict[str, _Failures] = field(default_factory=dict)

    def check(self, *who: str) -> None:
        """Raises TooMany while one of these has to wait."""
        now = self.clock.monotonic()
        wait_s = max((self._failures[key].not_before - now for key in who if key in self._failures), default=0.0)
        if wait_s > 0:
            raise TooMany(f"too many failed log-ins; try again in {int(wait_s) + 1} s", int(wait_s) + 1)

    def failed(self, *who: str) -> None:
        """Count a failure against each of these."""
        now = self.clock.monotonic()
        if len(self._failures) >= self.limit:
            self._failures = {k: f for k, f in self._failures.items() if now - f.last < self.forget_after_s}
            if len(self._failures) >= self.limit:
                self._failures.clear()
        for key in who:
            failures = self._failures.setdefault(key, _Failures())
            if now - failures.last >= self.forget_after_s:
                failures.count = 0
            failures.count += 1
            failures.last = now
            if failures.count >= self.free:
                failures.not_before = now + min(self.longest_wait_s, 2.0 ** (failures.count - self.free + 1))

    def succeeded(self, *who: str) -> None:
        """Forget the failures of these."""
        for key in who:
            self._failures.pop(key, None)
