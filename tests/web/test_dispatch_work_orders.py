"""Work orders over HTTP: a technician's inbox, and what each act answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from ctiserver.model.ids import WorkOrderId, new_ulid
from ctiserver.model.work.work_order import WorkOrder
from tests.support.desk import Browser, Desk, desk
from tests.support.rows import NOW, a_contact, a_record


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(tmp_path) as opened:
        await opened.add_user("tina", "technician")
        await opened.add_user("theo", "technician")
        await opened.add_user("dora", "dispatcher")
        yield opened


async def an_order(shop: Desk, assignee: str | None, **changes: object) -> WorkOrder:
    """An offered dispatch order for a record of a known customer."""
    contact = a_contact()
    record = a_record(contact_id=contact.id, subject="AC", notes="third floor", fields={"fault": "不制冷"})
    async with shop.database.unit_of_work() as uow:
        account = None if assignee is None else await uow.users.by_login(assignee)
        await uow.contacts.add(contact)
        await uow.records.add(record)
        order = WorkOrder(
            id=WorkOrderId(new_ulid(NOW)),
            number=f"D{record.number[1:]}",
            key=f"none/{record.id}",
            kind="dispatch",
            record_id=record.id,
            process_id=None,
            step="visit",
            state="offered",
            assignee=None if account is None else account.id,
            role="technician",
            due_at=NOW,
            payload={"outcomes": ["done", "not_home"]},
            created_at=NOW,
            updated_at=NOW,
        )
        order = replace(order, **changes)  # type: ignore[arg-type]
        await uow.work_orders.add(order)
    return order


async def test_a_technician_sees_accepts_and_completes_an_order(shop: Desk) -> None:
    order = await an_order(shop, "tina")
    async with Browser(shop.url) as browser:
        await browser.log_in("tina")
        (shown,) = (await browser.json("GET", "/api/v1/work-orders?assignee=me"))["work_orders"]
        assert (shown["id"], shown["state"], shown["due_at"]) == (order.id, "offered", "2026-11-21T08:00:00+00:00")
        assert shown["record"]["contact"] == {"name": "测试客户", "organisation": "", "numbers": ["+8613800138000"]}
        assert shown["record"]["fields"] == [
            {"name": "fault", "title": {"zh-CN": "故障现象", "en": "Fault"}, "value": "不制冷"}
        ]
        path = f"/api/v1/work-orders/{order.id}"
        assert (await browser.json("POST", f"{path}/accept", {}))["state"] == "accepted"
        assert (await browser.json("POST", f"{path}/set-out", {}))["state"] == "en_route"
        assert (await browser.json("POST", f"{path}/start", {}))["state"] == "started"
        assert (await browser.json("POST", f"{path}/hold", {"reason": "rain"}))["state"] == "on_hold"
        assert (await browser.json("POST", f"{path}/resume", {}))["state"] == "started"
        done = await browser.json(
            "POST", f"{path}/complete", {"outcome": "done", "report": "new fan", "values": {"labour": "120.00"}}
        )
        assert (done["state"], done["outcome"]) == ("done", "done")
        assert done["result"] == {"on_hold": "rain", "labour": "120.00", "report": "new fan"}
        assert (await browser.json("GET", "/api/v1/work-orders"))["work_orders"] == []
        assert len((await browser.json("GET", "/api/v1/work-orders?open=false"))["work_orders"]) == 1


async def test_an_act_that_comes_too_late_is_409_and_changes_nothing(shop: Desk) -> None:
    order = await an_order(shop, "tina")
    path = f"/api/v1/work-orders/{order.id}"
    async with Browser(shop.url) as browser:
        await browser.log_in("tina")
        await browser.json("POST", f"{path}/accept", {})
        await browser.json("POST", f"{path}/complete", {"outcome": "done"})
        before = await browser.json("GET", path)
        for act, body in (("complete", {"outcome": "not_home"}), ("accept", {}), ("decline", {"reason": "x"})):
            problem = await browser.json("POST", f"{path}/{act}", body, status=409)
            assert problem["code"] == "conflict"
            assert order.number in problem["title"]
        assert await browser.json("GET", path) == before


async def test_what_an_order_cannot_come_to_is_422(shop: Desk) -> None:
    order = await an_order(shop, "tina")
    path = f"/api/v1/work-orders/{order.id}"
    async with Browser(shop.url) as browser:
        await browser.log_in("tina")
        await browser.json("POST", f"{path}/accept", {})
        problem = await browser.json("POST", f"{path}/complete", {"outcome": "unsafe"}, status=422)
        assert problem["fields"] == {"outcome": "unknown"}
        assert "done, not_home" in problem["title"]
        await browser.json("POST", f"{path}/complete", {"outcome": "done", "stray": 1}, status=422)


async def test_others_orders_do_not_exist_for_a_technician(shop: Desk) -> None:
    order = await an_order(shop, "theo")
    free = await an_order(shop, None)
    async with Browser(shop.url) as browser:
        await browser.log_in("tina")
        await browser.json("GET", f"/api/v1/work-orders/{order.id}", status=404)
        await browser.json("POST", f"/api/v1/work-orders/{order.id}/accept", {}, status=404)
        assert (await browser.json("POST", f"/api/v1/work-orders/{free.id}/accept", {}))["state"] == "accepted"
    async with Browser(shop.url) as browser:
        await browser.log_in("theo")
        await browser.json("GET", f"/api/v1/work-orders/{free.id}", status=404)


async def test_a_dispatcher_gives_an_order_to_somebody_else(shop: Desk) -> None:
    order = await an_order(shop, "theo")
    path = f"/api/v1/work-orders/{order.id}/assign"
    async with Browser(shop.url) as browser:
        await browser.log_in("dora")
        problem = await browser.json("POST", path, {"to": "nobody"}, status=422)
        assert problem["fields"] == {"to": "unknown"}
        await browser.json("POST", path, {"to": "tina"})
    async with Browser(shop.url) as browser:
        await browser.log_in("tina")
        await browser.json("POST", path, {"to": "theo"}, status=403)
        assert len((await browser.json("GET", "/api/v1/work-orders"))["work_orders"]) == 1


async def test_who_reports_what_was_given_to_somebody_else_is_told_so_and_it_is_kept(shop: Desk) -> None:
    order = await an_order(shop, "tina")
    path = f"/api/v1/work-orders/{order.id}"
    async with Browser(shop.url) as tina, Browser(shop.url) as dora, Browser(shop.url) as theo:
        await tina.log_in("tina")
        await tina.json("POST", f"{path}/accept", {})
        await dora.log_in("dora")
        await dora.json("POST", f"{path}/place", {"to": "theo"})
        for act, body in (
            ("start", {}),
            ("complete", {"outcome": "done", "report": "new fan"}),
            ("decline", {"reason": "x"}),
        ):
            problem = await tina.json("POST", f"{path}/{act}", body, status=409)
            assert problem["code"] == "handed_on"
        # Nothing else of it is theirs any more.
        await tina.json("GET", path, status=404)
        await tina.json("POST", f"{path}/expenses", {}, status=404)
        await theo.log_in("theo")
        await theo.json("POST", f"{path}/accept", {})
        assert (await theo.json("POST", f"{path}/complete", {"outcome": "not_home"}))["outcome"] == "not_home"
    async with shop.database.reading() as uow:
        lines = await uow.records.timeline(order.record_id)
    assert [(line.actor, line.data["what"]) for line in lines if line.kind == "came_too_late"] == [
        ("user:tina", "done"),
        ("user:tina", "declined"),
    ]
