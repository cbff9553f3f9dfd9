"""Take the pictures of one service from the ring to its end: ``python -m tests.e2e.chain_screenshots [FOLDER]``.

Everything is real: an Asterisk, telephones, Chromium, an SMS gateway. It takes a minute.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page, async_playwright

from ctiserver.lab.privatepbx.tree import find_programs
from tests.e2e.conftest import CHROMIUM_FLAGS
from tests.e2e.whole_way import WholeWay, go


async def main(folder: Path) -> None:
    """Go the whole way, picture by picture; of what comes twice the first is kept."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-headless-shell")
    if chromium is None:
        sys.exit("screenshots need Chromium: install Debian's package chromium")
    taken: set[str] = set()

    async def shoot(page: Page, name: str) -> None:
        if name not in taken:
            taken.add(name)
            await page.wait_for_timeout(400)  # fonts, and the last frame of a transition
            await page.screenshot(path=folder / f"{name}.png", full_page=True)
            sys.stdout.write(f"{folder / name}.png\n")

    programs = await find_programs(lambda _what, _share: None)
    with tempfile.TemporaryDirectory(prefix="ctiserver-way-") as scratch:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
            try:
                async with WholeWay.open(programs, Path(scratch), browser, shoot=shoot, sharp=2) as way:
                    await way.chain(await go(way))
            finally:
                await browser.close()


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/images")
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target))
