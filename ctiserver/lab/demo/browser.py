"""People at browsers: the agent's desk and the technician's page in a headless Chromium, driven as a person would."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from playwright._impl._driver import compute_driver_executable
from playwright.async_api import Browser, Error, Locator, Page, async_playwright

from ctiserver.errors import CtiError, UserFault
from ctiserver.lab.privatepbx.headless import Headless
from ctiserver.model.work.work_order import WorkOrder

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
_DRIVER_STARTS_S = 20.0
#: How many of the browser's own last lines are told.
_OWN_WORDS = 2


class BrowserFailed(CtiError):
    """The browser did not do what it was asked."""


@asynccontextmanager
async def chromium(headless: Headless) -> AsyncIterator[Browser]:
    """A headless Chromium for the length of the block.

    Raises BrowserFailed when it does not start, or a page does not show what was waited for; UserFault where the
    driver does not start.
    """
    executable = headless.executable
    try:
        async with AsyncExitStack() as stack:
            environment: dict[str, str | float | bool] = {**os.environ, **headless.environment}
            if headless.fonts:
                fonts = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ctiserver-fonts-"))) / "fonts.conf"
                fonts.write_text(headless.fonts, encoding="utf-8")
                environment["FONTCONFIG_FILE"] = str(fonts)
            await driver_starts(headless)
            stack.enter_context(_set(headless.driver))
            playwright = await stack.enter_async_context(async_playwright())
            browser = await playwright.chromium.launch(
                executable_path=executable, args=list(FLAGS), headless=True, env=environment
            )
            stack.push_async_callback(browser.close)
            yield browser
    except Error as error:
        raise BrowserFailed(f"the browser {executable}: {_why(error.message)}") from error


async def driver_starts(headless: Headless) -> None:
    """See that the program which drives the browser starts. Raises UserFault where it does not.

    Playwright itself would tell a bare Exception, and leave the program's own words on stderr.
    """
    environment = {**os.environ, **headless.driver}
    # Playwright looks for it in our own environment.
    node = environment.get("PLAYWRIGHT_NODEJS_PATH") or compute_driver_executable()[0]
    try:
        process = await asyncio.create_subprocess_exec(
            node,
            "--version",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(_DRIVER_STARTS_S):
            _, said = await process.communicate()
    except OSError as error:
        reason = error.strerror or str(error)
    except TimeoutError:
        process.kill()
        await process.wait()
        reason = f"no answer within {_DRIVER_STARTS_S:g} s"
    else:
        if process.returncode == 0:
            return
        reason = said.decode("utf-8", "replace").strip()[:300] or f"it ended with {process.returncode}"
    raise UserFault(
        f"the browser's driver does not start: {reason}",
        where=node,
        fix="Install what it lacks (Debian: apt install libatomic1), or name a Node.js by PLAYWRIGHT_NODEJS_PATH",
    )


def _why(message: str) -> str:
    """Playwright's message without the pages of log behind it: its first line, and what the browser itself said."""
    lines = message.strip().splitlines() or [""]
    own = list(dict.fromkeys(line.partition("[err]")[2].strip() for line in lines if "[err]" in line))
    return "; ".join([lines[0].strip(), *own[-_OWN_WORDS:]])[:600]


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


class DemoPerson:
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
    ) -> AsyncIterator[DemoPerson]:
        """Log in; returns when the person's first page is shown."""
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
