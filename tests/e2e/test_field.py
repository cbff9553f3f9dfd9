"""The technician's page on a phone: checklist and photos, without a connection and through a reload."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import FilePayload, Page, expect

from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.model.ids import WorkOrderId, new_ulid
from ctiserver.model.json_value import Json
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.settings import WebSettings
from tests.e2e.conftest import OpenPage
from tests.support.desk import Desk, desk
from tests.support.eventually import eventually
from tests.support.relay import Relay, relay

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
#: Deadlines for what takes a browser many steps: pictures read and scaled, a page from what was kept.
SLOW_MS = 45_000
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 780}, "has_touch": True}
#: What the page needs without a connection and has not kept yet.
MISSING = """async () => {
  const needed = ["/", "/api/v1/session", "/api/v1/work-orders?assignee=me", "/static/parts/photos.js", "/static/vendor/lit.js"];
  const found = await Promise.all(needed.map((address) => caches.match(address)));
  return [...(navigator.serviceWorker.controller ? [] : ["worker"]), ...needed.filter((_, index) => !found[index])];
}"""
CHECKLIST: list[Json] = [
    {"name": "fixed", "title": {"zh-CN": "安装牢固", "en": "Firmly mounted"}, "required": True},
    {"name": "explained", "title": {"zh-CN": "向客户讲解", "en": "Explained to the customer"}, "required": False},
]


def picture(width: int, height: int) -> FilePayload:
    """A PNG as a camera makes it: larger than what is sent."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    rows = zlib.compress((b"\0" + bytes(index % 256 for index in range(width))) * height, 1)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return {"name": "picture.png", "mimeType": "image/png", "buffer": content}


def jpeg_size(content: bytes) -> tuple[int, int]:
    """Width and height, as the frame's header has them."""
    at = 2
    while content[at + 1] not in (0xC0, 0xC2):
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(content[at + 5 : at + 7], "big")


@pytest.fixture
async def wire() -> AsyncIterator[Relay]:
    """What the phone reaches the desk by."""
    async with relay(free_port()) as opened:
        yield opened


@pytest.fixture
async def running(tmp_path: Path, wire: Relay) -> AsyncIterator[Desk]:
    """A desk with a technician, at the far end of the wire."""
    web = WebSettings(port=wire.to_port, public_url=f"http://127.0.0.1:{wire.port}")
    async with desk(tmp_path, web=web) as opened:
        await opened.add_user("tech1", "technician", name="刘师傅")
        yield opened


async def an_order(running: Desk) -> tuple[Record, WorkOrder]:
    record = (
        await running.features.records.open("installation", actor="user:test", caller_number="13800138000")
    ).record
    now = datetime.now(UTC)
    async with running.database.unit_of_work() as uow:
        technician = await uow.users.by_login("tech1")
        assert technician is not None
        order = WorkOrder(
            id=WorkOrderId(new_ulid(now)),
            number="D20261121-0001",
            key=f"none/{record.id}",
            kind="dispatch",
            record_id=record.id,
            process_id=None,
            step="visit",
            state="accepted",
            assignee=technician.id,
            due_at=now + timedelta(hours=4),
            payload={"outcomes": ["done", "not_home"], "checklist": CHECKLIST},
            created_at=now,
            updated_at=now,
        )
        await uow.work_orders.add(order)
    return record, order


async def barriers(page: Page) -> list[str]:
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run({resultTypes: ['violations']})")
    over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [
        *(it["id"] for it in found["violations"] if it["impact"] in ("serious", "critical")),
        *([f"{over} px too wide"] if over > 0 else []),
    ]


async def test_a_visit_without_a_connection_is_whole_when_it_is_back(
    running: Desk, open_page: OpenPage, wire: Relay, tmp_path: Path
) -> None:
    record, order = await an_order(running)
    page = await open_page("tech1", **PHONE)
    await expect(page.locator("article")).to_contain_text("安装牢固")
    # Until then a technician who goes into a cellar is as badly off as without it.
    assert await eventually(lambda: page.evaluate(MISSING), lambda missing: missing == [], within_s=60) == []
    wire.cut()
    await page.locator("input[name=files]").set_input_files([picture(2000, 1000), picture(640, 480)])
    await expect(page.get_by_text("未发送", exact=True)).to_have_count(2, timeout=SLOW_MS)
    await page.get_by_role("button", name="到达").tap()
    await page.get_by_label("向客户讲解").check()
    await page.get_by_role("button", name="完成").tap()
    await expect(page.get_by_text("请先勾选：安装牢固")).to_be_visible()
    await expect(page.get_by_role("button", name="提交")).to_be_disabled()
    await page.get_by_label("处理说明").fill("已安装")
    assert await barriers(page) == []

    await page.reload()
    await expect(page.get_by_text("未发送", exact=True)).to_have_count(2, timeout=SLOW_MS)
    await expect(page.get_by_label("向客户讲解")).to_be_checked()
    await page.get_by_role("button", name="English").or_(page.get_by_role("button", name="en", exact=True)).tap()
    await page.get_by_label("Firmly mounted").check()
    await page.get_by_role("button", name="Done").tap()
    await expect(page.get_by_label("What was done")).to_have_value("已安装")
    assert await barriers(page) == []
    await page.get_by_role("button", name="Submit").tap()
    await expect(page.get_by_text("Done on this device; not sent to the server yet.")).to_be_visible()
    await expect(page.get_by_role("status").get_by_text("4 not sent yet")).to_be_visible()
    async with running.database.reading() as uow:
        assert (await uow.work_orders.get(order.id)).state == "accepted"
        assert await uow.photos.of_record(record.id) == []

    wire.heal()
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await expect(page.get_by_text("No tasks")).to_be_visible(timeout=SLOW_MS)
    async with running.database.reading() as uow:
        done = await uow.work_orders.get(order.id)
        photos = await uow.photos.of_record(record.id)
        kinds = [entry.kind for entry in await uow.records.timeline(record.id)]
    assert (done.state, done.result["report"]) == ("done", "已安装")
    assert sorted(str(name) for name in done.result["checked"]) == ["explained", "fixed"]  # type: ignore[union-attr]
    files = {photo.sha256: next((tmp_path / "data/photos").rglob(f"{photo.sha256}.jpg")) for photo in photos}
    assert sorted(jpeg_size(file.read_bytes()) for file in files.values()) == [(640, 480), (1600, 800)]
    assert [kinds.count(kind) for kind in ("photo_added", "order_started", "order_done")] == [2, 1, 1]
    await page.get_by_role("button", name="Log out").tap()
    assert (
        await eventually(lambda: page.evaluate("async () => await caches.has('cti-field')"), lambda there: not there)
        is False
    )


async def test_more_tasks_than_the_server_gives_at_once_are_shown_when_asked_for(
    running: Desk, open_page: OpenPage
) -> None:
    _, order = await an_order(running)
    async with running.database.unit_of_work() as uow:
        for number in range(200):
            other = WorkOrderId(new_ulid(order.created_at))
            await uow.work_orders.add(replace(order, id=other, number=f"D{number}", key=f"none/{number}", payload={}))
    page = await open_page("tech1", **PHONE)
    await expect(page.locator("article")).to_have_count(200, timeout=SLOW_MS)
    await page.get_by_role("button", name="显示更多").tap()
    await expect(page.locator("article")).to_have_count(201, timeout=SLOW_MS)
    await expect(page.get_by_role("button", name="显示更多")).to_have_count(0)
