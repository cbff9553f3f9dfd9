"""One chain, unattended: the caller, the agent, the technician are played, everything between them is the product."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from ctiserver.lab.demo import people
from ctiserver.lab.demo.browser import DemoPerson, chromium
from ctiserver.lab.demo.centre import Centre, call
from ctiserver.lab.demo.chain import ChainBroken, DemoChain
from ctiserver.lab.privatepbx.headless import Headless
from ctiserver.model.events import AgentConnected, AgentRinging, CallerEnteredQueue, CallEvent, CallStarted
from ctiserver.model.json_value import Json, iso

_TALK_S = 3.0


async def once(
    here: Centre,
    headless: Headless,
    emit: Callable[[dict[str, Json]], None],
    *,
    language: str,
    shots: Path | None = None,
) -> None:
    """Run one whole chain and emit a line of facts for each stage. Raises ChainBroken where it ends early."""
    caller = people.CALLERS[0]
    app = here.app
    async with chromium(headless) as browser:
        agent_page = DemoPerson.at(browser, app.url, people.AGENT, here.password, shots=shots)
        with app.bus.subscribe(CallEvent) as events:
            async with agent_page as agent:
                await agent.available()
                await agent.shoot("desk-idle")
                chain = DemoChain(app, events, emit)
                async with asyncio.TaskGroup() as group:
                    over = asyncio.Event()
                    calling = group.create_task(_caller(here, caller, over), name="demo-caller")
                    started = await chain.event(CallStarted, 15)
                    chain.tell("trunk rang", started.at, call_id=started.call_id, ani=started.ani, dnis=started.dnis)
                    queued = await chain.event(CallerEnteredQueue, 60, started.call_id)
                    heard_at = await chain.fact("menu key heard", lambda: chain.key_heard(started.call_id), 5)
                    chain.tell("menu key heard", heard_at)
                    record = await chain.fact("record opened", lambda: chain.record(started.call_id), 5)
                    chain.tell("record opened", record.opened_at, record=record.number, type=record.type)
                    chain.tell("queue joined", queued.at, queue=queued.queue, position=queued.position)
                    ringing = await chain.event(AgentRinging, 20, started.call_id)
                    chain.tell("agent ringing", ringing.at, interface=ringing.interface)
                    await here.phone.ringing()
                    painted_at = await chain.fact("pop painted", lambda: chain.painted_at(started.call_id), 10)
                    chain.tell("pop painted", painted_at)
                    await agent.shoot("desk-ringing")
                    heard_before_s = here.phone.heard_s()
                    await here.phone.answer()
                    answered = await chain.event(AgentConnected, 10, started.call_id)
                    await asyncio.sleep(_TALK_S)
                    await agent.shoot("desk-talking")
                    chain.tell(
                        "answered",
                        answered.at,
                        interface=answered.interface,
                        agent_heard_s=round(here.phone.heard_s() - heard_before_s, 1),
                    )
                    over.set()
                    caller_heard_s = await calling
                    if caller_heard_s < 1:
                        raise ChainBroken("the caller heard nothing")
                    fields = app.site.record_types[record.type].fields
                    said = {"fault": "空调不制冷 / does not cool", "address": caller.address}
                    await agent.dispose(
                        {fields[name].title[language]: text for name, text in said.items()}, "visit_needed"
                    )
                    disposed_at = await chain.fact("disposition saved", lambda: chain.disposed_at(record), 10)
                    chain.tell("disposition saved", disposed_at, record=record.number)
                    order = await chain.fact("work order offered", lambda: chain.order(record, "dispatch"), 10)
                    chain.tell(
                        "work order offered",
                        order.created_at,
                        order=order.number,
                        due_at=iso(order.due_at),
                    )
                technician_page = DemoPerson.at(
                    browser, app.url, people.TECHNICIAN, here.password, phone_sized=True, shots=shots
                )
                async with technician_page as technician:
                    await technician.sees(order)
                    await technician.shoot("tasks")
                    await technician.accept(order)
                    await technician.complete(order, "done", "更换电容 / capacitor replaced")
                planned = await chain.fact("follow-up due", lambda: chain.order(record, "follow_up"), 10)
                due_at = planned.planned_at or planned.due_at
                chain.tell(
                    "follow-up due",
                    planned.created_at,
                    order=planned.number,
                    due_at=iso(due_at),
                )
                await agent.shoot("desk-closed")


async def _caller(here: Centre, caller: people.Caller, over: asyncio.Event) -> float:
    """The caller's part; returns how many seconds of sound there were."""
    async with call(here, caller) as phone:
        await over.wait()
        await phone.hang_up()
        return phone.heard_s()
