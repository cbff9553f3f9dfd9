"""Take the browser phone's screenshots for docs/images: ``python -m tests.e2e.phone_screenshots [FOLDER]``.

Real Asterisk, real server, a real call between a SIP phone and Chromium.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, async_playwright, expect

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs, find_programs
from tests.e2e.conftest import CHROMIUM_FLAGS, WIDE
from tests.e2e.test_phone import CALLER, MEDIA_FLAGS, WITHIN_MS
from tests.support.desk import PASSWORD
from tests.support.telephony import Exchange, exchange


async def take(centre: Exchange, browser: Browser, programs: Programs, folder: Path) -> None:
    """One call, picture by picture."""
    for login, name, phone, extension in (
        ("wang", "王芳", "web1", "111"),
        ("lee", "Ann Lee", "web2", "112"),
        ("chen", "陈静", "agent1", "101"),
        ("zhou", "周杰", "agent2", "102"),
    ):
        await centre.add_agent(login, phone=phone, extension=extension, name=name)
    for login in ("chen", "zhou"):
        await centre.app.features.agents.log_in(login)  # type: ignore[arg-type]
    await centre.app.features.agents.pause("chen", "lunch")  # type: ignore[arg-type]
    await centre.app.features.contacts.find_or_create(CALLER, "张伟")
    context = await browser.new_context(
        locale="zh-CN",
        viewport=WIDE,
        device_scale_factor=2,
        permissions=["microphone"],  # type: ignore[arg-type]
    )
    page = await context.new_page()
    await page.goto(centre.url)
    await page.locator("input[name=login]").fill("wang")
    await page.locator("input[name=password]").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("cti-phone")).to_contain_text("电话就绪", timeout=WITHIN_MS)
    await page.locator("cti-status button.primary").click()
    await centre.app.features.agents.log_out("zhou")  # type: ignore[arg-type]

    async def shoot(name: str) -> None:
        await page.wait_for_timeout(500)
        await page.screenshot(path=folder / f"{name}.png")
        sys.stdout.write(f"{folder / name}.png\n")

    async with SipPhone.caller(programs, centre.pbx, CALLER) as caller:
        await caller.dial("7101")
        await page.get_by_role("button", name="接听").wait_for()
        await shoot("phone-ringing")
        await page.keyboard.press("Alt+A")
        await expect(page.locator("cti-phone")).to_contain_text("通话中", timeout=WITHIN_MS)
        await page.keyboard.press("Alt+T")
        await page.get_by_role("option", name="Ann Lee").click()
        await shoot("phone-transfer")
        await page.keyboard.press("Alt+H")
        await caller.ended()


async def main(folder: Path) -> None:
    """Start everything, take all pictures, end everything."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-headless-shell")
    if chromium is None:
        sys.exit("screenshots need Chromium: install Debian's package chromium")
    programs = await find_programs(lambda _what, _done: None)
    with tempfile.TemporaryDirectory(prefix="cti-") as name:
        scratch = Path(name)
        async with (
            PrivatePbx.start(scratch / "pbx", agi=f"127.0.0.1:{free_port()}", programs=programs) as pbx,
            exchange(pbx, scratch) as centre,
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(executable_path=chromium, args=[*CHROMIUM_FLAGS, *MEDIA_FLAGS])
            try:
                await take(centre, browser, programs, folder)
            finally:
                await browser.close()


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/images")
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target))
