"""A server that ends says so to browsers, and they say so to people; when it is back, so are they."""

from __future__ import annotations

import pytest
from playwright.async_api import Route, expect

from tests.e2e.conftest import OpenPage
from tests.support.desk import Desk

pytestmark = pytest.mark.browser


async def test_a_restart_is_told_and_got_over(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent2")
    await expect(page.locator(".dot.open")).to_be_visible()

    async def gone(route: Route) -> None:
        await route.abort()

    await page.route("**/api/v1/tickets", gone)  # nobody is there to come back to, for a while
    running.hub.close()
    told = page.get_by_text("The server is restarting; please wait. Calls are not affected.")
    await expect(told).to_be_visible()
    await page.unroute("**/api/v1/tickets", gone)
    await expect(told).to_be_hidden()
    await expect(page.locator(".dot.open")).to_be_visible()
