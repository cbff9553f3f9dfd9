"""What a technician's page asks for over HTTP: photos, each kept once, and a checklist that holds up ``done``."""

from __future__ import annotations

import asyncio
import io
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from ctiserver.features.photos.http import MAX_BYTES
from ctiserver.model.ids import WorkOrderId, new_ulid
from ctiserver.model.work.photo import MOST_OF_AN_ORDER
from ctiserver.model.work.work_order import WorkOrder
from tests.support.desk import Browser, Desk, desk
from tests.support.rows import NOW, a_record

JPEG = b"\xff\xd8\xff\xe0" + b"light and shadow" * 50 + b"\xff\xd9"
KEY = "a-key-of-the-phone"


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = chunk(b"IHDR", b"\0\0\0\1\0\0\0\1\x08\0\0\0\0")
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(tmp_path) as opened:
        for login, role in (("tina", "technician"), ("theo", "technician"), ("dora", "dispatcher"), ("anna", "agent")):
            await opened.add_user(login, role)  # type: ignore[arg-type]
        yield opened


async def an_order(shop: Desk, **changes: Any) -> WorkOrder:
    """An accepted order of tina's."""
    record = a_record()
    async with shop.database.unit_of_work() as uow:
        tina = await uow.users.by_login("tina")
        assert tina is not None
        await uow.records.add(record)
        order = WorkOrder(
            id=WorkOrderId(new_ulid(NOW)),
            number=f"D{record.number[1:]}",
            key=f"none/{record.id}",
            kind="dispatch",
            record_id=record.id,
            process_id=None,
            step="visit",
            state="accepted",
            assignee=tina.id,
            role="technician",
            payload={"outcomes": ["done", "not_home"]},
            created_at=NOW,
            updated_at=NOW,
        )
        order = replace(order, **changes)
        await uow.work_orders.add(order)
    return order


async def send(
    browser: Browser, order: WorkOrder, content: bytes = JPEG, key: str = KEY, media_type: str = "image/jpeg"
) -> ClientResponse:
    headers = {"Origin": browser.url, "Content-Type": media_type}
    path = f"/api/v1/work-orders/{order.id}/photos?key={key}"
    async with browser.http.post(f"{browser.url}{path}", data=io.BytesIO(content), headers=headers) as response:
        await response.read()
        return response


async def test_a_photo_is_kept_once_and_seen_with_its_record(shop: Desk, tmp_path: Path) -> None:
    order = await an_order(shop)
    async with Browser(shop.url) as browser:
        await browser.log_in("tina")
        first = await send(browser, order)
        assert first.status == 201
        again = await send(browser, order, key=KEY)
        assert (again.status, await again.json()) == (200, await first.json())
        photo = (await first.json())["id"]
        (shown,) = (await browser.json("GET", f"/api/v1/work-orders/{order.id}"))["photos"]
        assert shown["id"] == photo
    async with Browser(shop.url) as browser:
        await browser.log_in("anna")
        (listed,) = (await browser.json("GET", f"/api/v1/records/{order.record_id}/photos"))["photos"]
        assert (listed["id"], listed["added_by"], listed["size"]) == (photo, "tina", len(JPEG))
        picture = await browser.ask("GET", f"/api/v1/photos/{photo}")
        assert (picture.status, picture.content_type) == (200, "image/jpeg")
        assert (await picture.text("latin-1")).encode("latin-1") == JPEG
        assert picture.headers["X-Content-Type-Options"] == "nosniff"
        assert "private" in picture.headers["Cache-Control"]
        await browser.json("GET", f"/api/v1/photos/{new_ulid(NOW)}", status=404)
    async with shop.database.reading() as uow:
        kinds = [entry.kind for entry in await uow.records.timeline(order.record_id)]
    assert kinds == ["photo_added"]
    assert [path.read_bytes() for path in (tmp_path / "data/photos").rglob("*.jpg")] == [JPEG]
    for path in (tmp_path / "data/photos").rglob("*.jpg"):
        path.unlink()
    async with Browser(shop.url) as browser:
        await browser.log_in("anna")
        await browser.json("GET", f"/api/v1/photos/{photo}", status=404)


async def test_the_same_photo_sent_many_times_at_once_is_kept_once(shop: Desk, tmp_path: Path) -> None:
    order = await an_order(shop)
    async with Browser(shop.url) as browser:
        await browser.log_in("tina")
        answers = await asyncio.gather(*(send(browser, order) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
    async with shop.database.reading() as uow:
        assert len(await uow.photos.of_record(order.record_id)) == 1
        assert len(await uow.records.timeline(order.record_id)) == 1
    assert [path.suffix for path in (tmp_path / "data/photos").rglob("*") if path.is_file()] == [".jpg"]


@pytest.mark.parametrize(
    ("content", "media_type", "key", "status"),
    [
        (png(), "image/png", KEY, 201),
        (b"RIFF" + (8).to_bytes(4, "little") + b"WEBPVP8 ", "image/webp", KEY, 201),
        (JPEG, "image/png", KEY, 422),
        (JPEG[:-2], "image/jpeg", KEY, 422),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", KEY, 422),
        (b"<script>alert(1)</script>", "image/jpeg", KEY, 422),
        (b"", "image/jpeg", KEY, 422),
        (JPEG, "image/jpeg", "short", 422),
        (JPEG[:-2] + bytes(MAX_BYTES) + JPEG[-2:], "image/jpeg", KEY, 413),
    ],
)
async def test_what_is_no_photo_is_not_kept(  # noqa: PLR0917
    shop: Desk, tmp_path: Path, content: bytes, media_type: str, key: str, status: int
) -> None:
    order = await an_order(shop)
    async with Browser(shop.url) as browser:
        await browser.log_in("tina")
        assert (await send(browser, order, content, key, media_type)).status == status
    kept = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert len(kept) == (status == 201)


async def test_photos_of_others_are_nobodys_business(shop: Desk) -> None:
    order = await an_order(shop)
    async with Browser(shop.url) as browser:
        await browser.log_in("tina")
        photo = (await (await send(browser, order)).json())["id"]
    async with Browser(shop.url) as browser:
        await browser.log_in("theo")
        assert (await send(browser, order, key="another-key")).status == 404
        await browser.json("GET", f"/api/v1/photos/{photo}", status=404)
        await browser.json("GET", f"/api/v1/records/{order.record_id}/photos", status=404)


async def test_an_order_has_so_many_photos_and_no_more(shop: Desk) -> None:
    order = await an_order(shop)
    async with Browser(shop.url) as browser:
        await browser.log_in("tina")
        for number in range(MOST_OF_AN_ORDER):
            assert (await send(browser, order, key=f"{KEY}-{number}")).status == 201
        assert (await send(browser, order, key=f"{KEY}-more")).status == 409
        assert (await send(browser, order, key=f"{KEY}-1")).status == 200


async def test_a_disk_that_takes_nothing_is_said_and_the_phone_tries_again(shop: Desk, tmp_path: Path) -> None:
    order = await an_order(shop)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "photos").write_text("in the way")
    async with Browser(shop.url) as browser:
        await browser.log_in("tina")
        assert (await send(browser, order)).status == 503
        (tmp_path / "data" / "photos").unlink()
        assert (await send(browser, order)).status == 201


CHECKLIST = [
    {"name": "fixed", "title": {"en": "Firmly mounted"}, "required": True},
    {"name": "explained", "title": {"en": "Explained"}, "required": False},
]


async def test_what_must_be_ticked_holds_up_done_and_nothing_else(shop: Desk) -> None:
    payload = {"outcomes": ["done", "not_home"], "checklist": CHECKLIST}
    order, other = await an_order(shop, payload=payload), await an_order(shop, payload=payload)
    async with Browser(shop.url) as browser:
        await browser.log_in("tina")
        path = f"/api/v1/work-orders/{order.id}"
        assert (await browser.json("GET", path))["checklist"] == CHECKLIST
        for checked in ([], ["explained"]):
            problem = await browser.json(
                "POST", f"{path}/complete", {"outcome": "done", "checked": checked}, status=422
            )
            assert problem["fields"] == {"checked": "missing"}
            assert "fixed" in problem["title"]
        assert (await browser.json("GET", path))["state"] == "accepted"
        done = await browser.json("POST", f"{path}/complete", {"outcome": "done", "checked": ["fixed"]})
        assert (done["state"], done["result"]["checked"]) == ("done", ["fixed"])
        away = await browser.json("POST", f"/api/v1/work-orders/{other.id}/complete", {"outcome": "not_home"})
        assert away["outcome"] == "not_home"
