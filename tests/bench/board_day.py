"""Eight hours at the board, as quickly as the page takes them: what the server and the page hold must not grow.

A day's calls are played on the bus; a Chromium looks at the board all the while. Compared are the state after the first
eighth and at the end, in each after a collection of garbage, once the board has let go of the calls that are logged. The
server's growth is given by kind of object and for each call.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from playwright.async_api import Page, async_playwright

from ctiserver.model.events import QueueOutcome
from tests.e2e.conftest import CHROMIUM_FLAGS, WIDE
from tests.support.desk import PASSWORD, Desk, desk
from tests.support.eventually import eventually
from tests.support.queue_caller import Caller

HOURS = 8
CALLS_PER_HOUR = int(os.environ.get("CTISERVER_BENCH_CALLS_PER_HOUR", "250"))
AGENTS = 10
#: So many calls are played, then the page is given the time to draw what came of them.
_AT_ONCE = 25
_OUTCOMES: tuple[QueueOutcome, ...] = ("answered", "answered", "answered", "abandoned", "timeout")


async def _page_holds(page: Page) -> dict[str, float]:
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("HeapProfiler.collectGarbage")
    await devtools.send("Performance.enable")
    found = {it["name"]: it["value"] for it in (await devtools.send("Performance.getMetrics"))["metrics"]}
    await devtools.detach()
    return {
        "heap_kb": round(found["JSHeapUsedSize"] / 1024),
        "nodes": found["Nodes"],
        "listeners": found["JSEventListeners"],
    }


def _server_holds(running: Desk) -> dict[str, Any]:
    gc.collect()
    ours = Counter(type(it).__name__ for it in gc.get_objects() if str(type(it).__module__).startswith("ctiserver."))
    return {
        "memory_kb": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024,
        "objects": ours,
        "tasks": len(asyncio.all_tasks()),
        "browsers": running.hub.clients,
    }


async def _unread(running: Desk) -> int:
    return sum(len(subscription._waiting) for subscription in running.bus._subscriptions)


async def _day(running: Desk, page: Page) -> dict[str, object]:
    holds: list[dict[str, Any]] = []
    frames = 0

    def heard(_: object) -> None:
        nonlocal frames
        frames += 1

    page.on("websocket", lambda socket: socket.on("framereceived", heard))
    await page.reload()
    await page.locator("cti-team table").wait_for()
    calls = HOURS * CALLS_PER_HOUR
    begins = datetime.now(UTC) - timedelta(minutes=1)  # all at one time of today: what is played is how much, not when
    for number in range(calls):
        caller = Caller(running, begins, f"139{number:08d}")
        phone = f"PJSIP/agent{number % AGENTS}"
        line = running.line(ani=f"138{number:08d}")
        caller.enter()
        line.start()
        line.ring(phone)
        caller.leave(_OUTCOMES[number % len(_OUTCOMES)], number % 50)
        line.answer(phone)
        line.hang_up(phone)
        line.end("answered")
        caller.end()
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0.6)  # longer than the board waits before it tells
        if number + 1 in (calls // 8, calls):
            # Calls come quicker than any centre's: what was heard of them is worked through first.
            await eventually(partial(_unread, running), lambda events: events == 0, within_s=300)
            await asyncio.sleep(2)
            await running.features.board.let_go_of_the_logged(timedelta())
            holds.append({"calls": number + 1, "page": await _page_holds(page), "server": _server_holds(running)})
    offered = sum(queue.figures.offered for queue in running.features.board.everything())
    shown = await page.locator("section.tile", has_text="报修").locator("a[href$='/offered']").text_content()
    first, last = holds[0], holds[-1]
    grown = last["server"].pop("objects") - first["server"].pop("objects")
    kb = last["server"]["memory_kb"] - first["server"]["memory_kb"]
    return {
        "hours": HOURS,
        "calls": calls,
        "counted": offered,
        "shown_on_the_page": int(shown or 0),
        "frames": frames,
        "after_an_eighth": first,
        "at_the_end": last,
        # Of the seven hours between: by kind what there is more of, and of the process's memory.
        "server_objects_more": dict(grown),
        "server_kb_a_call": round(kb / (calls * 7 / 8), 2),
    }


async def _run() -> dict[str, Any]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return {"skipped": "Chromium is not installed"}
    with tempfile.TemporaryDirectory(prefix="ctiserver-bench-") as folder:
        async with desk(Path(folder)) as running, async_playwright() as playwright:
            for number in range(AGENTS):
                await running.add_user(
                    f"agent{number}", "agent", extension=f"{1000 + number}", interface=f"PJSIP/agent{number}"
                )
            await running.add_user("boss", "supervisor", extension="100", interface="PJSIP/boss")
            browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
            context = await browser.new_context(viewport=WIDE, locale="zh-CN")  # type: ignore[arg-type]
            page = await context.new_page()
            await page.goto(f"{running.url}/#/team")
            await page.locator("input[name=login]").fill("boss")
            await page.locator("input[name=password]").fill(PASSWORD)
            await page.keyboard.press("Enter")
            await page.locator("cti-team table").wait_for()
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(running.features.board.tell())
                report = await _day(running, page)
                telling.cancel()
            await browser.close()
            return report


def run() -> dict[str, Any]:
    """Play the day."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return asyncio.run(_run())
