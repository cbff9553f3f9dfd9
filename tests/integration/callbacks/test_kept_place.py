"""A caller hangs up and keeps the place: when an agent is there, the agent's phone rings first, then the caller's."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from ctiserver.app.composition import App, running
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.sound import Sound, write_wav
from tests.support.asterisk import journal, programs
from tests.support.customers import CUSTOMER, CustomerSite
from tests.support.desk import PASSWORD
from tests.support.eventually import eventually

__all__ = ["programs"]

FLOW = """\
schema: callflow/1
flow: wished
version: "1"
languages: [en]
start: wish
on_error: bye
nodes:
  wish: {kind: callback, queue: repair, next: bye}
  bye: {kind: hangup, prompt: {file: beep}}
"""


def write_site(folder: Path) -> CustomerSite:
    """That flow on every number."""
    site = CustomerSite.write(folder, trunk_port=free_port(), agi_port=free_port())
    config, flows = site.folder / "config", site.folder / "flows"
    shutil.rmtree(config / "processes")  # those that ctiserver ships
    flows.mkdir()
    (flows / "wished.flow.yaml").write_text(FLOW, encoding="utf-8")
    (config / "numbers.yaml").write_text('numbers: {"*": {flow: wished}}\n', encoding="utf-8")
    write_wav(config / "prompts/en/beep.wav", Sound(8000, np.array([4000, -4000] * 800, np.int16)))
    return site


@asynccontextmanager
async def served(site: CustomerSite, pbx: PrivatePbx) -> AsyncIterator[App]:
    """The server, for the first time or again, and one agent."""
    settings = site.settings(pbx.ami_port, pbx.ami_secret).model_copy(update={"flows_dir": site.folder / "flows"})
    settings.pbxs["main"] = settings.pbxs["main"].model_copy(update={"queue_log": pbx.queue_log_path})
    async with running(settings) as app:
        async with app.database.reading() as uow:
            known = await uow.agents.everybody()
        if not known:
            await app.features.users.add(
                "agent1", name="王芳", role="agent", password=PASSWORD, skills=("repair",), extension="101"
            )
            await app.features.agents.load()
        await app.ready(10)
        yield app


async def waits_for_agent1(pbx: PrivatePbx, agent: SipPhone) -> None:
    """An agent who is logged in and pauses: the queue lets callers wait."""
    await agent.dial("*11")
    await agent.answered()
    await agent.ended(20.0)
    await pbx.cli("queue pause member PJSIP/agent1")


async def keeps_the_place(pbx: PrivatePbx, customer: SipPhone) -> None:
    """A customer calls, wishes to be called back, and somebody waits in their stead."""
    await customer.dial("4008001234")
    await customer.ended(20.0)

    async def waiting() -> str:
        return await pbx.cli("queue show repair")

    await eventually(waiting, lambda text: "Local/+8613800000001@cti-callback" in text, within_s=15.0)


async def called_back(pbx: PrivatePbx, agent: SipPhone, customer: SipPhone) -> None:
    """The agent is there again, is rung, and reaches the customer."""
    await pbx.cli("queue unpause member PJSIP/agent1")
    await agent.ringing()
    assert not customer.talking
    await agent.answer()
    await customer.ringing()
    await customer.answer()
    await customer.hang_up()
    await agent.ended(15.0)


async def orders(app: App) -> list[WorkOrder]:
    """Every work order, of whatever record."""
    found: dict[str, WorkOrder] = {}
    async with app.database.reading() as uow:
        for call in await uow.calls.page():
            for record in await uow.records.of_call(call.id):
                found |= {order.id: order for order in await uow.work_orders.of_record(record.id)}
    return list(found.values())


@pytest.mark.pbx
async def test_the_agent_is_offered_the_call_back_when_there_is_one(programs: Programs, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site")
    async with AsyncExitStack() as stack:
        pbx = await stack.enter_async_context(site.pbx(programs))
        app = await stack.enter_async_context(served(site, pbx))
        agent = await stack.enter_async_context(SipPhone.agent(programs, pbx, "agent1"))
        customer = await stack.enter_async_context(site.phone(programs, pbx))
        await waits_for_agent1(pbx, agent)
        await keeps_the_place(pbx, customer)
        [order] = await eventually(lambda: orders(app), within_s=15.0)
        assert (order.kind, order.state) == ("callback", "offered")
        assert (order.payload["number"], order.payload["reason"], order.payload["queue"]) == (
            CUSTOMER,
            "promised",
            "repair",
        )
        await called_back(pbx, agent, customer)
        [order] = await eventually(lambda: orders(app), lambda seen: seen[0].state == "cancelled", within_s=15.0)
        async with app.database.reading() as uow:
            record = await uow.records.get(order.record_id)
            [process] = await uow.processes.of_record(record.id)
            back = next(entry for entry in await uow.calls.page() if entry.direction == "outbound")
            [pop] = await uow.pops.of_call(back.id)
        assert (back.dnis, back.agent_id, back.outcome) == (CUSTOMER, "agent1", "answered")
        assert (pop.agent_id, pop.record_id) == ("agent1", record.id)  # whose record it is was before the agent
        assert record.status == "open"  # the person who talked says what came of it
        assert process.state["closed"] == "got_through"


@pytest.mark.pbx
async def test_a_customer_who_was_called_back_while_we_were_away_is_not_called_again(
    programs: Programs, tmp_path: Path
) -> None:
    site = write_site(tmp_path / "site")
    async with AsyncExitStack() as stack:
        pbx = await stack.enter_async_context(site.pbx(programs))
        agent = await stack.enter_async_context(SipPhone.agent(programs, pbx, "agent1"))
        customer = await stack.enter_async_context(site.phone(programs, pbx))
        async with served(site, pbx) as app:
            await waits_for_agent1(pbx, agent)
            await keeps_the_place(pbx, customer)
            [order] = await eventually(lambda: orders(app), within_s=15.0)
        await called_back(pbx, agent, customer)
        async with served(site, pbx) as app:
            [again] = await eventually(lambda: orders(app), lambda seen: seen[0].state == "cancelled", within_s=20.0)
            assert (again.id, order.state) == (order.id, "offered")
            async with app.database.reading() as uow:
                [process] = await uow.processes.of_record(order.record_id)
                back = next(entry for entry in await uow.calls.page() if entry.direction == "outbound")
            assert process.state["closed"] == "got_through"
            assert (back.dnis, back.agent_id, back.outcome) == (CUSTOMER, "agent1", "answered")
            await eventually(lambda: journal(pbx), lambda entries: not entries, within_s=10.0)
