"""An agent's work in the browser, from log-in to the next call."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from ctiserver.features.records.service import Change
from ctiserver.model.calls.tracking.standing import ChannelState
from ctiserver.model.events import PbxDown, PbxUp, RecordingBegan
from ctiserver.model.ids import Interface, Linkedid, Uniqueid, WorkOrderId, new_ulid
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder
from tests.e2e.conftest import OpenPage
from tests.support.desk import PBX, Desk, PhoneLine
from tests.support.eventually import eventually
from tests.support.queue_caller import Caller
from tests.support.shaky import Shaky

pytestmark = pytest.mark.browser

PHONE = "PJSIP/agent1"
AXE = Path(__file__).parent / "vendor" / "axe.min.js"


async def _call(running: Desk, *, known: bool = True) -> tuple[PhoneLine, Record]:
    """A call that came through the menu: contact and record are there before any phone rings."""
    line = running.line()
    line.start()
    [contact] = await running.features.contacts.find_or_create(line.ani, "张伟" if known else "")
    opened = await running.features.records.open(
        "repair", actor=f"call:{line.id}", call_id=line.id, contact_id=contact.id, caller_number=line.ani
    )
    return line, opened.record


async def _state(running: Desk, state: str) -> None:
    async def look() -> str:
        return next(it.state for agent, it in running.features.agents.everybody() if agent.id == "agent1")

    await eventually(look, lambda seen: seen == state)


async def test_from_log_in_to_the_next_call_with_the_keyboard_alone(running: Desk, open_page: OpenPage) -> None:
    page = await open_page()
    # The name has the focus already: nothing is clicked in this test.
    await expect(page.locator("input[name=login]")).to_be_focused()
    await page.keyboard.type("agent1")
    await page.keyboard.press("Tab")
    await page.keyboard.type("correct horse")
    await page.keyboard.press("Enter")
    join = page.get_by_role("button", name="签入队列")
    await join.wait_for()
    while not await join.evaluate("it => it.getRootNode().activeElement === it"):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await _state(running, "available")

    line, record = await _call(running)
    line.ring(PHONE)
    await expect(page.get_by_role("alert").filter(has_text="来电：张伟")).to_have_text("来电：张伟。报修")
    await expect(page.locator("cti-pop")).to_contain_text("话机正在振铃")
    await expect(page).to_have_title("☎ 张伟")

    async def painted() -> datetime | None:
        return next((pop.painted_at for pop in await running.features.pops.of_call(line.id)), None)

    painted_at = await eventually(painted)
    answered_at = datetime.now(UTC)
    line.answer(PHONE)
    assert painted_at is not None
    assert painted_at < answered_at
    await expect(page.locator("cti-pop")).to_contain_text("正在通话")

    await page.keyboard.press("Alt+N")
    await page.keyboard.type("空调不制冷")
    await expect(page.locator("cti-record [role=status].save")).to_contain_text("已保存")
    await page.keyboard.press("Alt+D")
    await page.keyboard.press("Space")
    await expect(page.get_by_label("需上门维修")).to_be_checked()
    await page.keyboard.press("Control+Enter")
    # The fault is required: the focus goes where something is missing.
    fault = page.get_by_label("故障现象")
    await expect(fault).to_be_focused()
    await expect(fault).to_have_attribute("aria-invalid", "true")
    await page.keyboard.type("E4")
    line.hang_up(PHONE)
    line.end("answered")
    await _state(running, "wrap_up")
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_text("已保存结果：需上门维修")).to_be_visible()
    # And the next thing to do has the focus.
    await expect(page.get_by_role("button", name="示闲")).to_be_focused()
    await page.keyboard.press("Alt+R")
    await _state(running, "available")
    await expect(page.get_by_text("当前没有来电")).to_be_visible()
    async with running.database.reading() as uow:
        kept = await uow.records.get(record.id)
        started = await uow.outbox.waiting(["process_start"])
    assert (kept.notes, kept.fields["fault"], kept.disposition, kept.owner) == (
        "空调不制冷",
        "E4",
        "visit_needed",
        "agent1",
    )
    assert [row.payload["record_id"] for row in started] == [record.id]


async def _focused(page: Page, name: str) -> None:
    """Tab on until the button of this name has the focus, which is then to be seen."""
    button = page.locator("cti-phone").get_by_role("button", name=name)
    for _ in range(60):
        if await button.evaluate("it => it.getRootNode().activeElement === it"):
            break
        await page.keyboard.press("Tab")
    await expect(button).to_be_focused()
    assert await button.evaluate("it => getComputedStyle(it).outlineStyle") == "solid"


async def test_a_phone_on_the_desk_is_worked_from_the_console_with_the_keyboard_alone(
    running: Desk, open_page: OpenPage
) -> None:
    page = await open_page("agent1")
    bar = page.locator("cti-phone")
    line, _ = await _call(running)
    channel = f"{PHONE}-1"
    rings = ChannelState(
        call_id=line.id, channel=channel, uniqueid=Uniqueid("1.1"), talking=False, others=(), waiting=()
    )
    running.pbx.stands[Interface(PHONE)] = [rings]
    line.ring(PHONE)
    await expect(bar).to_contain_text("请在话机上接听")
    running.pbx.stands[Interface(PHONE)] = [replace(rings, talking=True, others=("PJSIP/trunk-1",))]
    line.answer(PHONE)
    await expect(bar.get_by_role("button", name="保持")).to_have_attribute("aria-pressed", "false")

    await page.keyboard.press("Alt+M")
    await expect(bar).to_contain_text("已静音")
    await page.keyboard.press("Alt+O")
    await expect(bar).to_contain_text("已保持")
    await expect(bar.get_by_role("button", name="保持")).to_have_attribute("aria-pressed", "true")
    await _focused(page, "保持")
    await page.keyboard.press("Enter")
    await expect(bar).not_to_contain_text("已保持")
    await _focused(page, "静音")
    await page.keyboard.press("Space")
    await expect(bar).not_to_contain_text("已静音")

    # The address book: to it, about in it, out of it, and with it.
    to = page.get_by_label("分机、号码或姓名")
    await page.keyboard.press("Alt+T")
    await expect(to).to_be_focused()
    assert await to.evaluate("it => getComputedStyle(it).outlineStyle") == "solid"
    await page.keyboard.press("Enter")  # nobody is chosen
    await page.keyboard.press("Escape")
    await expect(to).to_have_count(0)
    await expect(bar.get_by_role("button", name="转接")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(to).to_be_focused()
    chosen = bar.get_by_role("option", selected=True)
    await page.keyboard.type("ann")
    await expect(chosen).to_contain_text("Ann Lee")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Alt+T")
    await expect(to).to_be_focused()
    for _ in range(2):
        await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowUp")
    await expect(chosen).to_contain_text("Ann Lee")
    assert await to.get_attribute("aria-activedescendant") == await chosen.get_attribute("id")
    assert not [order for order in running.pbx.told if order.startswith("transfer")]
    await page.keyboard.press("Enter")
    await expect(to).to_have_count(0)
    assert running.pbx.told[-1] == f"transfer {channel} cti-agents,102"
    assert [order for order in running.pbx.told if channel in order and not order.startswith("set ")] == [
        f"mute {channel}",
        f"press {channel} *4",
        f"press {channel} *",
        f"unmute {channel}",
        f"transfer {channel} cti-agents,102",
    ]


async def test_sites_and_devices_are_kept_at_the_desk_with_the_keyboard(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    line, _ = await _call(running)
    line.ring(PHONE)
    opener = page.get_by_role("button", name="地点与设备 …")
    await opener.focus()
    await page.keyboard.press("Enter")
    dialogue = page.get_by_role("dialog", name="张伟的地点与设备")
    await dialogue.get_by_role("button", name="添加地点").focus()
    await page.keyboard.press("Enter")
    await expect(dialogue.get_by_label("名称")).to_be_focused()
    await page.keyboard.type("总部")
    await page.keyboard.press("Tab")
    await page.keyboard.type("世纪大道100号")
    await page.keyboard.press("Enter")
    await expect(dialogue.get_by_role("status")).to_have_text("已保存：总部")
    await expect(dialogue.get_by_role("button", name="添加地点")).to_be_focused()
    await dialogue.get_by_role("button", name="添加设备").click()
    await dialogue.get_by_label("序列号").fill("KF-1")
    await dialogue.get_by_label("所在地点").select_option("总部")
    await dialogue.get_by_label("保修至").fill("2099-06-30")
    await page.keyboard.press("Enter")
    await expect(dialogue.get_by_role("listitem").filter(has_text="KF-1")).to_contain_text("总部")
    # The pop behind it has them at once.
    await expect(page.locator("cti-pop")).to_contain_text("世纪大道100号")

    # Two change one: the later one is told, sees the other's, and may save over it.
    await dialogue.get_by_role("button", name="修改 总部").click()
    async with running.database.unit_of_work() as uow:
        [contact] = await uow.contacts.by_number("+8613800000001")
        [site] = await uow.contacts.sites(contact.id)
        await uow.contacts.update_site(replace(site, address="民生路1199号"))
    await dialogue.get_by_label("现场联系人").fill("赵工")
    await page.keyboard.press("Enter")
    await expect(dialogue.get_by_role("alert")).to_contain_text("刚被别人修改过")
    await expect(dialogue.get_by_role("listitem").filter(has_text="民生路1199号")).to_be_visible()
    await expect(dialogue.get_by_label("现场联系人")).to_have_value("赵工")
    await page.keyboard.press("Enter")
    await expect(dialogue.get_by_role("status")).to_have_text("已保存：总部")

    await dialogue.get_by_role("button", name="停用 KF-1").click()
    await expect(dialogue.get_by_role("status")).to_have_text("已停用：KF-1")
    assert await _serious(page) == []
    await page.keyboard.press("Escape")
    await expect(dialogue).to_have_count(0)
    await expect(opener).to_be_focused()
    async with running.database.reading() as uow:
        assert [one.local_person for one in await uow.contacts.sites(contact.id)] == ["赵工"]
        assert await uow.contacts.devices(contact.id) == []


async def test_what_is_private_is_left_out_of_the_recording(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    line, _ = await _call(running)
    began = RecordingBegan(
        pbx=PBX,
        at=datetime.now(UTC),
        call_id=line.id,
        linkedid=Linkedid("1"),
        channel="PJSIP/trunk-1",
        file="20261201/1-1.wav",
        talk_only=False,
    )
    running.bus.publish(began)
    line.ring(PHONE)
    line.answer(PHONE)
    masking = page.locator("cti-masking")
    await expect(masking.get_by_role("status")).to_have_text("录音中")
    await page.keyboard.press("Alt+S")
    await expect(masking.get_by_role("status")).to_have_text("录音已静音")
    await masking.get_by_role("button", name="恢复录音").click()
    await expect(masking.get_by_role("status")).to_have_text("录音中")
    assert running.pbx.told[-2:] == ["mask PJSIP/trunk-1", "unmask PJSIP/trunk-1"]
    async with running.database.reading() as uow:
        acts = [(entry.actor, entry.act) for entry in await uow.audit.page(10) if entry.subject == f"call:{line.id}"]
    assert acts == [("user:agent1", "recording_unmasked"), ("user:agent1", "recording_masked")]


async def test_no_byte_of_a_pop_reaches_the_other_agents_page(running: Desk, open_page: OpenPage) -> None:
    frames: list[str] = []
    other = await open_page()
    other.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame))))
    await other.locator("input[name=login]").fill("agent2")
    await other.locator("input[name=password]").fill("correct horse")
    await other.keyboard.press("Enter")
    await other.get_by_role("button", name="Join the queues").click()
    await other.get_by_text("Available").wait_for()
    mine = await open_page("agent1")
    line, record = await _call(running)
    line.ring(PHONE)
    await mine.locator("cti-pop").wait_for()
    line.answer(PHONE)
    await expect(mine.locator("cti-pop")).to_contain_text("正在通话")
    assert frames
    assert not [frame for frame in frames for secret in (line.ani, "张伟", line.id, record.id) if secret in frame]
    await expect(other.locator("cti-pop")).to_have_count(0)


async def test_the_language_changes_in_mid_call_and_is_remembered(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    line, _ = await _call(running)
    line.ring(PHONE)
    await expect(page.locator("cti-pop")).to_contain_text("话机正在振铃")
    await page.locator("#notes").fill("half a sentence")
    await page.get_by_role("button", name="English").click()
    await expect(page.locator("cti-pop")).to_contain_text("Your phone is ringing")
    await expect(page.get_by_label("Visit needed")).to_be_visible()
    await expect(page.locator("#notes")).to_have_value("half a sentence")
    assert await page.evaluate("document.documentElement.lang") == "en"
    left = re.sub(r"[王芳张伟中文]", "", await page.locator("cti-app").inner_text())
    assert not re.findall(r"[\u4e00-\u9fff]+", left)

    async def kept() -> str:
        async with running.database.reading() as uow:
            user = await uow.users.by_login("agent1")
        assert user is not None
        return user.language

    await eventually(kept, lambda language: language == "en")
    await page.reload()
    await expect(page.get_by_role("button", name="Log out")).to_be_visible()


async def test_a_save_that_fails_says_so_keeps_the_text_and_tries_again(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    line, record = await _call(running)
    line.ring(PHONE)
    await page.locator("#notes").wait_for()

    async def broken(route: Route) -> None:
        if route.request.method == "PATCH":
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/api/v1/records/*", broken)
    await page.locator("#notes").fill("客户很急")
    await expect(page.locator("cti-record .save")).to_contain_text("未保存！")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.reload()
    await expect(page.locator("#notes")).to_have_value("客户很急")
    await expect(page.locator("cti-record .save")).to_contain_text("未保存！")
    await page.unroute("**/api/v1/records/*")
    await expect(page.locator("cti-record .save")).to_contain_text("已保存")
    async with running.database.reading() as uow:
        assert (await uow.records.get(record.id)).notes == "客户很急"
    assert await page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('cti-draft'))") == []


async def test_a_save_whose_answer_was_lost_is_no_conflict_with_oneself(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    line, record = await _call(running)
    line.ring(PHONE)
    await page.locator("#notes").wait_for()
    lost: list[str] = []

    async def arrives_unanswered(route: Route) -> None:
        if route.request.method == "PATCH" and not lost:
            lost.append(await (await route.fetch()).text())
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/api/v1/records/*", arrives_unanswered)
    await page.locator("#notes").fill("客户很急")
    await expect(page.locator("cti-record .save")).to_contain_text("未保存！")
    await page.locator("#notes").fill("客户很急，请先打电话")
    await expect(page.locator("cti-record .save")).to_contain_text("已保存")
    async with running.database.reading() as uow:
        assert (await uow.records.get(record.id)).notes == "客户很急，请先打电话"
    assert "客户很急" in lost[0]


@pytest.mark.parametrize(("button", "kept"), [("用我的", "mine"), ("用对方的", "theirs")])
async def test_two_people_in_one_field_are_told_and_choose(
    running: Desk, open_page: OpenPage, button: str, kept: str
) -> None:
    page = await open_page("agent1")
    line, record = await _call(running)
    line.ring(PHONE)
    await page.locator("#notes").wait_for()
    # The other one's change is written while ours is being typed, before the hub's word of it arrives.
    await page.evaluate("WebSocket.prototype.send = () => {}")
    for socket in list(running.hub._clients):
        socket.topics.clear()
    for followed in running.hub._followed.values():
        followed.clients.clear()
    await running.features.records.write(record.id, {"notes": Change("", "theirs")}, {}, actor="user:agent2")
    await page.locator("#notes").fill("mine")
    await expect(page.locator("cti-record .save")).to_contain_text("刚被别人修改过")
    await page.get_by_role("button", name=button).click()
    await expect(page.locator("cti-record .save")).to_contain_text("已保存")
    await expect(page.locator("#notes")).to_have_value(kept)
    async with running.database.reading() as uow:
        assert (await uow.records.get(record.id)).notes == kept


async def test_what_another_one_writes_elsewhere_appears_without_touching_what_i_write(
    running: Desk, open_page: OpenPage
) -> None:
    page = await open_page("agent1")
    line, record = await _call(running)
    line.ring(PHONE)
    await page.locator("#notes").fill("mine")
    await running.features.records.write(record.id, {}, {"fault": Change("", "theirs")}, actor="user:agent2")
    await expect(page.get_by_label("故障现象")).to_have_value("theirs")
    await expect(page.locator("#notes")).to_have_value("mine")


async def test_a_lost_connection_is_said_and_comes_back_with_what_was_missed(
    running: Desk, open_page: OpenPage
) -> None:
    page = await open_page("agent1")
    await page.get_by_role("button", name="签入队列").click()
    await _state(running, "available")
    await page.route("**/api/v1/tickets", lambda route: route.abort())
    running.hub.close()
    await expect(page.get_by_text("服务器正在重启")).to_be_visible()
    line, _ = await _call(running)
    line.ring(PHONE)
    await page.unroute("**/api/v1/tickets")
    await expect(page.locator("cti-pop")).to_contain_text("张伟")
    await expect(page.get_by_text("服务器正在重启")).to_have_count(0)
    assert [pop.reason for pop in await running.features.pops.of_call(line.id)] == ["no_browser"]

    async def painted() -> bool:
        return all(pop.painted_at for pop in await running.features.pops.of_call(line.id))

    await eventually(painted)


async def test_several_contacts_are_a_choice_and_an_unknown_one_gets_a_name(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    line, record = await _call(running, known=False)
    line.ring(PHONE)
    await page.get_by_label("姓名").fill("赵敏")
    await page.get_by_role("button", name="保存", exact=True).click()
    await expect(page.locator("cti-pop h2")).to_have_text("赵敏")
    line.answer(PHONE)
    line.end()
    assert record.contact_id is not None
    async with running.database.unit_of_work() as uow:
        known = await uow.contacts.get(record.contact_id)
        await uow.contacts.add(replace(known, id=type(known.id)(new_ulid(datetime.now(UTC))), name="钱多"))
    second = running.line()
    second.start()
    opened = await running.features.records.open("enquiry", actor="call", call_id=second.id, caller_number=second.ani)
    second.ring(PHONE)
    await page.get_by_role("button", name="是 钱多").click()
    await expect(page.locator("cti-pop h2")).to_have_text("钱多")
    async with running.database.reading() as uow:
        linked = (await uow.records.get(opened.record.id)).contact_id
        assert linked is not None
        assert (await uow.contacts.get(linked)).name == "钱多"


async def test_somebody_is_looked_up_and_gets_a_record_without_a_call(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    [contact] = await running.features.contacts.find_or_create("13800000001", "张伟")
    await page.get_by_role("searchbox", name="查找联系人").fill("没有这个人")
    await expect(page.get_by_text("没有这个姓名或号码的联系人")).to_be_visible()
    await page.get_by_role("searchbox", name="查找联系人").fill("0000001")
    await page.get_by_role("button", name="+ 咨询 新建服务单 张伟").click()
    await expect(page.locator("cti-record h2")).to_contain_text("咨询")
    async with running.database.reading() as uow:
        [record] = await uow.records.open_of_contact(contact.id)
    assert (record.type, record.owner) == ("enquiry", "agent1")


async def test_a_reload_in_mid_call_brings_all_of_it_back(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    line, record = await _call(running)
    line.ring(PHONE)
    line.answer(PHONE)
    await expect(page.locator("cti-pop")).to_contain_text("正在通话")
    await page.locator("#notes").fill("半句话")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.reload()
    await expect(page.locator("cti-pop")).to_contain_text("正在通话")
    await expect(page.locator("#notes")).to_have_value("半句话")

    async def kept() -> str:
        async with running.database.reading() as uow:
            return (await uow.records.get(record.id)).notes

    await eventually(kept, lambda notes: notes == "半句话")


async def test_a_pbx_that_is_away_is_said_until_it_is_back(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    away = page.get_by_text("与电话系统的连接中断")
    await expect(page.get_by_role("button", name="签入队列")).to_be_visible()
    await expect(away).to_have_count(0)
    running.pbx.up = False
    running.bus.publish(PbxDown(pbx=PBX, at=datetime.now(UTC), reason="connection lost"))
    await expect(away).to_be_visible()
    running.pbx.up = True
    running.bus.publish(PbxUp(pbx=PBX, at=datetime.now(UTC), version="22.10.1", epoch=datetime.now(UTC)))
    await expect(away).to_have_count(0)


async def test_a_call_without_a_record_gets_its_reason(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    line = running.line(ani="anonymous")
    line.start()
    line.ring(PHONE)
    await expect(page.locator("cti-pop h2")).to_have_text("号码未显示")
    line.answer(PHONE)
    line.hang_up(PHONE)
    line.end()
    await page.get_by_role("button", name="打错").click()
    await expect(page.get_by_text("当前没有来电")).to_be_visible()
    async with running.database.reading() as uow:
        assert (await uow.calls.get(line.id)).no_record_reason == "wrong_number"


async def test_logging_out_leaves_nothing_on_the_screen(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    line, _ = await _call(running)
    line.ring(PHONE)
    await page.locator("cti-pop").wait_for()
    await page.get_by_role("button", name="退出登录").click()
    await page.locator("cti-login").wait_for()
    await expect(page.locator("cti-pop")).to_have_count(0)
    await page.reload()
    await page.locator("cti-login").wait_for()


async def test_a_wrong_password_is_said_and_the_password_is_ready_to_be_typed_anew(open_page: OpenPage) -> None:
    page = await open_page(locale="en-GB")
    await page.locator("input[name=login]").fill("agent1")
    await page.locator("input[name=password]").fill("wrong horse")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    await expect(page.locator("input[name=password]")).to_be_focused()


async def _order(running: Desk, record: Record, **changes: Any) -> WorkOrder:
    now = datetime.now(UTC)
    async with running.database.unit_of_work() as uow:
        technician = await uow.users.by_login("tech1")
        assert technician is not None
        order = WorkOrder(
            id=WorkOrderId(new_ulid(now)),
            number="D20261121-0001",
            key="process/visit/1",
            kind="dispatch",
            record_id=record.id,
            process_id=None,
            step="visit",
            state="offered",
            assignee=technician.id,
            due_at=now + timedelta(hours=4),
            accept_by=now + timedelta(minutes=30),
            payload={"outcomes": ["done", "not_home", "parts_missing"]},
            created_at=now,
            updated_at=now,
            **changes,
        )
        await uow.work_orders.add(order)
    return order


async def test_a_technician_accepts_and_reports_on_a_phone(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("tech1", viewport={"width": 360, "height": 740}, has_touch=True)
    await expect(page.get_by_text("暂无任务")).to_be_visible()
    _, record = await _call(running)
    await running.features.records.write(record.id, {}, {"fault": Change("", "不制冷")}, actor="user:agent1")
    order = await _order(running, record)
    running.hub.publish("inbox", str(order.assignee), "changed", {})
    card = page.locator("article")
    await expect(card).to_contain_text("派工单")
    await expect(card).to_contain_text("张伟")
    await expect(card).to_contain_text("不制冷")
    assert await _overflow(page) == 0
    await page.get_by_role("button", name="接受").tap()
    await expect(card).to_contain_text("已接受")
    await page.get_by_role("button", name="完成").tap()
    await page.get_by_label("结果如何？").select_option("done")
    await page.get_by_label("处理说明").fill("已加注冷媒")
    await page.get_by_role("button", name="提交").tap()
    await expect(page.get_by_text("暂无任务")).to_be_visible()
    async with running.database.reading() as uow:
        done = await uow.work_orders.get(order.id)
    assert (done.state, done.outcome, done.result["report"]) == ("done", "done", "已加注冷媒")


async def test_work_without_a_connection_is_kept_through_a_reload_and_sent_once(
    running: Desk, open_page: OpenPage
) -> None:
    # A service worker would stand between the page and what cuts it off here; tests/e2e/test_field.py has one.
    page = await open_page("tech1", viewport={"width": 360, "height": 740}, has_touch=True, service_workers="block")
    _, record = await _call(running)
    order = await _order(running, record)
    running.hub.publish("inbox", str(order.assignee), "changed", {})
    card = page.locator("article")
    async with page.expect_response("**/api/v1/work-orders/*/*"):  # the page shows it before it is sent
        await page.get_by_role("button", name="接受").tap()
    await expect(card).to_contain_text("已接受")

    async def cut(route: Route) -> None:
        await route.abort()

    await page.route("**/api/v1/work-orders/*/*", cut)
    await page.get_by_role("button", name="到达").tap()
    await expect(page.get_by_role("status").get_by_text("有 1 项尚未发送")).to_be_visible()
    await page.get_by_role("button", name="完成").tap()
    await page.get_by_label("处理说明").fill("已加注冷媒")
    canvas = page.locator("cti-signature canvas")
    box = await canvas.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 20, box["y"] + 20)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 120, box["y"] + 50)
    await page.mouse.up()
    await page.get_by_role("button", name="提交").tap()
    await expect(page.get_by_role("status").get_by_text("有 2 项尚未发送")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("status").get_by_text("有 2 项尚未发送")).to_be_visible()
    async with running.database.reading() as uow:
        assert (await uow.work_orders.get(order.id)).state == "accepted"
    await page.unroute("**/api/v1/work-orders/*/*")
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await expect(page.get_by_text("暂无任务")).to_be_visible()
    async with running.database.reading() as uow:
        done = await uow.work_orders.get(order.id)
        kinds = [entry.kind for entry in await uow.records.timeline(record.id)]
    assert (done.state, done.result["report"]) == ("done", "已加注冷媒")
    assert str(done.result["signature"]).startswith("data:image/png;base64,")
    assert kinds.count("order_started") == kinds.count("order_done") == 1


async def test_a_supervisor_sees_the_team_change(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("boss")
    await page.goto(f"{running.url}/#/team")
    row = page.locator("tr", has_text="王芳")
    await expect(row).to_contain_text("未签入队列")
    await running.pbx.queue_add("repair", Interface(PHONE), name="x", penalty=0)  # type: ignore[arg-type]
    await expect(row).to_contain_text("空闲")
    running.line().ring(PHONE)
    await expect(row).to_contain_text("振铃")


async def test_a_figure_of_the_board_leads_to_its_calls(running: Desk, open_page: OpenPage) -> None:
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(running.features.board.tell())
        page = await open_page("boss")
        await page.goto(f"{running.url}/#/team")
        tile = page.locator("section.tile", has_text="报修")
        await expect(page.get_by_text(re.compile("实时"))).to_be_visible()
        now = datetime.now(UTC)
        for number, outcome, wait_s in ((1, "answered", 4), (2, "answered", 40), (3, "abandoned", 60)):
            caller = Caller(running, now, f"1380000000{number}")
            caller.enter()
            caller.leave(outcome, wait_s)  # type: ignore[arg-type]
        await expect(tile).to_contain_text("33.3%")
        await tile.locator("a", has_text="1").first.press("Enter")
        listed = page.locator(".counted")
        await expect(listed).to_contain_text("服务水平内接通，1 个")
        await expect(listed.get_by_role("link", name="13800000001")).to_be_visible()
        await expect(listed.get_by_role("link", name="13800000002")).to_be_hidden()
        telling.cancel()


async def test_a_supervisor_pauses_an_agent_with_a_reason(running: Desk, open_page: OpenPage) -> None:
    await running.features.agents.log_in("agent1")  # type: ignore[arg-type]
    page = await open_page("boss")
    await page.goto(f"{running.url}/#/team")
    await page.get_by_role("button", name="王芳：调整或监听").click()
    await page.get_by_role("button", name="示忙: 培训").click()  # without a reason: the browser asks for one
    await page.get_by_label("原因（记入审计日志）").fill("新人培训")
    await page.get_by_role("button", name="示忙: 培训").click()
    await expect(page.locator("tr", has_text="王芳")).to_contain_text("培训")
    await page.goto(f"{running.url}/#/audit")
    await expect(page.locator("tr", has_text="设置坐席状态")).to_contain_text("新人培训")


async def test_who_complains_may_be_somebody_else(running: Desk, open_page: OpenPage) -> None:
    page = await open_page("agent1")
    line, record = await _call(running)
    line.ring(PHONE)
    await page.locator("#notes").wait_for()
    await page.get_by_text("由他人来电或投诉").click()
    await page.get_by_label("联系电话").fill("13900000000")
    await page.locator("#notes").fill("不制冷")

    async def kept() -> tuple[str, str]:
        async with running.database.reading() as uow:
            it = await uow.records.get(record.id)
        return it.notes, it.complainant_number

    await eventually(kept, lambda it: it == ("不制冷", "13900000000"), within_s=15)
    await expect(page.get_by_text("已保存")).to_be_visible()


async def test_why_and_when_a_call_popped_can_be_looked_up(running: Desk, open_page: OpenPage) -> None:
    desk_page = await open_page("agent1")
    shown, missed = running.line(), running.line(ani="anonymous")
    for line, phone in ((shown, PHONE), (missed, "PJSIP/agent2")):
        line.start()
        line.ring(phone)
        line.answer(phone)
        line.end()
    await desk_page.locator("cti-pop").wait_for()

    async def painted() -> bool:
        return any(pop.painted_at for pop in await running.features.pops.of_call(shown.id))

    await eventually(painted)
    page = await open_page("boss")
    await page.get_by_role("link", name="通话记录").click()
    await page.get_by_role("link").filter(has_text="13800000001").click()
    await expect(page.locator("cti-calls .detail")).to_contain_text(re.compile(r"agent1.*毫秒后显示", re.DOTALL))
    await page.get_by_role("link").filter(has_text="anonymous").click()
    await expect(page.locator("cti-calls .detail")).to_contain_text("当时没有打开坐席台")


async def test_a_pop_says_that_the_database_is_away_and_looks_again(
    running: Desk, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = await open_page("agent1")
    await running.features.contacts.find_or_create("13800000001", "张伟")
    shaky = Shaky(running.database)
    monkeypatch.setattr(running.features.pops, "_database", shaky)
    shaky.reading_away = True
    line = running.line()
    line.start()
    line.ring(PHONE)
    pop = page.locator("cti-pop")
    await expect(pop).to_contain_text("数据库暂时无法访问")
    await expect(pop).to_contain_text("13800000001")
    shaky.reading_away = False
    await pop.get_by_role("button", name="刷新").click()
    await expect(pop).to_contain_text("张伟")
    await expect(pop).not_to_contain_text("数据库")


async def _overflow(page: Page) -> int:
    return int(await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


async def _serious(page: Page) -> list[str]:
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{it['id']}: {[node['target'] for node in it['nodes']]}"
        for it in found["violations"]
        if it["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_is_free_of_serious_barriers_and_fits_at_double_size(
    running: Desk, open_page: OpenPage, scheme: str
) -> None:
    page = await open_page(color_scheme=scheme)
    seen: dict[str, list[str]] = {}

    async def look(name: str) -> None:
        seen[name] = await _serious(page)
        await page.set_viewport_size({"width": 660, "height": 430})  # as 1320 × 860 at 200 %
        if (over := await _overflow(page)) > 0:
            seen[name].append(f"{over} px too wide at double size")
        await page.set_viewport_size({"width": 1320, "height": 860})

    await page.locator("cti-login").wait_for()
    await look("log-in")
    await page.locator("input[name=login]").fill("boss")
    await page.locator("input[name=password]").fill("correct horse")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="签入队列").wait_for()
    await look("logged out of the queues")
    await page.get_by_role("button", name="签入队列").click()
    await page.get_by_text("空闲").wait_for()
    await look("idle")
    line, record = await _call(running)
    line.ring("PJSIP/boss")
    await page.locator("cti-record").get_by_label("需上门维修").wait_for()
    await look("ringing")
    line.answer("PJSIP/boss")
    await page.get_by_label("需上门维修").check()
    await page.locator("#save-result").click()
    await page.get_by_text("必填").wait_for()
    await look("in call, a field missing")
    line.hang_up("PJSIP/boss")
    await page.get_by_text("话后处理").first.wait_for()
    await look("wrap-up")
    await _order(running, record, role="")
    await page.goto(f"{running.url}/#/tasks")
    await page.get_by_text("暂无任务").wait_for()
    await look("tasks")
    await page.goto(f"{running.url}/#/team")
    await page.locator("cti-team table").wait_for()
    await look("team")
    await page.get_by_role("button", name="王芳：调整或监听").click()
    await page.get_by_label("原因（记入审计日志）").wait_for()
    await look("an agent's state")
    await page.keyboard.press("Escape")
    await page.goto(f"{running.url}/#/calls/{line.id}")
    await page.locator("cti-calls .detail").wait_for()
    await look("calls")
    vain = running.line(ani="13900000009")
    vain.start()
    vain.end("abandoned")
    await page.goto(f"{running.url}/#/missed")
    await page.get_by_role("link", name="+8613900000009").wait_for()
    await look("missed calls")
    await page.goto(f"{running.url}/#/audit")
    await page.locator("cti-audit table").wait_for()
    await look("audit log")
    for name, shown in (("goods", "form"), ("money", "form"), ("late", "h1"), ("messages", "h1")):
        await page.goto(f"{running.url}/#/{name}")
        await page.locator(f"cti-{name} {shown}").first.wait_for()
        await look(name)
    await page.goto(f"{running.url}/#/chain/{record.id}")
    await page.locator("cti-chain ol").wait_for()
    await look("chain")
    await running.features.users.change("boss", role="admin", by="test")
    await page.goto(f"{running.url}/#/desk")
    await page.reload()
    await page.locator("input[name=login]").fill("boss")
    await page.locator("input[name=password]").fill("correct horse")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="账号").click()
    await page.locator("cti-accounts table").wait_for()
    await page.locator("summary").click()
    await look("accounts")
    assert {name: found for name, found in seen.items() if found} == {}
