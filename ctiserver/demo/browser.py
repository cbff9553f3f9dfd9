"""People at browsers: the agent's desk and the technician's page in a headless Chromium, driven as a person would."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from playwright.async_api import Browser, Error, Locator, Page, async_playwright

from ctiserver.errors import CtiError
from ctiserver.model.work_order import WorkOrder
from ctiserver.privatepbx.headless import Headless

#: Everything that Chromium would otherwise ask of the network by itself is off.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_TIMEOUT_MS = 15_000


class BrowserFailed(CtiError):
    """The browser did not do what it was asked."""


@asynccontextmanager
async def chromium(headless: Headless) -> AsyncIterator[Browser]:
    """A headless Chromium for the length of the block.

    Raises BrowserFailed when it does not start, or a page does not show what was waited for.
    """
    executable = headless.executable
    try:
        async with AsyncExitStack() as stack:
            environment: dict[str, str | float | bool] = {**os.environ, **headless.environment}
            if headless.fonts:
                fonts = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ctiserver-fonts-"))) / "fonts.conf"
                fonts.write_text(headless.fonts, encoding="utf-8")
                environment["FONTCONFIG_FILE"] = str(fonts)
            stack.enter_context(_set(headless.driver))
            playwright = await stack.enter_async_context(async_playwright())
            browser = await playwright.chromium.launch(
                executable_path=executable, args=list(FLAGS), headless=True, env=environment
            )
            stack.push_async_callback(browser.close)
            yield browser
    except Error as error:
        raise BrowserFailed(f"the browser {executable}: {error.message.strip()[:2000]}") from error


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of our own environment: the driver takes nothing else."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Person:
    """Somebody at a browser of their own."""

    def __init__(self, page: Page, shots: Path | None) -> None:
        self._page = page
        self._shots = shots

    @classmethod
    @asynccontextmanager
    async def at(
        cls,
        browser: Browser,
        url: str,
        login: str,
        password: str,
        *,
        phone_sized: bool = False,
        shots: Path | None = None,
    ) -> AsyncIterator[Person]:
        """Log in; whoever it is has their first page before them."""
        size = {"width": 390, "height": 844} if phone_sized else {"width": 1280, "height": 860}
        context = await browser.new_context(viewport=size)  # type: ignore[arg-type]
        try:
            page = await context.new_page()
            page.set_default_timeout(_TIMEOUT_MS)
            await page.goto(url)
            await page.locator("input[name=login]").fill(login)
            await page.locator("input[name=password]").fill(password)
            await page.locator("button.primary").click()
            await page.locator("cti-login").wait_for(state="detached")
            yield cls(page, shots)
        finally:
            await context.close()

    async def shoot(self, name: str) -> None:
        """Keep a picture of the page, where pictures are wanted."""
        if self._shots is not None:
            self._shots.mkdir(parents=True, exist_ok=True)
            await self._page.screenshot(path=self._shots / f"{name}.png")

    async def available(self) -> None:
        """Wait until the desk says that it is ready for calls."""
        await self._page.locator("cti-status .chip.good").wait_for()

    async def dispose(self, values: dict[str, str], result: str) -> None:
        """Fill in the record's fields (by their titles on the page), choose the result and save it."""
        form = self._page.locator("cti-record")
        for title, text in values.items():
            await form.get_by_label(title).fill(text)
        await form.locator(f"input[name=result][value={result}]").check()
        await self.shoot("desk-wrap-up")
        await form.locator("#save-result").click()

    async def sees(self, order: WorkOrder) -> None:
        """Wait until the order stands in the list."""
        await self._order(order).wait_for()

    async def accept(self, order: WorkOrder) -> None:
        """Accept a work order in the list."""
        await self._order(order).locator(".actions button.primary").click()
        await self._order(order).and_(self._page.locator(".accepted")).wait_for()

    async def complete(self, order: WorkOrder, outcome: str, report: str) -> None:
        """Say what the order came to; it leaves the list."""
        card = self._order(order)
        await card.locator(".actions button.primary").click()
        await card.locator("select[name=outcome]").select_option(outcome)
        await card.locator("textarea[name=report]").fill(report)
        await self.shoot("tasks-report")
        await card.locator("form button.primary").click()
        await card.wait_for(state="detached")

    def _order(self, order: WorkOrder) -> Locator:
        return self._page.locator("cti-tasks article", has_text=order.number)
