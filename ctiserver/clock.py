"""Time, injected: ``now()`` for what is recorded, ``monotonic()`` for what is measured."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where everything that needs the time gets it from."""

    def now(self) -> datetime:
        """Aware UTC, for records and deadlines that outlive the process."""
        ...

    def monotonic(self) -> float:
        """Seconds, for durations inside the process."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that stands still until told: simulator, replay and tests run on it."""

    def __init__(self, at: datetime) -> None:
        if at.tzinfo is None:
            raise ValueError("a clock needs an aware time")
        self._at = at.astimezone(UTC)
        self._elapsed_s = 0.0

    def now(self) -> datetime:
        return self._at

    def monotonic(self) -> float:
        return self._elapsed_s

    def advance(self, seconds: float) -> None:
        """Move both clocks on by ``seconds`` (≥ 0)."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self._at += timedelta(seconds=seconds)
        self._elapsed_s += seconds
