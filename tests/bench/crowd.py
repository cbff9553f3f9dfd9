"""A whole centre at its desks: 500 browsers that connect within a second, what telling all of them costs, and one that
reads nothing.

The browsers are sockets in a process of their own, so that the CPU time here is the server's alone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import tempfile
import time
import tracemalloc
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from tests.bench._browsers import Browsers
from tests.support.desk import PASSWORD, Browser, Desk, desk

CROWD = int(os.environ.get("CTISERVER_BENCH_CROWD", "500"))
SUPERVISORS = CROWD // 20
TOLD = 20  #: frames to everybody
DEAF = 5  #: browsers that read nothing, one after another
_FRAME = "x" * 2000
_AT_ONCE = 110


async def _accounts(running: Desk) -> dict[str, list[str]]:
    """As many accounts as browsers, and what the console follows for each."""
    topics = {}
    for number in range(CROWD):
        lead = number < SUPERVISORS
        login, role = f"agent{number}", "supervisor" if lead else "agent"
        await running.features.users.add(
            login,
            name=f"座席{number}",
            role="supervisor" if lead else "agent",
            password=PASSWORD,
            skills=("repair",),
            extension=f"{10000 + number}",
            interface=f"PJSIP/{login}",
        )
        topics[login] = [f"presence:{login}", f"pop:{login}", f"phone:{login}", "inbox:{user}", f"inbox:role-{role}"]
        topics[login] += ["team:all", "queues:all", "board:all"] if lead else []
    await running.features.agents.load()
    return topics


@asynccontextmanager
async def _loop_lag() -> AsyncIterator[list[float]]:
    """How late the loop is each 10 ms, in ms."""
    late: list[float] = []

    async def look() -> None:
        while True:
            at = time.perf_counter()
            await asyncio.sleep(0.01)
            late.append((time.perf_counter() - at - 0.01) * 1000)

    looking = asyncio.ensure_future(look())
    try:
        yield late
    finally:
        looking.cancel()


def _memory_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def _crowd(running: Desk) -> dict[str, Any]:
    topics = await _accounts(running)
    async with Browsers.of(running.url, topics) as browsers:
        gc.collect()
        memory_kb, cpu_s = _memory_kb(), time.process_time()
        async with _loop_lag() as late:
            answer = await browsers.connect()
            cpu_s = time.process_time() - cpu_s
        memory_kb = _memory_kb() - memory_kb
        came = answer["snapshots_s"]
        followers = running.hub.followers("inbox", "role-agent")
        running.hub.publish("inbox", "role-agent", "warm", None)
        told = await _told(running, browsers, followers)
    return {
        "browsers": CROWD,
        "failed": answer["failed"],
        "topics_each": sum(map(len, topics.values())) / CROWD,
        "half_have_their_snapshots_s": round(came[len(came) // 2], 2),
        "all_have_their_snapshots_s": round(came[-1], 2),
        "server_cpu_s": round(cpu_s, 2),
        "server_cpu_ms_each": round(cpu_s * 1000 / CROWD, 2),
        "server_memory_kb_each": round(memory_kb / CROWD, 1),
        "worst_loop_lag_ms": round(max(late), 1),
        "told_to_all": told,
    }


async def _told(running: Desk, browsers: Browsers, followers: int) -> dict[str, Any]:
    """One frame to everybody, again and again: how long until the last has it, and what a frame costs the server."""
    heard = [await browsers.hear() for _ in range(followers)]  # the first warms up
    last_ms: list[float] = []
    began = time.process_time()
    for number in range(TOLD):
        at = time.monotonic()
        running.hub.publish("inbox", "role-agent", "changed", {"n": number, "text": _FRAME})
        heard = [await browsers.hear() for _ in range(followers)]
        last_ms.append((max(frame[0] for frame in heard) - at) * 1000)
    cpu_s = time.process_time() - began
    return {
        "followers": followers,
        "frames_of_2_kb": TOLD,
        "last_has_it_ms": {"p50": round(sorted(last_ms)[TOLD // 2], 1), "worst": round(max(last_ms), 1)},
        # Of the server and of this loop, which reads each frame's line.
        "cpu_us_a_frame_at_most": round(cpu_s * 1e6 / TOLD / followers, 1),
    }


async def _deaf(running: Desk) -> dict[str, float]:
    """A browser that follows and then reads nothing, while another is told at length."""
    async with Browser(running.url) as browser, Browser(running.url) as good:
        await browser.log_in("agent0")
        await good.log_in("agent1")
        ticket = (await browser.json("POST", "/api/v1/tickets", status=201))["ticket"]
        host, port = running.url.removeprefix("http://").split(":")
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or the kernel would read for it
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, (host, int(port)))
        key = b64encode(b"0123456789abcdef").decode()
        await loop.sock_sendall(
            raw,
            f"GET /ws?ticket={ticket} HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {running.url}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode(),
        )
        assert b"101" in await loop.sock_recv(raw, 1024)
        said = b'{"op":"subscribe","topic":"queues:all"}'
        await loop.sock_sendall(raw, bytes([0x81, 0x80 | len(said), 0, 0, 0, 0]) + said)
        async with good.socket() as heard:
            await heard.send_json({"op": "subscribe", "topic": "queues:all"})
            await heard.receive_json(timeout=5)
            while running.hub.followers("queues", "all") < 2:
                running.hub.publish("queues", "all", "queue", {"name": "both?"})
                await heard.receive_json(timeout=5)
            clients = running.hub.clients
            tracemalloc.start()
            before, at = tracemalloc.get_traced_memory()[0], time.perf_counter()
            worst_ms, most = 0.0, 0
            # At once more than the kernel's buffers hold, and less than may wait: from here on there is something that
            # it does not take.
            for _ in range(_AT_ONCE):
                running.hub.publish("queues", "all", "queue", {"name": _FRAME})
            for _ in range(_AT_ONCE):
                await heard.receive_json(timeout=5)
            while running.hub.clients == clients:
                sent = time.perf_counter()
                running.hub.publish("queues", "all", "queue", {"name": "more"})
                await heard.receive_json(timeout=5)
                worst_ms = max(worst_ms, (time.perf_counter() - sent) * 1000)
                most = max(most, tracemalloc.get_traced_memory()[0] - before)
                await asyncio.sleep(0.02)
            out_s = time.perf_counter() - at
            tracemalloc.stop()
        raw.close()
    return {
        "out_after_s": round(out_s, 2),
        "cost_kb": round(most / 1024),
        "worst_for_the_other_ms": round(worst_ms, 1),
    }


async def _run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ctiserver-bench-") as folder:
        async with desk(Path(folder)) as running:
            crowd = await _crowd(running)
            await asyncio.sleep(1)  # its sockets are closed
            return {**crowd, "reads_nothing": [await _deaf(running) for _ in range(DEAF)]}


def run() -> dict[str, Any]:
    """The crowd, then those that read nothing; aims: all snapshots in 5 s; out within 1 s, 1 MB."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return asyncio.run(_run())
