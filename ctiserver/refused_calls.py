"""Calls to outside that were refused: counted, and told of at once when they become many.

Many refusals in a short time are a flow that dials what callers type, an account that is misused, or a list that lacks
a country; each is worth a look while it happens.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import structlog
from prometheus_client import Counter

from ctiserver.metrics import REGISTRY

log = structlog.get_logger(__name__)

_COUNTED = Counter(
    "ctiserver_calls_refused", "Calls to outside that dialling.yaml refused, by who asked", ["by"], registry=REGISTRY
)
#: So many within so long are many.
MANY, WITHIN_S = 20, 60.0


class RefusedCalls:
    """The refusals of the last minute."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last: deque[float] = deque(maxlen=MANY)
        self._told_at = float("-inf")

    def note(self, by: str) -> None:
        """One more was refused; ``by``: flow, desk, callback or follow_up."""
        _COUNTED.labels(by).inc()
        now = self._monotonic()
        self._last.append(now)
        if self.many and now >= self._told_at + WITHIN_S:
            self._told_at = now
            log.error("many_calls_refused", calls=MANY, within_s=round(now - self._last[0], 1), last_by=by)

    @property
    def many(self) -> bool:
        """Whether so many were refused lately that somebody should look."""
        return len(self._last) == MANY and self._last[0] >= self._monotonic() - WITHIN_S


#: Of this process, as its other counters are.
REFUSED = RefusedCalls()
