"""Peers that are not Asterisk, two hundred at once and again and again, beside good calls: what these notice of them.

The server has this process to itself; bad peers and good calls have one each. The loop's lag is how late a timer of
10 ms runs.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import structlog

from ctiserver.agi.server import AgiServer
from ctiserver.clock import SystemClock
from ctiserver.settings import AgiSettings
from tests.protocol.test_agi_server import HOSTILE, closed, polite
from tests.support.fake_asterisk import FakeAsterisk

_AT_ONCE = 200
_WAVES = 3
_CALLS = 300
_GOOD_AT_ONCE = 5
_TICK_S = 0.01


def run() -> dict[str, object]:
    """About ten seconds."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return asyncio.run(_run())


async def _run() -> dict[str, object]:
    server = AgiServer(AgiSettings(port=0), {"flow": polite}, SystemClock())
    lags: list[float] = []
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.run())
        port = await server.listening()
        alone_ms, _ = await _elsewhere(_good, port)
        watching = group.create_task(_watch(lags))
        (beside_ms, _), (gone_ms, kept) = await asyncio.gather(_elsewhere(_good, port), _elsewhere(_bad, port))
        watching.cancel()
        serving.cancel()
    return {
        "bad_peers": len(gone_ms),
        "at_once": _AT_ONCE,
        "bad_peers_not_gone_in_time": kept,
        "bad_peer_gone_ms": {**_percentiles(gone_ms), "aim_ms": 2000 + 200},  # the header's deadline, and a little
        "good_call_alone_ms": _percentiles(alone_ms),
        "good_call_beside_ms": {**_percentiles(beside_ms), "aim_p99_ms": 100},
        "loop_lag_ms": _percentiles([1000 * lag for lag in lags]),
        "refused": server.counts.refused_header,
        "failed": server.counts.failed,
    }


async def _watch(lags: list[float]) -> None:
    while True:
        due = time.perf_counter() + _TICK_S
        await asyncio.sleep(_TICK_S)
        lags.append(max(0.0, time.perf_counter() - due))


async def _elsewhere(work: Callable[[int, Connection], None], port: int) -> tuple[list[float], int]:
    """The result of ``work`` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(port, theirs))
    process.start()
    result: tuple[list[float], int] = await asyncio.to_thread(ours.recv)
    await asyncio.to_thread(process.join)
    return result


def _good(port: int, results: Connection) -> None:
    took_ms: list[float] = []

    async def line(numbers: range) -> None:
        for number in numbers:
            began = time.perf_counter()
            await FakeAsterisk(keys="1").call(port, uniqueid=f"1795{number:06d}.{number}")
            took_ms.append(1000 * (time.perf_counter() - began))

    async def lines() -> None:
        async with asyncio.TaskGroup() as group:
            for first in range(_GOOD_AT_ONCE):
                group.create_task(line(range(first, _CALLS, _GOOD_AT_ONCE)))

    asyncio.run(lines())
    results.send((took_ms, 0))


def _bad(port: int, results: Connection) -> None:
    gone_ms: list[float] = []
    kept = 0

    async def one(data: bytes, half_close: bool) -> None:
        nonlocal kept
        began = time.perf_counter()
        try:
            await closed(data, port, half_close=half_close, within_s=5.0)
        except TimeoutError:
            kept += 1
        gone_ms.append(1000 * (time.perf_counter() - began))

    async def waves() -> None:
        kinds = list(HOSTILE.values())
        for _ in range(_WAVES):
            async with asyncio.TaskGroup() as group:
                for number in range(_AT_ONCE):
                    data, half_close = kinds[number % len(kinds)]
                    group.create_task(one(data[:1_000_000], half_close))

    asyncio.run(waves())
    results.send((gone_ms, kept))


def _percentiles(values_ms: list[float]) -> dict[str, float]:
    ordered = sorted(values_ms)
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p99": round(ordered[int(len(ordered) * 0.99)], 1),
        "worst": round(ordered[-1], 1),
    }
