"""The demo with a person at the desk: callers ring, the agent's phone answers, the person does the rest."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from ctiserver.bus import Bus
from ctiserver.errors import CtiError
from ctiserver.lab.demo import people
from ctiserver.lab.demo.centre import Centre, call
from ctiserver.model.events import (
    AgentConnected,
    AgentRinging,
    CallEnded,
    CallerEnteredQueue,
    CallEvent,
    CallStarted,
)
from ctiserver.model.ids import AgentId

#: The phone rings so long that the pop is read before the talk begins, as in life.
_RINGS_S, _TALKS_S, _BETWEEN_S, _WAITS_S, _LONG_S = 5.0, 30.0, 8.0, 120.0, 86_400.0


async def open_house(here: Centre, say: Callable[[str], object]) -> None:
    """Let callers ring until cancelled."""
    say("")
    say(f"  The console:  {here.app.url}")
    say(f"  Log in as     {people.AGENT}       (the agent: the desk, screen-pops, service records)")
    say(f"                {people.AGENT_IN_BROWSER}       (an agent whose phone is the browser: join the queues there)")
    say(f"                {people.TECHNICIAN}  (the technician: work orders)")
    say(f"                {people.SUPERVISOR}  (the supervisor)")
    say(f"  Password      {here.password}")
    say("")
    say("  Callers ring by themselves while the agent is ready; the agent's phone answers after five seconds.")
    say("  Save a result at the desk, then look at the technician's list. Ctrl-C ends everything.")
    say("")
    async with asyncio.TaskGroup() as group:
        group.create_task(_narrate(here.app.bus, say), name="demo-narrator")
        group.create_task(_answer(here), name="demo-agent")
        group.create_task(_callers(here, say), name="demo-callers")


async def _answer(here: Centre) -> None:
    while True:
        await here.phone.ringing(timeout_s=_LONG_S)
        await asyncio.sleep(_RINGS_S)
        try:
            await here.phone.answer()
        except (CtiError, TimeoutError):
            continue  # the caller gave up first
        await here.phone.ended(timeout_s=_LONG_S)


async def _callers(here: Centre, say: Callable[[str], object]) -> None:
    for caller in itertools.cycle(people.CALLERS):
        while here.app.features.agents.presence(AgentId(people.AGENT)).state != "available":
            await asyncio.sleep(1.0)
        try:
            with here.app.bus.subscribe(AgentConnected) as connected:
                async with call(here, caller) as phone:
                    async with asyncio.timeout(_WAITS_S):
                        await anext(connected)
                    await asyncio.sleep(_TALKS_S)
                    await phone.hang_up()
        except (CtiError, TimeoutError) as error:
            say(f"          a call did not come through: {error}")
        await asyncio.sleep(_BETWEEN_S)


async def _narrate(bus: Bus, say: Callable[[str], object]) -> None:
    with bus.subscribe(CallEvent) as events:
        async for event in events:
            text = _told(event)
            if text:
                say(f"  {event.at.astimezone():%H:%M:%S}  {text}")


def _told(event: CallEvent) -> str:
    match event:
        case CallStarted(direction="inbound"):
            return f"{event.ani or 'somebody'} rings {event.dnis}, and hears the menu"
        case CallerEnteredQueue():
            return f"waits in the queue {event.queue}, position {event.position}"
        case AgentRinging():
            return f"{event.interface} rings; the caller and the record pop on the agent's screen"
        case AgentConnected():
            return f"{event.interface} answers"
        case CallEnded() if event.summary.direction == "inbound":
            return f"the call is over: {event.summary.outcome}"
        case _:
            return ""
