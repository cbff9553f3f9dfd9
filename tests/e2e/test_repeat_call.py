"""催单 in the browser: whoever has a repeat caller on the phone urges the open repair on, and its owner hears of it once."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from ctiserver.model.ids import AgentId
from ctiserver.model.work.record import Record
from tests.e2e.conftest import OpenPage
from tests.support.desk import PASSWORD, Desk, PhoneLine
from tests.support.dispatch import Running, shipped_repair
from tests.support.dispatch import running as engine_running
from tests.support.eventually import eventually

pytestmark = pytest.mark.browser
PHONE = "PJSIP/agent1"
URGE = "本次来电催办此单"


async def _repair(running: Desk, engine: Running) -> Record:
    """A repair of 张伟's that agent2 answers for, and that a technician was offered."""
    first = running.line()
    [contact] = await running.features.contacts.find_or_create(first.ani, "张伟")
    opened = await running.features.records.open(
        "repair", actor="user:agent2", call_id=first.id, contact_id=contact.id, owner=AgentId("agent2")
    )
    await engine.start(opened.record)
    await engine.order(opened.record.id, "dispatch", "offered")
    return opened.record


async def _rings_about_something_else(running: Desk) -> PhoneLine:
    """The caller pressed the key for enquiries, so the flow did not find the repair."""
    line = running.line()
    line.start()
    [contact] = await running.features.contacts.find_or_create(line.ani, "")
    await running.features.records.open("enquiry", actor=f"call:{line.id}", call_id=line.id, contact_id=contact.id)
    line.ring(PHONE)
    line.answer(PHONE)
    return line


async def _seen(running: Desk, record: Record) -> tuple[Record, dict[str, int], list[str]]:
    """The record, how often each line stands on its timeline, and its orders' kinds."""
    async with running.database.reading() as uow:
        kinds = [line.kind for line in await uow.records.timeline(record.id)]
        orders = [order.kind for order in await uow.work_orders.of_record(record.id)]
        return await uow.records.get(record.id), {kind: kinds.count(kind) for kind in kinds}, orders


async def _advanced_at(running: Desk, record: Record) -> datetime:
    """When its process was last told something."""
    async with running.database.reading() as uow:
        (process,) = await uow.processes.of_record(record.id)
    return process.updated_at


async def _painted(running: Desk, line: PhoneLine) -> bool:
    return any(pop.painted_at for pop in await running.features.pops.of_call(line.id))


async def _opens_the_repair(page: Page, record: Record) -> None:
    """From what the pop shows of the caller: it has the repair among what is open."""
    await page.locator("cti-pop").get_by_text(record.number).click()
    await expect(page.locator("cti-record")).to_contain_text(record.number)


async def test_a_repeat_caller_raises_the_open_repair_once_and_its_owner_hears_of_it_once(
    running: Desk, open_page: OpenPage, tmp_path: Path
) -> None:
    said: list[str] = []
    owner = await open_page()
    owner.on("websocket", lambda socket: socket.on("framereceived", lambda frame: said.append(str(frame))))
    await owner.locator("input[name=login]").fill("agent2")
    await owner.locator("input[name=password]").fill(PASSWORD)
    await owner.keyboard.press("Enter")
    await expect(owner.get_by_text("Open records that I own")).to_be_visible()
    async with engine_running(running.database, f"sqlite:///{tmp_path}/workflow.sqlite", shipped_repair()) as engine:
        repair = await _repair(running, engine)
        page, beside = await open_page("agent1"), await open_page("agent1")
        await _rings_about_something_else(running)
        for one in (page, beside):
            await _opens_the_repair(one, repair)
        urge = page.get_by_role("button", name=URGE)
        # The second browser hears nothing more, so that its button stays after the first has pressed.
        await beside.evaluate("document.querySelector('cti-app').socket.stop()")
        await urge.dblclick()
        await expect(page.locator("cti-record")).to_contain_text("催单 ×1")
        await expect(urge).to_have_count(0)
        await beside.get_by_role("button", name=URGE).click()
        await expect(beside.locator("cti-record")).to_contain_text("催单 ×1")
        raised = await eventually(lambda: _seen(running, repair), lambda seen: "priority_raised" in seen[1])
        assert (raised[0].priority, raised[0].repeat_calls) == (repair.priority + 1, 1)
        assert [raised[1][kind] for kind in ("called_again", "notified", "priority_raised")] == [1, 1, 1]
        assert raised[2] == ["dispatch"]
        await expect(owner.get_by_role("status").filter(has_text=repair.number)).to_contain_text("called again (1×)")
        assert len([frame for frame in said if "called_again" in frame]) == 1

        # They ring once more the same day: counted and shown, but raised and notified no second time.
        first_at = await _advanced_at(running, repair)
        line = await _rings_about_something_else(running)
        await eventually(lambda: _painted(running, line))  # the pop of the call before holds the repair as well
        await _opens_the_repair(page, repair)
        await urge.click()
        await expect(page.locator("cti-record")).to_contain_text("催单 ×2")
        await expect(owner.get_by_role("status").filter(has_text=repair.number)).to_contain_text("called again (2×)")
        await eventually(lambda: _advanced_at(running, repair), lambda at: at > first_at)
    again, lines, orders = await _seen(running, repair)
    assert (again.priority, again.repeat_calls) == (repair.priority + 1, 2)
    assert [lines[kind] for kind in ("called_again", "notified", "priority_raised")] == [2, 1, 1]
    assert orders == ["dispatch"]
