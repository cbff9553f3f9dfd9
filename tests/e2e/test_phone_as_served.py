"""The phone in the browser as a site sets it up: `ctiserver init`, docs/how-to/browser-phone.md, `ctiserver serve`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from ctiserver.lab.drill.server import Server
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from tests.e2e.conftest import WIDE, WITHIN_MS
from tests.support.asterisk import pbx, programs, session_pbx
from tests.support.desk import PASSWORD
from tests.support.installation import Installation

__all__ = ["pbx", "programs", "session_pbx"]
pytestmark = [pytest.mark.browser, pytest.mark.pbx]


@pytest.fixture
async def served(tmp_path: Path, pbx: PrivatePbx) -> AsyncIterator[str]:
    """The console's address of a site whose agent ``wang`` has the phone web1 in the browser."""
    site = Installation(tmp_path / "site", pbx)
    site.edit("ctiserver.yaml", 'url: ""               # the PBX\'s own', f'url: "{pbx.phones_url}"  # the PBX\'s own')
    site.edit(
        "ctiserver.yaml",
        "# secrets_file: /etc/ctiserver/main.phones.json",
        f"secrets_file: {pbx.browser_phones_path}",
    )
    config = site.folder / "ctiserver.yaml"
    account = ("--role", "agent", "--extension", "111", "--interface", "PJSIP/web1", "--skill", "repair")
    command = ("user", "add", "wang", *account, "--password-stdin", "--config", str(config))
    added = await asyncio.to_thread(site.run, *command, typed=PASSWORD)
    assert added.returncode == 0, added.stderr
    server = Server(config, site.environment, tmp_path / "server.log")
    try:
        await server.start()
        yield server.console.url
    finally:
        await server.end()


async def test_an_agents_phone_is_ready(served: str, chromium: Browser) -> None:
    context = await chromium.new_context(locale="zh-CN", viewport=WIDE, permissions=["microphone"])  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(served)
    await page.locator("input[name=login]").fill("wang")
    await page.locator("input[name=password]").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("cti-phone .chip.good")).to_be_visible(timeout=WITHIN_MS)
