"""Lists come in pages: every item once, in order, whatever the pages' length."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ctiserver.model.ids import UserId, WorkOrderId, new_ulid
from ctiserver.model.work.work_order import WorkOrder
from tests.support.desk import Browser, Desk
from tests.support.rows import NOW, a_record


async def pages(browser: Browser, path: str, key: str, limit: int) -> list[list[Any]]:
    """Every page of a list, as a client that follows ``after`` gets them."""
    found = []
    after = ""
    joint = "&" if "?" in path else "?"
    while True:
        said = await browser.json("GET", f"{path}{joint}limit={limit}{after}")
        found.append(said[key])
        if said["after"] is None:
            return found
        assert len(said[key]) == limit
        after = f"&after={said['after']}"


async def orders(running: Desk, user: UserId) -> list[str]:
    """Orders of one person, due ones first, two of them at the same time and two at none; their ids in that order."""
    record = a_record()
    first = WorkOrder(
        id=WorkOrderId(new_ulid(NOW)), number="D0", key="0", kind="dispatch", record_id=record.id, process_id=None, step="visit",
        state="offered", assignee=user, role="technician", created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    dues = [NOW + timedelta(hours=2), None, NOW, NOW + timedelta(hours=2), None, NOW + timedelta(hours=1)]
    made = [
        replace(first, id=WorkOrderId(new_ulid(NOW)), number=f"D{n}", key=str(n), due_at=due)
        for n, due in enumerate(dues)
    ]
    async with running.database.unit_of_work() as uow:
        await uow.records.add(record)
        for order in made:
            await uow.work_orders.add(order)
    return [order.id for order in sorted(made, key=lambda order: (order.due_at is None, str(order.due_at), order.id))]


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 200])
async def test_an_inbox_in_pages_is_the_inbox(running: Desk, limit: int) -> None:
    async with running.database.reading() as uow:
        technician = await uow.users.by_login("technician")
    assert technician is not None
    expected = await orders(running, technician.id)
    async with Browser(running.url) as browser:
        await browser.log_in("technician")
        for query in ("assignee=me", "open=false"):
            found = await pages(browser, f"/api/v1/work-orders?{query}", "work_orders", limit)
            assert [order["id"] for page in found for order in page] == expected
            assert [len(page) for page in found][:-1] == [limit] * (len(found) - 1)


@pytest.mark.parametrize(("path", "key", "name"), [("agents", "agents", "agent_id"), ("queues", "queues", "name")])
async def test_agents_and_queues_come_in_order_and_once(running: Desk, path: str, key: str, name: str) -> None:
    for number in range(5):
        await running.add_user(f"more{number}", "agent")
    async with Browser(running.url) as browser:
        await browser.log_in("supervisor")
        [whole] = await pages(browser, f"/api/v1/{path}", key, 200)
        names = [item[name] for item in whole]
        assert names == sorted(names)
        assert len(names) > 1
        for limit in (1, 2, len(names)):
            found = await pages(browser, f"/api/v1/{path}", key, limit)
            assert [item[name] for page in found for item in page] == names


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "9" * 50, "1.5", ""])
async def test_a_page_of_no_sensible_length_is_refused(running: Desk, limit: str) -> None:
    async with Browser(running.url) as browser:
        await browser.log_in("supervisor")
        for path in ("agents", "queues", "work-orders"):
            said = await browser.json("GET", f"/api/v1/{path}?limit={limit}", status=422)
            assert said["code"] == "invalid"
