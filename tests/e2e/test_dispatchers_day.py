"""A dispatcher's day in the browser: dragged, moved with the keyboard, and handed over when somebody is ill."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from ctiserver.model.work.work_order import WorkOrder
from tests.e2e.conftest import OpenPage
from tests.support.desk import Desk
from tests.support.eventually import eventually
from tests.support.field import a_visit

pytestmark = pytest.mark.browser
AXE = Path(__file__).parent / "vendor" / "axe.min.js"


async def _order(running: Desk, order: WorkOrder) -> WorkOrder:
    async with running.database.reading() as uow:
        return await uow.work_orders.get(order.id)


async def _serious(page: Page) -> list[Any]:
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = await page.evaluate("axe.run(document)")
    return [
        (one["id"], [node["target"] for node in one["nodes"]])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


async def test_visits_are_dragged_moved_by_keyboard_and_handed_over(running: Desk, open_page: OpenPage) -> None:
    now = datetime.now(UTC)
    await running.add_user("dora", "dispatcher", name="周调度")
    await running.add_user("tech2", "technician", name="陈师傅")
    tray = await a_visit(running.database, now, customer="东方物业", repeat_calls=2)
    hers = await a_visit(running.database, now, "tech1", customer="西城酒店", state="accepted")
    page = await open_page("dora")
    await page.goto(f"{running.url}/#/day")
    card = page.locator(f'[data-visit="{tray.id}"]')
    await expect(card).to_contain_text("催单 ×2")
    assert await _serious(page) == []

    # Dragged from the pile to a person and a window.
    cell = page.locator('[data-cell="tech1/2"]')
    await card.drag_to(cell)
    await expect(cell.locator(f'[data-visit="{tray.id}"]')).to_be_visible()
    placed = await _order(running, tray)
    async with running.database.reading() as uow:
        tech1, tech2 = await uow.users.by_login("tech1"), await uow.users.by_login("tech2")
    assert tech1 is not None
    assert tech2 is not None
    assert (placed.assignee, placed.planned_at is not None) == (tech1.id, True)

    # Picked up with the space bar, one person further and one window back, put down with Enter; it keeps the focus.
    await card.focus()
    await page.keyboard.press("Space")
    await expect(page.get_by_role("status").filter(has_text="方向键")).to_contain_text("刘师傅")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowLeft")
    await expect(page.get_by_role("status").filter(has_text="方向键")).to_contain_text("刘师傅")
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("status").filter(has_text="方向键")).to_contain_text("陈师傅")
    await page.keyboard.press("Enter")
    await expect(page.locator('[data-cell="tech2/1"]').locator(f'[data-visit="{tray.id}"]')).to_be_focused()
    assert (await _order(running, tray)).assignee == tech2.id

    # Why: who gave it, and who else would have fitted.
    await page.keyboard.press("Enter")
    details = page.locator("section.details")
    await expect(details).to_contain_text("由 dora 指派")
    await expect(details).to_contain_text("也合适")

    # Somebody else is faster: what stands now is said, and one may insist.
    await page.evaluate("document.querySelector('cti-app').socket.stop()")
    async with running.database.reading() as uow:
        boss = await uow.users.by_login("boss")
    assert boss is not None
    await running.features.placing.place(tray.id, boss.id, to=tech1.id)
    await details.get_by_label("时段").select_option("3")
    await details.get_by_role("button", name="派出").click()
    await expect(page.get_by_role("alert").filter(has_text="刚被别人改动")).to_contain_text("刘师傅")
    await page.get_by_role("button", name="仍派给 陈师傅").click()
    await expect(page.locator('[data-cell="tech2/4"]').locator(f'[data-visit="{tray.id}"]')).to_be_visible()

    # 刘师傅 is ill: what was accepted goes too, each with its reason.
    await page.get_by_role("button", name="刘师傅").click()
    await page.get_by_label("原因，例如：生病").fill("发烧")
    await page.get_by_role("button", name="转交（在手 1 单）").click()
    await expect(page.locator("cti-handover")).to_contain_text("已转交 1 单")
    assert await _serious(page) == []

    async def gone() -> WorkOrder:
        return await _order(running, hers)

    given = await eventually(gone, lambda order: order.assignee == tech2.id)
    assert given.state == "offered"
