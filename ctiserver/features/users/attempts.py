"""Failed log-ins, counted so that guessing is slow and nobody else is held up by it.

Three counts, each before the password is checked, so that a burst can't get more guesses than one after another:

- an account's, over all addresses: who guesses one account's password from many addresses is slowed down;
- an address's, over all accounts: who tries one password on many accounts is slowed down. It is wide, since a whole
  office may come from one address, and a right password does not reset it;
- a known browser's, one that has logged in to the account before: it has its own count, and neither of the others
  holds it up. Strangers who guess an account's password can't shut its owner out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_network
from ipaddress import ip_address as address_of

from ctiserver.clock import Clock
from ctiserver.web.problems import TooMany

#: Wrong passwords that cost no wait: for an account, for an address.
ACCOUNT_FREE = 5
ADDRESS_FREE = 30
#: Names that no account has share this many counts: they fill no memory, and look as accounts do.
_STRANGERS = 1024
#: Accounts that one browser is known for; agents share desks.
_KNOWN_MAX = 10
_BROWSER_ID_LENGTH = 22  #: 16 random bytes, in URL-safe base64


@dataclass(frozen=True, slots=True)
class AttemptCount:
    """What is counted, and how many failures are free."""

    key: str
    free: int = ACCOUNT_FREE


@dataclass(slots=True)
class _Failures:
    count: int = 0
    not_before: float = 0.0  #: monotonic seconds
    last: float = 0.0


@dataclass(slots=True)
class Attempts:
    """After the free failures each further one costs twice the wait, up to five minutes."""

    clock: Clock
    longest_wait_s: float = 300.0
    forget_after_s: float = 900.0
    limit: int = 10_000
    _failures: dict[str, _Failures] = field(default_factory=dict)

    def begin(self, *counts: AttemptCount) -> bool:
        """Count an attempt as failed until :meth:`undo` or :meth:`forget`; is it the one with which waiting begins?

        Raises TooMany while one of these has to wait; nothing is counted then.
        """
        now = self.clock.monotonic()
        waits = (self._failures[count.key].not_before - now for count in counts if count.key in self._failures)
        wait_s = max(waits, default=0.0)
        if wait_s > 0:
            raise TooMany(f"too many failed log-ins; try again in {int(wait_s) + 1} s", int(wait_s) + 1)
        reached = [self._add(count, now) for count in counts]
        return any(reached)

    def _add(self, count: AttemptCount, now: float) -> bool:
        failures = self._failures.pop(count.key, None) or _Failures()
        if now - failures.last >= self.forget_after_s:
            failures = _Failures()
        failures.count += 1
        failures.last = now
        failures.not_before = now + self._wait_s(failures.count, count.free)
        self._make_room()
        self._failures[count.key] = failures  # at the end: the first are those that nobody tried for the longest time
        return failures.count == count.free

    def _wait_s(self, failures: int, free: int) -> float:
        return 0.0 if failures < free else min(self.longest_wait_s, 2.0 ** min(failures - free + 1, 16))

    def _make_room(self) -> None:
        while len(self._failures) >= self.limit:
            del self._failures[next(iter(self._failures))]

    def undo(self, *counts: AttemptCount) -> None:
        """An attempt was right, or was not made: it does not count, those before it do."""
        for count in counts:
            failures = self._failures.get(count.key)
            if failures is None:
                continue
            failures.count -= 1
            failures.not_before = failures.last + self._wait_s(failures.count, count.free)
            if failures.count <= 0:
                del self._failures[count.key]

    def forget(self, *counts: AttemptCount) -> None:
        """Forget the failures of these."""
        for count in counts:
            self._failures.pop(count.key, None)


def by_account(login: str, *, exists: bool) -> AttemptCount:
    """The count of an account over all addresses."""
    if exists:
        return AttemptCount(f"account {login}")
    return AttemptCount(f"no account {int.from_bytes(hashlib.sha256(login.encode()).digest()[:4]) % _STRANGERS}")


def by_address(peer: str) -> AttemptCount:
    """The count of an address over all accounts; of IPv6 the network, since one client has a whole one."""
    try:
        address = address_of(peer)
    except ValueError:
        return AttemptCount(f"address {peer[:64]}", ADDRESS_FREE)
    if isinstance(address, IPv6Address):
        return AttemptCount(f"address {ip_network((address, 64), strict=False)}", ADDRESS_FREE)
    return AttemptCount(f"address {address}", ADDRESS_FREE)


def by_browser(known: str, login: str) -> AttemptCount:
    """The count of a browser that is known for an account."""
    return AttemptCount(f"browser {known[:_BROWSER_ID_LENGTH]} {login}")


def is_known(known: str, login: str, stored: str) -> bool:
    """Whether a browser's cookie proves that it has logged in to the account with its present password."""
    browser_id, *marks = known.split(".")[: _KNOWN_MAX + 1]
    if len(browser_id) != _BROWSER_ID_LENGTH:
        return False
    right = _mark(browser_id, login, stored)
    return any(hmac.compare_digest(mark.encode(), right.encode()) for mark in marks)


def make_known(known: str, login: str, stored: str) -> str:
    """The cookie of a browser that has just logged in to the account: its older accounts stay in it."""
    browser_id, *marks = known.split(".")[: _KNOWN_MAX + 1]
    if len(browser_id) != _BROWSER_ID_LENGTH or not all(mark.isalnum() and len(mark) == 32 for mark in marks):
        browser_id, marks = secrets.token_urlsafe(16), []
    mark = _mark(browser_id, login, stored)
    return ".".join([browser_id, mark, *(other for other in marks if other != mark)][: _KNOWN_MAX + 1])


def _mark(browser_id: str, login: str, stored: str) -> str:
    # The key is the stored hash of the password: a new password makes every browser a stranger again.
    return hmac.digest(stored.encode(), f"{browser_id} {login}".encode(), "sha256").hex()[:32]
