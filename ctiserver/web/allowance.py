"""How much somebody may say: so many messages at once, and then so many a second."""

from __future__ import annotations


class Allowance:
    """A token bucket. Times are monotonic seconds."""

    def __init__(self, at_once: int, a_second: float) -> None:
        self._at_once = float(at_once)
        self._a_second = a_second
        self._left = self._at_once
        self._at = float("-inf")

    def take(self, now: float) -> bool:
        """Count one at ``now``; False if it is one too many."""
        self._left = min(self._at_once, self._left + (now - self._at) * self._a_second) - 1
        self._at = now
        return self._left >= 0
