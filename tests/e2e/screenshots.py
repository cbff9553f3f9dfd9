"""Take the console's screenshots for docs/images: ``python -m tests.e2e.screenshots [FOLDER]``.

Real server, real Chromium; the call is played on the bus, so that every picture is the same each time but for its
times. Browser and Chinese font are those that the headless demo takes.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from playwright.async_api import Browser, Page

from ctiserver.lab.demo.browser import chromium
from ctiserver.lab.privatepbx.headless import headless_browser
from ctiserver.model.calendar.opening_hours import Calendar, CalendarFile
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.calls.call_entry import PathStep
from ctiserver.model.contact import Device, Premises
from ctiserver.model.events import QueueOutcome
from ctiserver.model.ids import DeviceId, SiteId, WorkOrderId, new_ulid
from ctiserver.model.work.work_order import OrderKind, OrderState, WorkOrder
from tests.e2e.conftest import WIDE
from tests.support.desk import PASSWORD, Desk, desk
from tests.support.field import a_visit
from tests.support.queue_caller import Caller


async def _open(browser: Browser, running: Desk, login: str | None, **options: object) -> Page:
    context = await browser.new_context(**{"locale": "zh-CN", "viewport": WIDE, "device_scale_factor": 2, **options})  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(running.url)
    await page.locator("input[name=login]").wait_for()
    if login is not None:
        await page.locator("input[name=login]").fill(login)
        await page.locator("input[name=password]").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.locator("nav a[aria-current=page]").wait_for()
    return page


async def _people(running: Desk) -> None:
    await running.add_user("agent1", "agent", name="王芳", extension="101")
    for number, name in enumerate(("陈静", "Ann Lee", "周杰"), start=2):
        await running.add_user(f"agent{number}", "agent", name=name, extension=f"10{number}")
    await running.add_user("boss", "supervisor", name="李主管", extension="100")
    await running.add_user("tech1", "technician", name="刘师傅")


async def _orders(running: Desk, record_id: str) -> None:
    now = datetime.now(UTC)
    rows: list[tuple[OrderKind, str, OrderState, timedelta]] = [
        ("dispatch", "D20261121-0001", "offered", timedelta(hours=4)),
        ("dispatch", "D20261120-0007", "accepted", timedelta(minutes=-25)),
    ]
    async with running.database.unit_of_work() as uow:
        technician = await uow.users.by_login("tech1")
        assert technician is not None
        for kind, number, state, due in rows:
            await uow.work_orders.add(
                WorkOrder(
                    id=WorkOrderId(new_ulid(now)),
                    number=number,
                    key=number,
                    kind=kind,
                    record_id=record_id,  # type: ignore[arg-type]
                    process_id=None,
                    step="visit",
                    state=state,
                    assignee=technician.id,
                    accept_by=now + timedelta(minutes=30),
                    due_at=now + due,
                    payload={"outcomes": ["done", "not_home", "parts_missing"]},
                    created_at=now,
                    updated_at=now,
                )
            )


async def _day(running: Desk) -> None:
    """Three technicians' visits: given out, on the way, late, and one that nobody has."""
    await running.add_user("tech2", "technician", name="陈师傅", regions=("浦东",))
    await running.add_user("tech3", "technician", name="吴师傅", regions=("徐汇",))
    now = datetime.now(UTC)

    def at(hour: int) -> datetime:
        return now.replace(hour=hour, minute=0, second=0, microsecond=0)

    visits: list[tuple[str | None, str, dict[str, object]]] = [
        (None, "南京路书店", {"region": "浦东", "repeat_calls": 2, "planned_at": None}),
        ("tech1", "世纪公寓", {"planned_at": at(9), "state": "done"}),
        ("tech2", "滨江食堂", {"region": "浦东", "planned_at": at(10), "state": "started", "late": True}),
        ("tech2", "张江药房", {"region": "浦东", "planned_at": at(15), "state": "draft"}),
        ("tech3", "西城酒店", {"region": "徐汇", "planned_at": at(13), "state": "draft"}),
    ]
    async with running.database.reading() as uow:
        boss = await uow.users.by_login("boss")
    assert boss is not None
    for login, customer, more in visits:
        order = await a_visit(running.database, now, login, customer=customer, **more)
        if customer == "西城酒店":
            async with running.database.reading() as uow:
                to = await uow.users.by_login("tech1")
            assert to is not None
            await running.features.placing.place(order.id, boss.id, to=to.id, reason="客户要求")


async def take(running: Desk, browser: Browser, folder: Path) -> None:
    """Go through an agent's call, picture by picture."""
    await _people(running)

    async def shoot(page: Page, name: str) -> None:
        await page.wait_for_timeout(400)  # fonts, and the last frame of a transition
        await page.screenshot(path=folder / f"{name}.png", full_page=True)
        sys.stdout.write(f"{folder / name}.png\n")

    await shoot(await _open(browser, running, None), "desk-login")
    page = await _open(browser, running, "agent1")
    await page.get_by_role("button", name="签入队列").click()
    await page.get_by_text("空闲").wait_for()
    await shoot(page, "desk-idle")

    line = running.line()
    line.start()
    [contact] = await running.features.contacts.find_or_create(line.ani, "张伟")
    contact = await running.features.contacts.rename(
        contact.id, contact.revision, name="张伟", organisation="东方物业", note="机房在地下一层，到访前先打电话"
    )
    async with running.database.unit_of_work() as uow:
        await uow.contacts.add_site(
            Premises(
                id=SiteId(new_ulid(datetime.now(UTC))),
                contact_id=contact.id,
                name="总部",
                address="世纪大道100号A座",
                local_person="赵工",
                local_number="021-5888 1234",
            )
        )
        for serial, model, until in (
            ("20231187", "KFR-35 空调", date(2099, 6, 30)),
            ("19880042", "KFR-26 空调", date(2024, 3, 1)),
        ):
            await uow.contacts.add_device(
                Device(
                    id=DeviceId(new_ulid(datetime.now(UTC))),
                    contact_id=contact.id,
                    serial=serial,
                    model=model,
                    warranty_until=until,
                )
            )
    async with running.database.unit_of_work() as uow:
        for seq, (node, key) in enumerate((("language", "1"), ("service", "1")), start=1):
            await uow.calls.add_step(
                PathStep(
                    call_id=line.id,
                    seq=seq,
                    at=datetime.now(UTC),
                    flow="front_desk",
                    version="1.0.0",
                    node=node,
                    outcome=key,
                    data={"kind": "menu"},
                )
            )
    await running.features.records.open("enquiry", actor="user:agent1", contact_id=contact.id, subject="询问延保价格")
    record = (
        await running.features.records.open(
            "repair", actor=f"call:{line.id}", call_id=line.id, contact_id=contact.id, caller_number=line.ani
        )
    ).record
    line.ring("PJSIP/agent1")
    await page.locator("cti-record").get_by_label("需上门维修").wait_for()
    await shoot(page, "desk-ringing")
    line.answer("PJSIP/agent1")
    await page.locator("#notes").fill("客户说昨晚开始不制冷，外机不转。")
    await page.get_by_label("故障现象").fill("不制冷，显示 E4")
    await page.get_by_text("已保存").wait_for()
    await page.get_by_label("需上门维修").check()
    await shoot(page, "desk-in-call")
    line.hang_up("PJSIP/agent1")
    line.end("answered")
    await page.get_by_text("话后处理").first.wait_for()
    await _orders(running, record.id)
    await page.locator("#save-result").click()
    await page.get_by_text("已保存结果").wait_for()
    await shoot(page, "desk-wrap-up")

    phone = await _open(browser, running, "tech1", viewport={"width": 390, "height": 844})
    await phone.locator("article").first.wait_for()
    await shoot(phone, "tasks-phone")

    for name in ("agent2", "agent3"):
        await running.features.agents.log_in(name)  # type: ignore[arg-type]
    await running.features.agents.pause("agent3", "lunch")  # type: ignore[arg-type]
    now = datetime.now(UTC)
    day: list[tuple[QueueOutcome, float]] = [("answered", 6), ("answered", 14), ("answered", 31), ("abandoned", 3)]
    for number, (outcome, wait_s) in enumerate([*day, ("abandoned", 71)]):
        caller = Caller(running, now - timedelta(minutes=12 + 9 * number), f"1390000000{number}")
        caller.enter()
        caller.leave(outcome, wait_s)
        if outcome == "abandoned":
            caller.end()
    for number in range(2):
        Caller(running, now - timedelta(seconds=47 - 20 * number), f"1370000000{number}").enter()
    lead = await _open(browser, running, "boss", viewport={"width": 1320, "height": 700}, color_scheme="dark")
    await lead.goto(f"{running.url}/#/team")
    await lead.locator("cti-team table").wait_for()
    await shoot(lead, "board")
    await lead.emulate_media(color_scheme="light")
    await lead.goto(f"{running.url}/#/team/repair/answered")
    await lead.locator(".counted").wait_for()
    await shoot(lead, "board-calls")
    await lead.goto(f"{running.url}/#/missed")
    await lead.locator("cti-missed table").wait_for()
    await shoot(lead, "missed")
    await lead.goto(f"{running.url}/#/audit")
    await lead.locator("cti-audit table").wait_for()
    await shoot(lead, "audit")
    await lead.goto(f"{running.url}/#/calls/{line.id}")
    await lead.locator("cti-calls .detail").wait_for()
    await shoot(lead, "calls")
    async with running.database.reading() as uow:
        [record] = await uow.records.of_call(line.id)
    await lead.goto(f"{running.url}/#/chain/{record.id}")
    await lead.locator("cti-chain ol").wait_for()
    await shoot(lead, "chain")
    await _day(running)
    await lead.set_viewport_size({"width": 1320, "height": 900})
    await lead.goto(f"{running.url}/#/day")
    await lead.locator("cti-day table .visit").first.wait_for()
    await lead.locator("cti-day .visit", has_text="西城酒店").click()
    await shoot(lead, "day")
    await lead.goto(f"{running.url}/#/late")
    await lead.locator("cti-late section").first.wait_for()
    await shoot(lead, "late")


def _hours() -> WorkingTime:
    """Open on whichever day the pictures are taken."""
    file = CalendarFile.model_validate(
        {"schema": "calendar/1", "calendar": "service_desk", "weekly": {"mon-sun": ("08:00-20:00",)}}
    )
    return WorkingTime(ZoneInfo("UTC"), {"service_desk": Calendar(file, ZoneInfo("UTC"))})


async def main(folder: Path) -> None:
    """Start server and browser, take all pictures."""
    browser_to_have = await headless_browser(lambda _what, _share: None)  # with a Chinese font
    with tempfile.TemporaryDirectory(prefix="ctiserver-shots-") as scratch:
        async with desk(Path(scratch), hours=_hours()) as running, chromium(browser_to_have) as browser:
            await take(running, browser, folder)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/images")
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target))
