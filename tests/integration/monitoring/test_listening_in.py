"""A supervisor joins an agent's call from the board: the own phone rings, hears, and ends with the call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from tests.support.asterisk import active_channels, pbx, programs, session_pbx
from tests.support.desk import Browser
from tests.support.eventually import eventually
from tests.support.telephony import Exchange, exchange

__all__ = ["pbx", "programs", "session_pbx"]

REASON = "new colleague, first week"


@pytest_asyncio.fixture
async def centre(pbx: PrivatePbx, tmp_path: Path) -> AsyncIterator[Exchange]:
    async with exchange(pbx, tmp_path) as it:
        await it.add_agent("wang", phone="agent1", extension="101")
        await it.add_agent("boss", phone="agent3", extension="103", role="supervisor")
        yield it


async def _state(lead: Browser, agent: str) -> Any:
    team = (await lead.json("GET", "/api/v1/agents"))["agents"]
    return next(it["state"] for it in team if it["agent_id"] == agent)


@pytest.mark.pbx
async def test_each_way_of_joining_a_call(centre: Exchange, programs: Programs) -> None:
    async with AsyncExitStack() as stack:
        lead = await stack.enter_async_context(Browser(centre.url))
        await lead.log_in("boss")
        wang = await stack.enter_async_context(Browser(centre.url))
        await wang.log_in("wang")
        agent = await stack.enter_async_context(SipPhone.agent(programs, centre.pbx, "agent1"))
        ear = await stack.enter_async_context(SipPhone.agent(programs, centre.pbx, "agent3"))
        caller = await stack.enter_async_context(SipPhone.caller(programs, centre.pbx, "13800138000"))
        await wang.json("POST", "/api/v1/agents/me/login")
        await caller.dial("7101")
        await agent.ringing()
        await agent.answer()
        await caller.answered()
        await eventually(lambda: _state(lead, "wang"), lambda state: state == "talking", within_s=15)

        heard_s = 0.0
        for mode in ("listen", "whisper", "barge"):
            joined = await lead.json(
                "POST", "/api/v1/agents/wang/monitor", {"mode": mode, "reason": REASON}, status=202
            )
            await ear.ringing()
            await ear.answer()
            before = heard_s

            async def hears(before: float = before) -> float:
                return ear.heard_s() - before

            await eventually(hears, lambda more: more > 0.5, within_s=15)
            heard_s = ear.heard_s()
            assert (await lead.json("GET", "/api/v1/pops/mine"))["pop"] is None  # it is not the supervisor's own call
            if mode != "barge":
                await ear.hang_up()
                await eventually(lambda: active_channels(centre.pbx), lambda count: count == 2, within_s=15)
        assert await _state(lead, "wang") == "talking"

        # The call ends, and with it who listened.
        await caller.hang_up()
        await ear.ended()
        await eventually(lambda: active_channels(centre.pbx), lambda count: count == 0, within_s=15)
        entries = (await lead.json("GET", "/api/v1/audit?act=call_monitored"))["entries"]
        assert [(entry["detail"]["mode"], entry["subject"]) for entry in entries] == [
            (mode, f"call:{joined['call_id']}") for mode in ("barge", "whisper", "listen")
        ]

        async def logged() -> Any:
            return await lead.json("GET", f"/api/v1/calls/{joined['call_id']}")

        call = await eventually(logged, lambda it: it["complete"], within_s=15)
        assert (call["outcome"], call["agent"]) == ("answered", "wang")
        assert call["detail"]["answered_by"] == ["PJSIP/agent1"]
