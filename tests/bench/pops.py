"""From the bus to the agents' browsers: AgentRinging to the WebSocket frame, and a crowd that connects at once.

The browsers here are sockets that read; what a real one adds until the frame is painted is measured in the last part,
with Chromium, where it is installed.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import shutil
import socket as socketlib
import tempfile
import time
import tracemalloc
from base64 import b64encode
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog
from playwright.async_api import async_playwright

from ctiserver.model.ids import AgentId
from tests.e2e.conftest import CHROMIUM_FLAGS, WIDE
from tests.support.desk import PASSWORD, Browser, Desk, desk

BROWSERS = 50
CALLS_PER_S = 20
CALLS = 200
CROWD = 500
HIT_CALLS = 1000
RING_S = 3.0  #: a phone rings so long at least before it is answered
PAINTED = 20


def _percentiles(values_ms: list[float]) -> dict[str, float]:
    ordered = sorted(values_ms)
    return {
        f"p{share}_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))], 2)
        for share in (50, 95, 99)
    } | {"worst_ms": round(ordered[-1], 2), "n": len(ordered)}


async def _rings(running: Desk) -> dict[str, object]:
    """``CALLS`` calls at ``CALLS_PER_S``, each popping at one of ``BROWSERS`` agents."""
    async with AsyncExitStack() as stack:
        sockets = []
        for number in range(BROWSERS):
            browser = await stack.enter_async_context(Browser(running.url))
            await browser.log_in(f"agent{number}")
            socket = await stack.enter_async_context(browser.socket())
            await socket.send_json({"op": "subscribe", "topic": f"pop:agent{number}"})
            await socket.receive_json(timeout=5)
            sockets.append(socket)
        taken_ms: list[float] = []
        began = time.monotonic()
        for number in range(CALLS):
            await asyncio.sleep(max(0.0, began + number / CALLS_PER_S - time.monotonic()))
            agent = number % BROWSERS
            line = running.line(ani=f"138{number:08d}")
            [contact] = await running.features.contacts.find_or_create(line.ani, "bench")
            await running.features.records.open("repair", actor="bench", call_id=line.id, contact_id=contact.id)
            line.start()
            at = time.perf_counter()
            line.ring(f"PJSIP/agent{agent}")
            frame = await sockets[agent].receive_json(timeout=5)
            taken_ms.append((time.perf_counter() - at) * 1000)
            assert frame["data"]["records"]
            line.end()
            await sockets[agent].receive_json(timeout=5)
        return {"ring_to_frame": _percentiles(taken_ms), "browsers": BROWSERS, "calls_per_s": CALLS_PER_S}


async def _crowd(running: Desk) -> dict[str, object]:
    """``CROWD`` browsers that connect at once and want a snapshot each."""
    browser = Browser(running.url)
    async with browser:
        await browser.log_in("agent0")
        began = time.perf_counter()
        taken_s: list[float] = []
        done = asyncio.Event()

        async def one() -> None:
            async with browser.socket() as socket:
                await socket.send_json({"op": "subscribe", "topic": "presence:agent0"})
                await socket.receive_json(timeout=30)
                taken_s.append(time.perf_counter() - began)
                if len(taken_s) == CROWD:
                    done.set()
                await done.wait()

        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with asyncio.TaskGroup() as group:
            for _ in range(CROWD):
                group.create_task(one())
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    return {
        "browsers": CROWD,
        "last_snapshot_s": round(max(taken_s), 2),
        "grown_kb_each_both_ends": round(grown_kb / CROWD, 1),
    }


async def _hits(running: Desk) -> dict[str, object]:
    """``HIT_CALLS`` calls, each fifth handed on to a second agent: who talks was shown the call, and only they.

    A hit is a desk that had the caller's record before its agent was connected. The number of calls at once is what
    so many agents can have: each call begins when its agent is free again.
    """
    async with AsyncExitStack() as stack:
        sockets = []
        for number in range(BROWSERS):
            browser = await stack.enter_async_context(Browser(running.url))
            await browser.log_in(f"agent{number}")
            socket = await stack.enter_async_context(browser.socket())
            await socket.send_json({"op": "subscribe", "topic": f"pop:agent{number}"})
            await socket.receive_json(timeout=5)
            sockets.append(socket)
        free: asyncio.Queue[int] = asyncio.Queue()
        for number in range(BROWSERS):
            free.put_nowait(number)
        wanted = hits = strays = 0
        late_ms: list[float] = []
        had: list[set[str]] = [set() for _ in sockets]  # the calls that each agent was rung for

        async def shown(agent: int, call_id: str, deadline_s: float) -> bool:
            """Does the desk show the call's record by then? What it shows of other calls is counted as astray."""
            nonlocal strays
            until = time.monotonic() + deadline_s
            while (left := until - time.monotonic()) > 0:
                try:
                    data = (await sockets[agent].receive_json(timeout=left))["data"]
                except TimeoutError:
                    return False
                if data is None or data["call_id"] != call_id:
                    strays += data is not None and data["call_id"] not in had[agent]
                elif data["phase"] == "ringing" and data["records"]:
                    return True
            return False

        async def call(number: int) -> None:
            nonlocal wanted, hits
            line = running.line(ani=f"137{number:08d}")
            [contact] = await running.features.contacts.find_or_create(line.ani, "bench")
            await running.features.records.open("repair", actor="bench", call_id=line.id, contact_id=contact.id)
            line.start()
            agents = [await free.get()] + ([await free.get()] if number % 5 == 0 else [])
            for agent in agents:
                wanted += 1
                had[agent].add(line.id)
                at = time.perf_counter()
                line.ring(f"PJSIP/agent{agent}")
                if await shown(agent, line.id, RING_S):
                    hits += 1
                    late_ms.append((time.perf_counter() - at) * 1000)
                line.answer(f"PJSIP/agent{agent}")
                line.hang_up(f"PJSIP/agent{agent}")
            line.end("answered")
            for agent in agents:
                # A desk keeps what ended until its agent is done with it.
                running.features.pops.dismiss(AgentId(f"agent{agent}"))
                free.put_nowait(agent)

        pairs_at_once = asyncio.Semaphore(BROWSERS // 2)  # each may need two agents

        async def bounded(number: int) -> None:
            async with pairs_at_once:
                await call(number)

        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(HIT_CALLS):
                group.create_task(bounded(number))
        taken_s = time.monotonic() - began
    return {
        "calls": HIT_CALLS,
        "desks_wanted": wanted,
        "hits": hits,
        "rate": round(hits / wanted, 5),
        "astray": strays,
        "calls_per_s": round(HIT_CALLS / taken_s, 1),
        "ring_to_frame": _percentiles(late_ms),
    }


async def _slow_reader(running: Desk) -> dict[str, object]:
    """One browser that reads nothing, while another is told at length: how soon it is out, and what it cost."""
    async with Browser(running.url) as browser, Browser(running.url) as good:
        await browser.log_in("agent0")
        await good.log_in("agent1")
        ticket = (await browser.json("POST", "/api/v1/tickets", status=201))["ticket"]
        host, port = running.url.removeprefix("http://").split(":")
        raw = socketlib.socket()
        raw.setsockopt(socketlib.SOL_SOCKET, socketlib.SO_RCVBUF, 4096)  # or the kernel would read for it
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
        reader, writer = await asyncio.open_connection(sock=raw, limit=1024)
        key = b64encode(b"0123456789abcdef").decode()
        writer.write(
            f"GET /ws?ticket={ticket} HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {running.url}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        said = b'{"op":"subscribe","topic":"queues:all"}'
        writer.write(bytes([0x81, 0x80 | len(said), 0, 0, 0, 0]) + said)
        async with good.socket() as socket:
            await socket.send_json({"op": "subscribe", "topic": "queues:all"})
            await socket.receive_json(timeout=5)
            clients = running.hub.clients
            tracemalloc.start()
            before, at = tracemalloc.get_traced_memory()[0], time.perf_counter()
            worst_ms, most, frames = 0.0, 0, 0
            while running.hub.clients == clients:
                sent = time.perf_counter()
                running.hub.publish("queues", "all", "queue", {"name": "x" * 2000})
                await socket.receive_json(timeout=5)
                worst_ms = max(worst_ms, (time.perf_counter() - sent) * 1000)
                most = max(most, tracemalloc.get_traced_memory()[0] - before)
                frames += 1
            out_s = time.perf_counter() - at
            tracemalloc.stop()
        writer.close()
    return {
        "frames_of_2_kb_until_out": frames,
        "out_after_s": round(out_s, 2),
        "cost_kb": round(most / 1024),
        "worst_for_the_other_ms": round(worst_ms, 1),
    }


async def _saves(running: Desk) -> dict[str, object]:
    """Notes saved over HTTP, one after another."""
    async with Browser(running.url) as browser:
        await browser.log_in("agent0")
        record = (await running.features.records.open("enquiry", actor="bench")).record
        taken_ms, was = [], ""
        for number in range(200):
            now = f"{was[-200:]} {number}"
            at = time.perf_counter()
            await browser.json("PATCH", f"/api/v1/records/{record.id}", {"notes": {"was": was, "now": now}})
            taken_ms.append((time.perf_counter() - at) * 1000)
            was = now
    return _percentiles(taken_ms)


async def _painted(running: Desk) -> dict[str, object] | str:
    """AgentRinging to the page's word that the pop was painted, in Chromium."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return "Chromium is not installed"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = await browser.new_page(viewport=WIDE)  # type: ignore[arg-type]
        await page.goto(running.url)
        await page.locator("input[name=login]").fill("agent0")
        await page.locator("input[name=password]").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.locator("cti-status").wait_for()
        taken_ms: list[float] = []
        for number in range(PAINTED):
            line = running.line(ani=f"139{number:08d}")
            [contact] = await running.features.contacts.find_or_create(line.ani, "bench")
            await running.features.records.open("repair", actor="bench", call_id=line.id, contact_id=contact.id)
            line.start()
            async with page.expect_response("**/painted") as told:
                at = time.perf_counter()
                line.ring("PJSIP/agent0")
            await told.value
            taken_ms.append((time.perf_counter() - at) * 1000)
            line.end()
            await page.locator("cti-pop").wait_for(state="detached")
        await browser.close()
    return _percentiles(taken_ms)


async def _run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ctiserver-bench-") as folder:
        async with desk(Path(folder)) as running:
            for number in range(BROWSERS):
                await running.add_user(
                    f"agent{number}", "agent", extension=f"{1000 + number}", interface=f"PJSIP/agent{number}"
                )
            return {
                **await _rings(running),
                "crowd": await _crowd(running),
                "hit_rate": await _hits(running),
                "slow_reader": await _slow_reader(running),
                "notes_saved": await _saves(running),
                "ring_to_painted": await _painted(running),
            }


def run() -> dict[str, Any]:
    """All parts, server and clients in one process on one event loop."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return asyncio.run(_run())
