"""From the bus to the agents' browsers: AgentRinging to the WebSocket frame, and to the painted pop.

The browsers are sockets in a process of their own; one of them is a Chromium, where it is installed.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from playwright.async_api import Page, Playwright, async_playwright

from ctiserver.model.ids import AgentId, CallId
from tests.bench._browsers import Browsers
from tests.e2e.conftest import CHROMIUM_FLAGS, WIDE
from tests.support.desk import PASSWORD, Browser, Desk, PhoneLine, desk

BROWSERS = 50
CALLS_PER_S = 20
CALLS = 400
HIT_CALLS = 1000
RING_S = 3.0  #: in the second, so long at least before it is answered
RINGS_S = 0.35  #: in the first part, a phone rings so long


def _percentiles(values_ms: list[float]) -> dict[str, float]:
    if not values_ms:
        return {"n": 0}
    ordered = sorted(values_ms)
    return {
        f"p{share}_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))], 2)
        for share in (50, 95, 99)
    } | {"worst_ms": round(ordered[-1], 2), "n": len(ordered)}


async def _rings(running: Desk, playwright: Playwright) -> dict[str, object]:
    """``CALLS`` calls at ``CALLS_PER_S``, each popping at one of ``BROWSERS`` desks; every tenth at a real page, if any.

    A frame's time is taken where the browser gets it, in another process; a painting's where the page says so.
    """
    logins = [f"agent{number}" for number in range(BROWSERS)]
    async with AsyncExitStack() as stack:
        page = await _page(running, playwright, stack)
        others = logins[1:] if page else logins
        browsers = await stack.enter_async_context(
            Browsers.of(running.url, {login: [f"pop:{login}", f"presence:{login}"] for login in others})
        )
        came = await browsers.connect()
        rung: dict[str, tuple[float, datetime]] = {}  # by call: by the clock that all share, and by that of the log
        shown_ms: dict[str, float] = {}
        at_the_page: list[str] = []

        async def listen() -> None:
            while True:
                at, _, frame = await browsers.hear()
                data = frame["data"]
                if frame["topic"].startswith("pop:") and data and data["phase"] == "ringing" and data["records"]:
                    shown_ms.setdefault(data["call_id"], (at - rung[data["call_id"]][0]) * 1000)

        async def call(number: int) -> None:
            await asyncio.sleep(max(0.0, began + number / CALLS_PER_S - time.monotonic()))
            agent = "agent0" if page and number % 10 == 0 else others[number % len(others)]
            line = lines[number]
            line.start()
            if agent == "agent0":
                at_the_page.append(line.id)
            rung[line.id] = time.monotonic(), datetime.now(UTC)
            line.ring(f"PJSIP/{agent}")
            await asyncio.sleep(RINGS_S)
            line.end()

        lines = await _known_callers(running, CALLS)
        listening = asyncio.ensure_future(listen())
        began, cpu_s = time.monotonic(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for number in range(CALLS):
                group.create_task(call(number))
        cpu_s = time.process_time() - cpu_s
        await asyncio.sleep(1.0)  # what is on its way yet
        listening.cancel()
        painted_ms = []
        for call_id in at_the_page:
            for pop in await running.features.pops.of_call(CallId(call_id)):
                if pop.painted_at is not None:
                    painted_ms.append((pop.painted_at - rung[call_id][1]).total_seconds() * 1000)
        return {
            "browsers": len(came["snapshots_s"]) + (page is not None),
            "calls_per_s": CALLS_PER_S,
            "ring_to_frame": _percentiles(list(shown_ms.values())) | {"of": CALLS - len(at_the_page)},
            "ring_to_painted": _percentiles(painted_ms) | {"of": len(at_the_page)} if page else "no Chromium",
            "server_cpu_ms_a_call": round(cpu_s * 1000 / CALLS, 2),
        }


async def _known_callers(running: Desk, count: int) -> list[PhoneLine]:
    """Calls to come, of callers who have a record each. Written beforehand: not what is measured."""
    lines = [running.line(ani=f"138{number:08d}") for number in range(count)]
    for begin in range(0, count, 20):
        async with running.database.unit_of_work() as uow:
            for line in lines[begin : begin + 20]:
                [contact] = await running.features.contacts.find_or_create_within(uow, line.ani, "bench")
                await running.features.records.open_within(
                    uow, "repair", actor="bench", call_id=line.id, contact_id=contact.id
                )
    return lines


async def _page(running: Desk, playwright: Playwright, stack: AsyncExitStack) -> Page | None:
    """The desk of agent0 in a Chromium, if there is one."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return None
    browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
    stack.push_async_callback(browser.close)
    page = await browser.new_page(viewport=WIDE)  # type: ignore[arg-type]
    page.set_default_timeout(120_000)
    await page.goto(running.url)
    await page.locator("input[name=login]").fill("agent0")
    await page.locator("input[name=password]").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.locator("cti-status").wait_for()
    return page


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


async def _saves(running: Desk) -> dict[str, float]:
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


async def _run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ctiserver-bench-") as folder:
        async with desk(Path(folder)) as running, async_playwright() as playwright:
            for number in range(BROWSERS):
                await running.add_user(
                    f"agent{number}", "agent", extension=f"{1000 + number}", interface=f"PJSIP/agent{number}"
                )
            return {
                **await _rings(running, playwright),
                "hit_rate": await _hits(running),
                "notes_saved": await _saves(running),
            }


def run() -> dict[str, Any]:
    """Aims: frame p99 50 ms, painted p99 150 ms, notes saved p95 200 ms, hit rate 0.995."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return asyncio.run(_run())
