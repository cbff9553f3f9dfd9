"""Counters that operators watch; served at ``/metrics`` in Prometheus' text form.

Each module declares its own with :data:`REGISTRY`, so that a test can read them and two servers in one process differ.
"""

from __future__ import annotations

import asyncio
import time

from prometheus_client import CollectorRegistry, Histogram, generate_latest

REGISTRY = CollectorRegistry()

LOOP_LAG_S = Histogram(
    "ctiserver_loop_lag_seconds",
    "How late the event loop runs what is due",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
    registry=REGISTRY,
)

_SAMPLE_EVERY_S = 0.25


async def watch_loop() -> None:
    """Measure the loop's lag until cancelled."""
    while True:
        due = time.monotonic() + _SAMPLE_EVERY_S
        await asyncio.sleep(_SAMPLE_EVERY_S)
        LOOP_LAG_S.observe(max(0.0, time.monotonic() - due))


def exposition() -> bytes:
    """All counters in Prometheus' text form."""
    return generate_latest(REGISTRY)
