"""Parts and money over HTTP: stock, what a visit cost, who decides on much of it, what an outlet is owed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ctiserver.clock import ManualClock
from ctiserver.features.stock import service
from ctiserver.features.stock.service import StockKeeping
from ctiserver.model.contact import Device
from ctiserver.model.ids import DeviceId, WorkOrderId, new_ulid
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from ctiserver.site.price_list import Goods, Outlet
from ctiserver.store.faults import StoreUnavailable
from ctiserver.store.repositories.goods import Stock
from tests.support.desk import Browser, Desk, desk


@dataclass
class Visit:
    """A technician's visit, and a browser for each who has to do with it."""

    desk: Desk
    clock: ManualClock
    order: WorkOrder
    technician: Browser
    keeper: Browser
    supervisor: Browser

    async def receive(self, place: str, part: str, quantity: int, key: str = "") -> Any:
        body = {
            "key": key or new_ulid(datetime.now(UTC)),
            "kind": "receive",
            "place": place,
            "part": part,
            "quantity": quantity,
        }
        return (await self.keeper.json("POST", "/api/v1/stock/moves", body))["levels"][0]

    async def level(self, place: str, part: str) -> tuple[int, int, int]:
        levels = (await self.keeper.json("GET", f"/api/v1/stock?place={place}"))["levels"]
        return next(((it["on_hand"], it["reserved"], it["old_due"]) for it in levels if it["part"] == part), (0, 0, 0))

    async def use(self, part: str, quantity: int, key: str, status: int = 201) -> Any:
        return await self.technician.json(
            "POST",
            f"/api/v1/work-orders/{self.order.id}/parts",
            {"key": key, "part": part, "quantity": quantity},
            status=status,
        )

    async def spend(self, what: str, quantity: str, key: str, **more: Any) -> Any:
        return await self.technician.json(
            "POST",
            f"/api/v1/work-orders/{self.order.id}/expenses",
            {"key": key, "what": what, "quantity": quantity, **more},
            status=201,
        )

    async def at(self, moment: datetime) -> None:
        """It is that time, and everybody has logged in again: a session lasts a shift."""
        self.clock.advance((moment - self.clock.now()).total_seconds())
        for who, browser in (("technician", self.technician), ("supervisor", self.supervisor)):
            await browser.log_in(who)

    async def expenses(self) -> Any:
        return await self.supervisor.json("GET", f"/api/v1/records/{self.order.record_id}/expenses")


@pytest.fixture
async def visit(tmp_path: Path) -> AsyncIterator[Visit]:
    clock = ManualClock(datetime(2026, 11, 23, 2, 0, tzinfo=UTC))
    site = load_site(shipped("config"))
    outlets = {"east": Outlet(title={"en": "East"}, technicians=("technician",))}
    site = replace(site, goods=Goods.model_validate({**site.goods.model_dump(), "outlets": outlets}))
    async with desk(tmp_path, site=site, clock=clock) as it:
        for role in ("technician", "storekeeper", "supervisor", "cashier"):
            await it.add_user(role, role)
        [contact] = await it.features.contacts.find_or_create("13800000001", "张伟")
        opened = await it.features.records.open("repair", actor="user:x", contact_id=contact.id)
        async with it.database.unit_of_work() as uow:
            technician = await uow.users.by_login("technician")
            assert technician is not None
            now = clock.now()
            order = WorkOrder(
                id=WorkOrderId(new_ulid(now)), number="D1", key="k", kind="dispatch", record_id=opened.record.id,
                process_id=None, step="visit", state="started", assignee=technician.id, role="technician",
                created_at=now, updated_at=now,
            )  # fmt: skip
            await uow.work_orders.add(order)
        async with Browser(it.url) as one, Browser(it.url) as two, Browser(it.url) as three:
            await one.log_in("technician")
            await two.log_in("storekeeper")
            await three.log_in("supervisor")
            yield Visit(it, clock, order, one, two, three)


async def test_a_part_built_in_leaves_the_van_costs_and_its_worn_one_is_due(visit: Visit) -> None:
    await visit.receive("main", "compressor", 3)
    sent = {"key": "to-the-van", "place": "main", "to": "van_1", "part": "compressor", "quantity": 2}
    await visit.keeper.json("POST", "/api/v1/stock/sent", sent)
    await visit.keeper.json("POST", "/api/v1/stock/sent", sent)  # once more: once
    assert await visit.level("main", "compressor") == (1, 0, 0)
    line = await visit.use("compressor", 1, "used-part-1")
    assert (line["amount"], line["payer"], line["state"]) == ("480.00", "customer", "approved")
    assert await visit.level("van_1", "compressor") == (1, 0, 1)
    back = {"key": "old-part-1", "kind": "return_old", "place": "van_1", "part": "compressor", "quantity": 1}
    await visit.keeper.json("POST", "/api/v1/stock/moves", back)
    assert await visit.level("van_1", "compressor") == (1, 0, 0)
    async with visit.desk.database.reading() as uow:
        kinds = {entry.kind for entry in await uow.records.timeline(visit.order.record_id)}
    assert kinds == {"opened", "expense_written", "part_issue"}


async def test_the_last_part_goes_to_one_of_a_hundred_and_costs_once(visit: Visit) -> None:
    await visit.receive("van_1", "filter", 1)

    async def take(number: int) -> int:
        body = {"key": f"grab-{number:03d}", "part": "filter", "quantity": 1}
        return (await visit.technician.ask("POST", f"/api/v1/work-orders/{visit.order.id}/parts", body)).status

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(take(number)) for number in range(100)]
    assert sorted({task.result() for task in tasks}) == [201, 409]
    assert [task.result() for task in tasks].count(201) == 1
    assert await visit.level("van_1", "filter") == (0, 0, 0)
    assert len((await visit.expenses())["lines"]) == 1


async def test_a_phone_that_asks_again_uses_nothing_twice(visit: Visit) -> None:
    await visit.receive("van_1", "filter", 5)
    first = await visit.use("filter", 2, "lost-answer")
    assert await visit.use("filter", 2, "lost-answer") == first
    assert await visit.level("van_1", "filter") == (3, 0, 0)
    refused = await visit.technician.ask(
        "POST", f"/api/v1/work-orders/{visit.order.id}/parts", {"key": "lost-answer", "part": "filter", "quantity": 1}
    )
    assert refused.status == 409


async def test_what_is_reserved_is_for_its_order_alone_and_free_when_that_is_over(visit: Visit) -> None:
    await visit.receive("van_1", "filter", 2)
    move = {"kind": "reserve", "place": "van_1", "part": "filter", "quantity": 2, "order_id": visit.order.id}
    await visit.keeper.json("POST", "/api/v1/stock/moves", {"key": "reserve-1", **move})
    other = {"key": "elsewhere-1", "place": "van_1", "to": "main", "part": "filter", "quantity": 1}
    assert (await visit.keeper.ask("POST", "/api/v1/stock/sent", other)).status == 409
    await visit.use("filter", 1, "used-one-1")
    assert await visit.level("van_1", "filter") == (1, 1, 0)
    async with visit.desk.database.unit_of_work() as uow:
        order = await uow.work_orders.lock(visit.order.id)
        await uow.work_orders.update(replace(order, state="done"))
    jobs = [one.background_jobs for one in visit.desk.features.contributions]
    stock = next(found["stock"] for found in jobs if "stock" in found)
    running = asyncio.ensure_future(stock())
    try:
        async with asyncio.timeout(20):
            while await visit.level("van_1", "filter") != (1, 0, 0):
                pass
    finally:
        running.cancel()


async def test_tidying_up_bears_a_database_that_is_away_and_keeps_no_writer_waiting(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, looked = [True], asyncio.Event()

    async def stale(stock: Stock) -> list[Any]:
        if away:
            away.clear()
            raise StoreUnavailable("away")
        looked.set()
        return []

    monkeypatch.setattr(Stock, "stale_promises", stale)
    monkeypatch.setattr(service, "_TIDY_EVERY_S", 0.01)
    stock = StockKeeping(visit.desk.database, visit.clock, visit.desk.site.goods)
    running = asyncio.ensure_future(stock.run())
    async with asyncio.timeout(20):
        await looked.wait()
    running.cancel()
    async with visit.desk.database.unit_of_work():  # on SQLite the only one that may write, and nobody opens a second
        assert await stock.tidy() == 0


async def test_under_warranty_the_maker_pays_and_work_goes_to_the_technicians_outlet(visit: Visit) -> None:
    async with visit.desk.database.unit_of_work() as uow:
        record = await uow.records.lock(visit.order.record_id)
        assert record.contact_id is not None
        device = Device(
            id=DeviceId(new_ulid(visit.clock.now())), contact_id=record.contact_id, serial="SN1",
            warranty_until=visit.clock.now().date(),
        )  # fmt: skip
        await uow.contacts.add_device(device)
        await uow.records.update(replace(record, device_id=device.id))
    await visit.spend("labour", "1.5", "hours-01")
    await visit.spend("travel", "12.5", "the-way-1", payer="company")
    said = await visit.expenses()
    assert [(line["what"], line["amount"], line["payer"], line["payee"]) for line in said["lines"]] == [
        ("labour", "90.00", "maker", "outlet:east"),
        ("travel", "18.75", "company", "outlet:east"),
    ]
    assert said["totals"] == {"maker": "90.00", "company": "18.75"}


async def test_much_money_waits_for_a_supervisor_who_did_not_write_it(visit: Visit) -> None:
    line = await visit.spend("labour", "9", "long-day")
    assert line["state"] == "waiting"
    [waiting] = (await visit.supervisor.json("GET", "/api/v1/expenses/waiting"))["lines"]
    assert waiting["id"] == line["id"]
    decision = f"/api/v1/expenses/{line['id']}/decision"
    assert (await visit.supervisor.ask("POST", decision, {"approve": False})).status == 400  # no reason
    await visit.supervisor.json("POST", decision, {"approve": False, "reason": "nine hours?"})
    assert (await visit.supervisor.ask("POST", decision, {"approve": True})).status == 409
    assert (await visit.expenses())["totals"] == {}


async def test_a_month_is_settled_once_and_what_comes_late_goes_to_the_next(visit: Visit) -> None:
    await visit.spend("labour", "1", "in-november")
    body = {"payee": "outlet:east", "month": "2026-11"}
    refused = await visit.supervisor.ask("POST", "/api/v1/settlements", body)
    assert refused.status == 400
    assert "not over" in (await refused.json())["title"]
    await visit.at(datetime(2026, 11, 30, 15, 59, tzinfo=UTC))  # the last minute of November in Shanghai
    await visit.spend("travel", "10", "last-minute")
    await visit.at(datetime(2026, 11, 30, 16, 0, tzinfo=UTC))
    await visit.spend("labour", "2", "in-december")
    november = await visit.supervisor.json("POST", "/api/v1/settlements", body, status=201)
    assert (november["total"], november["lines"]) == ("75.00", 2)
    assert await visit.supervisor.json("POST", "/api/v1/settlements", body, status=201) == november
    await visit.at(datetime(2027, 1, 1, tzinfo=UTC))
    december = await visit.supervisor.json("POST", "/api/v1/settlements", {**body, "month": "2026-12"}, status=201)
    assert (december["total"], december["lines"]) == ("120.00", 1)


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        (
            "/api/v1/stock/moves",
            {"kind": "receive", "place": "mian", "part": "filter", "quantity": 1},
            "did you mean 'main'?",
        ),
        (
            "/api/v1/stock/moves",
            {"kind": "receive", "place": "main", "part": "flter", "quantity": 1},
            "did you mean 'filter'?",
        ),
        ("/api/v1/stock/moves", {"kind": "reserve", "place": "main", "part": "filter", "quantity": 1}, "work order"),
        ("/api/v1/stock/sent", {"place": "main", "to": "main", "part": "filter", "quantity": 1}, "must differ"),
    ],
)
async def test_what_can_not_be_says_what_to_do(visit: Visit, path: str, body: dict[str, Any], says: str) -> None:
    refused = await visit.keeper.ask("POST", path, {"key": "some-key-1", **body})
    assert refused.status == 400
    assert says in (await refused.json())["title"]
