"""Chromium on the desk: real server, real browser; the PBX is a bus that the test plays on."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.support.desk import PASSWORD, Desk, desk

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Deadlines, not waits: a machine that does much else at the time is slow, not wrong.
WITHIN_MS = 15_000
expect.set_options(timeout=WITHIN_MS)
WIDE = {"width": 1320, "height": 860}

OpenPage = Callable[..., Awaitable[Page]]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Desk]:
    """The desk with two agents, a supervisor and a technician."""
    async with desk(tmp_path) as it:
        await it.add_user("agent1", "agent", name="王芳", extension="101")
        await it.add_user("agent2", "agent", name="Ann Lee", language="en", extension="102")
        await it.add_user("boss", "supervisor", name="李主管", extension="100")
        await it.add_user("tech1", "technician", name="刘师傅")
        yield it


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A browser without a window."""
    names = ("chromium", "chromium-headless-shell", "google-chrome")
    path = next(found for name in names if (found := shutil.which(name)))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@pytest.fixture
async def open_page(running: Desk, chromium: Browser) -> AsyncIterator[OpenPage]:
    """Opens a page of its own context, logged in if a name is given; complaints of any page fail the test."""
    complaints: list[str] = []

    async def open_(login: str | None = None, **options: object) -> Page:
        context = await chromium.new_context(**{"locale": "zh-CN", "viewport": WIDE, **options})  # type: ignore[arg-type]
        context.set_default_timeout(WITHIN_MS)
        page = await context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"{login}: {error}"))
        page.on(
            "console",
            # A refused request is part of some tests; a breach of the content policy or an error of ours never is.
            lambda said: (
                complaints.append(f"{login}: {said.text}")
                if said.type == "error" and "Failed to load resource" not in said.text
                else None
            ),
        )
        await page.goto(running.url)
        if login is not None:
            await page.locator("input[name=login]").fill(login)
            await page.locator("input[name=password]").fill(PASSWORD)
            await page.keyboard.press("Enter")
            await page.locator("nav a[aria-current=page]").wait_for()
        return page

    yield open_
    assert complaints == []
