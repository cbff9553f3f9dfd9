"""One service from the ring to its end, on a real Asterisk: who calls, who answers, who works and who pays all act as
people do, at telephones and in browsers; everything between them is the product. Waits are over in a second, since the
site's own copy of the process says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import Browser, Locator, Page

from ctiserver.app.composition import App, running
from ctiserver.features.stock.service import StockKeeping
from ctiserver.ivr.language.loader import load_flow
from ctiserver.ivr.speech.prompts import Shelf
from ctiserver.ivr.speech.texts import said_by_flow
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.json_value import JsonObject
from ctiserver.model.person import Role
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import OrderKind, WorkOrder
from ctiserver.resources import shipped
from ctiserver.settings import Settings
from tests.support.customers import CUSTOMER, CustomerSite, answers
from tests.support.desk import PASSWORD
from tests.support.dispatch import until

HOTLINE = "4008001234"
#: Deadlines, not waits: the machine may be busy with much else.
WITHIN_S = 60.0

_PROCESS = """\
schema: process/1
process: repair
version: 1
for: {type: repair}
start: prepare
steps:
  prepare:
    all:
      goods: {order: parts, to: {role: storekeeper, choose: anybody}, complete_within: 3 days}
      slot: {order: appointment, to: {role: dispatcher, choose: anybody}, complete_within: 4 hours}
    on: {done: visit, refused: close_unresolved, late: {escalate: supervisor, stay: true}}
  visit:
    order: dispatch
    to: {role: technician, choose: least_loaded}
    accept_within: 30 minutes
    complete_within: 1 day
    on:
      done: offer
      declined: {go: visit, max: 3, then: dispatcher}
      late: {escalate: supervisor, stay: true}
  offer:
    order: quote
    to: {role: supervisor, choose: anybody}
    complete_within: 1 day
    on: {done: settle, refused: close_unresolved, late: {escalate: admin, stay: true}}
  settle:
    order: expense
    to: {role: supervisor, choose: anybody}
    complete_within: 1 day
    on: {done: follow_up, late: {escalate: supervisor, stay: true}}
  follow_up:
    order: follow_up
    after: 1 second
    by: [{call: satisfaction}, {person: owner}]
    within: {calendar: always}
    attempts: 2
    retry_after: 1 second
    on:
      satisfied: close_resolved
      dissatisfied: {go: again, raise_priority: 1, notify: supervisor, max: 2, then: supervisor}
      unreachable: close_unresolved
  again:
    order: dispatch
    to: {role: technician, choose: least_loaded}
    complete_within: 1 day
    on:
      done: follow_up
      declined: {go: again, max: 3, then: dispatcher}
      late: {escalate: supervisor, stay: true}
  close_resolved: {close: resolved}
  close_unresolved: {close: unresolved}
"""
_GOODS = """\
currency: CNY
approval_above: "500.00"
parts:
  compressor: {title: {zh-CN: 压缩机, en: Compressor}, price: "480.00"}
work:
  visit: {title: {zh-CN: 上门费, en: Visit}, price: "80.00"}
places:
  main: {title: {zh-CN: 总库, en: Main store}}
  van_1: {title: {zh-CN: 一号车, en: Van 1}, technician: technician1}
"""
_MESSAGES = """\
sms: {{url: "http://127.0.0.1:{port}/send", price: "0.05"}}
customers:
  - on: order_accepted
    order: dispatch
    via: sms
    text: {{zh-CN: "您的服务单 {{record}} 已安排 {{technician}} 上门", en: "Service {{record}}: {{technician}} will visit you"}}
"""
_OPEN = """\
schema: calendar/1
calendar: service_desk
weekly:
  mon-sun: ["00:00-24:00"]
"""
#: Who works here: login, name, role.
_PEOPLE: tuple[tuple[str, str, Role], ...] = (
    ("agent1", "王芳", "agent"),
    ("dispatcher1", "周杰", "dispatcher"),
    ("storekeeper1", "孙库", "storekeeper"),
    ("technician1", "刘师傅", "technician"),
    ("supervisor1", "李主管", "supervisor"),
)

Shoot = Callable[[Page, str], Awaitable[None]]


async def _no_picture(page: Page, name: str) -> None:
    """Nobody wants pictures of a test."""


@dataclass
class Gateway:
    """An SMS gateway, which keeps what it is sent."""

    port: int = 0
    sent: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Gateway]:
        gateway = cls()

        async def send(request: web.Request) -> web.Response:
            gateway.sent.append(await request.json())
            return web.json_response({})

        site = web.Application()
        site.router.add_post("/send", send)
        runner = web.AppRunner(site)
        await runner.setup()
        try:
            listening = web.TCPSite(runner, "127.0.0.1", 0)
            await listening.start()
            gateway.port = runner.addresses[0][1]
            yield gateway
        finally:
            await runner.cleanup()


@dataclass
class WholeWay:
    """A running centre, and everybody who takes part."""

    app: App
    browser: Browser
    customer: SipPhone
    agent_phone: SipPhone
    gateway: Gateway
    shoot: Shoot = _no_picture
    sharp: int = 1  #: how many pixels of a screen stand for one of the page, along a side
    pages: dict[str, Page] = field(default_factory=dict)  #: by login

    @classmethod
    @asynccontextmanager
    async def open(
        cls, programs: Programs, folder: Path, browser: Browser, *, shoot: Shoot = _no_picture, sharp: int = 1
    ) -> AsyncIterator[WholeWay]:
        """The centre, with a compressor or two in the technician's van."""
        async with AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(Gateway.open())
            site = CustomerSite.write(folder / "site", trunk_port=free_port(), agi_port=free_port())
            for name, text in (
                ("processes/repair.yaml", _PROCESS),
                ("goods.yaml", _GOODS),
                ("messages.yaml", _MESSAGES.format(port=gateway.port)),
                ("calendars/service_desk.yaml", _OPEN),
                ("calendars/always.yaml", _OPEN.replace("service_desk", "always")),
            ):
                path = site.folder / "config" / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
            pbx = await stack.enter_async_context(site.pbx(programs))
            customer = await stack.enter_async_context(site.phone(programs, pbx))
            agent_phone = await stack.enter_async_context(SipPhone.agent(programs, pbx, "agent1"))
            settings = site.settings(pbx.ami_port, pbx.ami_secret)
            await _speak(settings)
            app = await stack.enter_async_context(running(settings))
            for login, name, role in _PEOPLE:
                phone: dict[str, Any] = (
                    {"skills": ("repair",), "extension": "101", "interface": "PJSIP/agent1"} if role == "agent" else {}
                )
                await app.features.users.add(login, name=name, role=role, password=PASSWORD, language="zh-CN", **phone)
            await app.features.agents.load()
            await StockKeeping(app.database, app.clock, app.site.goods).move(
                key="delivered", kind="receive", place="van_1", part="compressor", quantity=3, actor="user:storekeeper1"
            )
            await app.ready(WITHIN_S)
            yield cls(app, browser, customer, agent_phone, gateway, shoot, sharp)

    async def page(self, login: str, *, at: str = "tasks", narrow: bool = False) -> Page:
        """Somebody's browser, at the page ``at``: logged in the first time, and kept."""
        if login in self.pages:
            await self.pages[login].goto(f"{self.app.url}/#/{at}")
            return self.pages[login]
        size = {"width": 390, "height": 844} if narrow else {"width": 1320, "height": 860}
        context = await self.browser.new_context(locale="zh-CN", viewport=size, device_scale_factor=self.sharp)  # type: ignore[arg-type]
        context.set_default_timeout(WITHIN_S * 1000)
        page = self.pages[login] = await context.new_page()
        await page.goto(f"{self.app.url}/#/{at}")
        await page.locator("input[name=login]").fill(login)
        await page.locator("input[name=password]").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.locator("nav a[aria-current=page]").wait_for()
        return page

    async def call(self) -> Record:
        """The customer calls, the agent answers, writes down what is wrong, and saves that somebody has to come."""
        page = await self.page("agent1", at="desk")
        await page.get_by_role("button", name="签入队列").click()
        await page.locator("cti-status .chip.good").wait_for()
        await self.customer.dial(HOTLINE)
        await self.customer.answered(WITHIN_S)
        for key in "11":
            heard_s = self.customer.heard_s()
            await until(
                lambda before=heard_s: _more(self.customer, before), "the caller hears a prompt", deadline_s=WITHIN_S
            )
            await self.customer.press(key)
        await self.agent_phone.ringing(WITHIN_S)
        await page.locator("cti-record").get_by_label("需上门维修").wait_for()
        await self.agent_phone.answer(WITHIN_S)
        await page.locator("cti-record").get_by_label("故障现象").fill("空调不制冷，外机不转")
        await page.get_by_text("已保存").first.wait_for()
        await self.customer.hang_up()
        await self.agent_phone.ended(WITHIN_S)
        await page.locator("cti-record").get_by_label("需上门维修").check()
        await page.locator("#save-result").click()
        await page.get_by_text("已保存结果").wait_for()
        async with self.app.database.reading() as uow:
            [record] = await uow.records.recent()
        return record

    async def order(self, record: Record, kind: OrderKind, state: str = "offered") -> WorkOrder:
        """The record's only order of this kind that is in this state, once there is one."""
        found: list[WorkOrder] = []

        async def there() -> bool:
            async with self.app.database.reading() as uow:
                orders = await uow.work_orders.of_record(record.id)
            found[:] = [one for one in orders if (one.kind, one.state) == (kind, state)]
            return bool(found)

        await until(there, f"a {kind} order is {state}", deadline_s=WITHIN_S)
        [order] = found
        return order

    async def does(self, login: str, order: WorkOrder, report: str, *, use: dict[str, int] | None = None) -> None:
        """Somebody accepts an order in their list, does it, and says so; ``use``: what is built in or spent."""
        technician = order.kind == "dispatch"
        page = await self.page(login, narrow=technician)
        card = page.locator("cti-tasks article", has_text=order.number)
        await card.locator(".actions button.primary").click()
        await card.and_(page.locator(".accepted")).wait_for()
        if technician:
            await card.get_by_role("button", name="出发").click()
            await card.and_(page.locator(".en_route")).wait_for()
            await card.get_by_role("button", name="到达").click()
            await card.and_(page.locator(".started")).wait_for()
        for what, quantity in (use or {}).items():
            await self._uses(card, what, quantity)
            await until(lambda what=what: self._written(order, what), f"{what} is written", deadline_s=WITHIN_S)
        await card.locator(".actions button.primary").click()
        await card.locator("select[name=outcome]").select_option("done")
        await card.locator("textarea[name=report]").fill(report)
        await self.shoot(page, f"way-{order.kind}")
        await card.locator("form button.primary").click()
        await card.wait_for(state="detached")

    async def _written(self, order: WorkOrder, what: str) -> bool:
        async with self.app.database.reading() as uow:
            return any(line.what == what for line in await uow.expenses.of_record(order.record_id))

    async def _uses(self, card: Locator, what: str, quantity: int) -> None:
        await card.get_by_role("button", name="配件或费用").click()
        await card.locator("select[name=what]").select_option(what)
        await card.locator("input[name=quantity]").fill(str(quantity))
        await card.locator("form button.primary").click()
        await card.locator("form").wait_for(state="detached")

    async def approves(self) -> None:
        """The supervisor approves what costs more than a technician may spend."""
        page = await self.page("supervisor1", at="money")
        await page.get_by_role("button", name="批准").wait_for()
        await self.shoot(page, "way-approval")
        await page.get_by_role("button", name="批准").click()
        await page.get_by_role("button", name="批准").wait_for(state="detached")

    async def says(self, *keys: str) -> None:
        """The customer is called, and answers with these keys."""
        await self.customer.ringing(WITHIN_S)
        await answers(self.customer, *keys)
        await self.customer.ended(WITHIN_S)

    async def closed(self, record: Record) -> Record:
        """The record, once it is closed."""

        async def there() -> bool:
            async with self.app.database.reading() as uow:
                return (await uow.records.get(record.id)).status == "closed"

        await until(there, "the record is closed", deadline_s=WITHIN_S)
        async with self.app.database.reading() as uow:
            return await uow.records.get(record.id)

    async def texted(self, count: int) -> list[dict[str, str]]:
        """What the gateway was sent, once it is so many."""

        async def there() -> bool:
            return len(self.gateway.sent) >= count

        await until(there, f"the gateway has {count} messages", deadline_s=WITHIN_S)
        return self.gateway.sent

    async def chain(self, record: Record) -> tuple[Page, JsonObject]:
        """The supervisor's page of the record's chain, and what it was made of."""
        page = await self.page("supervisor1", at=f"chain/{record.id}")
        await page.locator("cti-chain ol").wait_for()
        answer = await page.context.request.get(f"{self.app.url}/api/v1/records/{record.id}/chain")
        await self.shoot(page, "way-chain")
        return page, await answer.json()


async def _speak(settings: Settings) -> None:
    """Every prompt of this way is there before anybody calls: on a busy machine none would be ready in time."""
    flows = [load_flow(shipped("ivr_flows", f"{name}.flow.yaml")) for name in ("front_desk", "satisfaction")]
    shelf = Shelf(settings.prompts, settings.prompts_dir, shipped=shipped("ivr_flows", "prompts"))
    failed = await shelf.render([one.text for flow in flows for one in said_by_flow(flow)])
    assert not failed, failed


async def _more(phone: SipPhone, before_s: float) -> bool:
    return phone.heard_s() > before_s + 0.5


async def go(way: WholeWay) -> Record:
    """From the ring to the end; the customer was not happy at first."""
    record = await way.call()
    await way.does("storekeeper1", await way.order(record, "parts"), "压缩机已出库")
    await way.does("dispatcher1", await way.order(record, "appointment"), "约在明天上午")
    visit = await way.order(record, "dispatch")
    await way.does("technician1", visit, "更换压缩机", use={"compressor": 2, "visit": 1})
    await way.approves()
    await way.does("supervisor1", await way.order(record, "quote"), "客户同意报价")
    await way.does("supervisor1", await way.order(record, "expense"), "已收款")
    await way.says("1", "2")  # not happy at all, and wants to talk with nobody now
    await way.does("technician1", await way.order(record, "dispatch"), "重新充注制冷剂")
    await way.says("5")
    return await way.closed(record)


__all__ = ["CUSTOMER", "WholeWay", "go"]
