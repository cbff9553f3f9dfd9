"""An admin finds work that could not be done, has it done again, and drops what is not to be done: in both languages."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import OpenPage
from tests.support.desk import Desk

pytestmark = pytest.mark.browser

WORDS = {
    "zh-CN": ("待处理异常", "重试", "放弃", "确认放弃", "正在重试", "已放弃", "没有待处理的异常"),
    "en": ("Set aside", "Try again", "Drop", "Confirm drop", "Trying again", "Dropped", "Nothing is set aside"),
}


@pytest.mark.parametrize("language", list(WORDS))
async def test_set_aside_page(running: Desk, open_page: OpenPage, language: str) -> None:
    title, again, drop, sure, under_way, dropped, none = WORDS[language]
    await running.add_user("root", "admin", name="Root", language=language)
    record = (await running.features.records.open("repair", actor="user:x")).record

    async def fails() -> None:
        raise ValueError("there is no queue <b>night</b>")

    for ref in ("first", "second"):
        await running.features.aside.contain("timeline", ref, fails, about="opened", record_id=record.id)
    page = await open_page("root", locale=language)
    await page.get_by_role("link", name=title).click()
    first, second = page.locator("li[data-ref=first]"), page.locator("li[data-ref=second]")
    await expect(second).to_contain_text("there is no queue <b>night</b>")
    await expect(second.locator("a")).to_have_attribute("href", f"#/desk/{record.id}")

    await second.get_by_role("button", name=again).click()
    await expect(page.locator("cti-aside [role=status]")).to_contain_text(under_way)
    await expect(second).to_have_count(0)
    assert not await running.features.aside.has("timeline", "second")

    await first.get_by_role("button", name=drop, exact=True).click()
    await first.get_by_role("button", name=sure).click()
    await expect(page.locator("cti-aside [role=status]")).to_contain_text(dropped)
    await expect(page.locator("cti-aside")).to_contain_text(none)
    assert await running.features.aside.has("timeline", "first")  # it stays known, and is not tried again
    async with running.database.reading() as uow:
        acts = {entry.act for entry in await uow.audit.page(10)}
    assert {"set_aside_again", "set_aside_dropped"} <= acts


async def test_a_supervisor_is_not_offered_it(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("boss")
    await expect(page.get_by_role("link", name=WORDS["zh-CN"][0])).to_have_count(0)
