"""What comes late, from before the person did something else, does not undo what the person did."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Route, expect

from tests.e2e.conftest import OpenPage
from tests.support.desk import PASSWORD, Desk

pytestmark = pytest.mark.browser

#: Keeps the frames about pops from the page until they are called.
_HOLD_POPS = """
  const { set } = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage");
  const held = (window.held = []);
  const keep = (pass) => (document.documentElement.dataset.held = held.push(pass));
  Object.defineProperty(WebSocket.prototype, "onmessage", {
    set(handler) {
      set.call(this, (message) =>
        message.data.includes('"pop:') ? keep(() => handler(message)) : handler(message));
    },
  });
"""


async def test_a_pop_does_not_take_back_the_page_that_was_just_chosen(running: Desk, open_page: OpenPage) -> None:
    page = await open_page()
    await page.add_init_script(_HOLD_POPS)
    await page.reload()
    await running.features.agents.log_in("agent1")
    line = running.line()
    line.start()
    opened = await running.features.records.open("repair", actor=f"call:{line.id}", call_id=line.id)
    line.ring("PJSIP/agent1")
    await page.locator("input[name=login]").fill("agent1")
    await page.locator("input[name=password]").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.locator("html[data-held='1']").wait_for()
    # A browser tells of a new address a moment after it has it; the pop comes in that moment.
    await page.evaluate("() => { location.hash = '#/calls'; held.at(-1)(); }")
    await page.locator("cti-calls").wait_for()
    await expect(page.get_by_role("link", name="通话记录")).to_have_attribute("aria-current", "page")
    assert page.url.endswith("#/calls")
    # and the desk has it, as soon as the person comes back
    await page.get_by_role("link", name="坐席台").click()
    await page.locator("html[data-held='2']").wait_for()
    await page.evaluate("() => held.at(-1)()")
    await expect(page.locator("cti-record")).to_contain_text(opened.record.number)
    assert page.url.endswith(f"#/desk/{opened.record.id}")


async def test_a_refusal_from_before_the_log_in_does_not_end_it(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    await page.goto(f"{running.url}/#/calls")
    await page.locator("cti-calls").wait_for()
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        answer = await route.fetch()
        assert answer.status == 401
        asked.set()
        await go_on.wait()
        await route.fulfill(response=answer)

    await running.features.users.set_password("agent1", PASSWORD)  # which ends the sessions there are
    await page.route("**/api/v1/queues", late, times=1)
    await page.goto(f"{running.url}/#/desk")
    await asked.wait()
    await page.locator("input[name=login]").fill("agent1")
    await page.locator("input[name=password]").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="签入队列").wait_for()
    async with page.expect_response(lambda answer: answer.status == 401) as refused:
        go_on.set()
    await (await refused.value).finished()
    await page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    await page.get_by_role("button", name="签入队列").click()
    await expect(page.get_by_text("空闲")).to_be_visible()


async def test_logging_in_again_opens_one_connection(running: Desk, open_page: OpenPage) -> None:
    """The ticket for the connection before it comes when there is a new one already."""
    page = await open_page()
    asked, go_on = asyncio.Event(), asyncio.Event()
    opened = 0

    async def late(route: Route) -> None:
        answer = await route.fetch()
        asked.set()
        await go_on.wait()
        await route.fulfill(response=answer)

    def count(_: object) -> None:
        nonlocal opened
        opened += 1

    page.on("websocket", count)
    await page.route("**/api/v1/tickets", late, times=1)
    for turn in ("first", "second"):
        await page.locator("input[name=login]").fill("agent1")
        await page.locator("input[name=password]").fill(PASSWORD)
        await page.keyboard.press("Enter")
        if turn == "first":
            await asked.wait()
            await page.get_by_role("button", name="退出").click()
    await page.locator(".dot.open").wait_for()
    async with page.expect_response("**/api/v1/tickets") as ticket:
        go_on.set()
    await (await ticket.value).finished()
    await page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    assert (opened, running.hub.clients) == (1, 1)
