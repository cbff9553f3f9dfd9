"""Two PBXs at once, with phones and queues of the same names: nothing of one is ever taken for the other's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from ctiserver.bus import Bus
from ctiserver.clock import SystemClock
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.events import CallEnded, CallEvent, CallStarted
from ctiserver.model.ids import PbxName
from ctiserver.pbx.link import PbxLink
from ctiserver.settings import PbxSettings
from tests.support.ami import FakeAmi, channel, event, fake_ami
from tests.support.asterisk import members, registration
from tests.support.desk import Browser
from tests.support.eventually import eventually
from tests.support.pair import BRANCH, LI, MAIN, NUMBER, ZHAO, desk, number, pair, state_of


@pytest.mark.pbx
async def test_calls_at_the_same_time_on_two_real_pbxs(programs: Programs, tmp_path: Path) -> None:
    async with pair(programs, tmp_path) as two, AsyncExitStack() as stack:
        browser, other = (
            await stack.enter_async_context(desk(two, LI)),
            await stack.enter_async_context(desk(two, ZHAO)),
        )
        phones, callers = {}, {}
        for name, pbx in two.pbxs.items():
            phones[name] = await stack.enter_async_context(SipPhone.agent(programs, pbx, "agent1"))
            ani = {MAIN: "13800000001", BRANCH: "13800000002"}[name]
            callers[name] = await stack.enter_async_context(SipPhone.caller(programs, pbx, ani))
        # Each sits where their phone is, and nowhere else.
        await browser.json("POST", "/api/v1/agents/me/login")
        assert {name: await members(pbx, "repair") for name, pbx in two.pbxs.items()} == {
            MAIN: ["PJSIP/agent1"],
            BRANCH: [],
        }
        assert (await other.json("GET", "/api/v1/agents/me"))["state"] == "logged_out"
        assert (await other.json("POST", "/api/v1/agents/me/login"))["pbx"] == "branch"
        await eventually(lambda: members(two.pbxs[BRANCH], "repair"), lambda names: names == ["PJSIP/agent1"])

        # What rings at the branch is its agent's pop and presence, and not of whose phone has that name on the main PBX.
        await callers[BRANCH].dial(NUMBER)
        await phones[BRANCH].ringing()
        await phones[BRANCH].answer()
        await eventually(
            two.entries, lambda seen: "13800000002" in seen and seen["13800000002"].answered_at is not None
        )
        assert (await other.json("GET", "/api/v1/pops/mine"))["pop"]["ani"] == "13800000002"
        assert (await other.json("GET", "/api/v1/agents/me"))["state"] == "talking"
        assert await browser.json("GET", "/api/v1/pops/mine") == {"pop": None}
        assert (await browser.json("GET", "/api/v1/agents/me"))["calls"] == []

        await callers[MAIN].dial(NUMBER)
        await phones[MAIN].ringing()
        await phones[MAIN].answer()
        seen = await eventually(two.entries, lambda seen: len(seen) == 2 and all(e.answered_at for e in seen.values()))
        pop = (await browser.json("GET", "/api/v1/pops/mine"))["pop"]
        assert pop["ani"] == "13800000001"
        assert {ani: (entry.pbx, entry.agent_id) for ani, entry in seen.items()} == {
            "13800000001": ("main", "li.min"),
            "13800000002": ("branch", "zhao.bin"),
        }

        # The branch dies with its call, once its phone's registration is written down. The main PBX's call goes on, and ends as it should.
        await eventually(lambda: registration(two.pbxs[BRANCH], "agent1"), within_s=15)
        await two.pbxs[BRANCH].kill()
        ready = await eventually(
            lambda: browser.json("GET", "/readyz"), lambda said: bool(said["status"] == "degraded"), within_s=10
        )
        assert (ready["pbxs"]["main"]["up"], ready["pbxs"]["branch"]["up"]) == (True, False)
        assert ready["pbxs"]["branch"]["since"] > ready["pbxs"]["main"]["since"]
        metrics = await (await browser.ask("GET", "/metrics")).text()
        assert 'ctiserver_pbx_state_age_seconds{pbx="main"} 0.0' in metrics
        assert 'ctiserver_calls{pbx="main"} 1.0' in metrics
        assert 'ctiserver_pbx_up{pbx="branch"} 0.0' in metrics
        # Of the branch's agent nothing is known any more; of the other everything.
        shown = await eventually(lambda: state_of(other), lambda state: state == "unknown")
        assert (shown, await state_of(browser)) == ("unknown", "talking")
        await callers[MAIN].hang_up()
        await phones[MAIN].ended()
        seen = await eventually(two.entries, lambda seen: seen["13800000001"].complete)
        assert seen["13800000001"].detail["answered_by"] == ["PJSIP/agent1"]
        assert seen["13800000001"].outcome == "answered"
        assert not seen["13800000002"].complete

        # It comes back: its call of before is over, and says why.
        await two.pbxs[BRANCH].restart()
        seen = await eventually(two.entries, lambda seen: seen["13800000002"].complete, within_s=15)
        assert seen["13800000002"].detail["ended"] == "pbx_restarted"
        assert (await browser.json("GET", "/readyz"))["status"] == "ready"
        # Its agent is where they were, and is offered one call, once.
        await eventually(lambda: state_of(other), lambda state: state == "available")
        for phone in (phones[BRANCH], callers[BRANCH]):
            await phone.hang_up()  # nobody told them that the call is over
        await number(two.pbxs[BRANCH])
        await callers[BRANCH].dial(NUMBER)
        await phones[BRANCH].ringing()
        await phones[BRANCH].answer()
        assert await eventually(lambda: state_of(other), lambda state: state == "talking")
        assert len((await other.json("GET", "/api/v1/agents/me"))["calls"]) == 1
        await callers[BRANCH].hang_up()


@pytest.mark.pbx
async def test_a_flow_on_the_second_pbx_is_part_of_that_call(programs: Programs, tmp_path: Path) -> None:
    """AGI and AMI of one PBX derive the same call id, since its dialplan says which PBX it is."""
    async with pair(programs, tmp_path) as two:
        await two.pbxs[BRANCH].cli("dialplan set global CTI_PBX branch")
        async with SipPhone.caller(programs, two.pbxs[BRANCH], "13800000003") as caller:
            await caller.dial("4008001234")
            await caller.answered()

            async def path() -> list[str]:
                await caller.press("1")  # again and again: one that comes before the PBX listens is lost
                entry = (await two.entries())["13800000003"]
                async with two.app.database.reading() as uow:
                    return [step.node for step in await uow.calls.path(entry.id)]

            await eventually(path, within_s=60)  # prompts that no build has spoken are spoken first
            await caller.hang_up()
        await eventually(two.entries, lambda seen: seen["13800000003"].complete)
        # Its phone agent1 logs in whose phone it is, and not whose phone has that name on the other PBX.
        async with SipPhone.agent(programs, two.pbxs[BRANCH], "agent1") as phone:
            await phone.dial("*11")
            await phone.answered()
            await phone.ended(timeout_s=20)
        agents = two.app.features.agents
        assert (agents.presence(LI).logged_in, agents.presence(ZHAO).logged_in) == (False, True)
        assert await members(two.pbxs[BRANCH], "repair") == ["PJSIP/agent1"]
        async with Browser(two.app.url) as browser:
            metrics = await (await browser.ask("GET", "/metrics")).text()
        assert 'ctiserver_agi_sessions_total{result="failed"} 0.0' in metrics

        async def logged() -> list[tuple[str, str]]:
            async with two.app.database.reading() as uow:
                return sorted((entry.pbx, entry.dnis) for entry in await uow.calls.page())

        await eventually(logged, lambda found: found == [("branch", "*11"), ("branch", "4008001234")], within_s=10)


@asynccontextmanager
async def linked(bus: Bus, **fakes: FakeAmi) -> AsyncIterator[dict[str, PbxLink]]:
    """Links to fakes, up."""
    links = {
        name: PbxLink(PbxName(name), PbxSettings(port=fake.port, secret=SecretStr("right")), bus, SystemClock())
        for name, fake in fakes.items()
    }
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(link.run()) for link in links.values()]
        for link in links.values():
            await link.ready()
        yield links
        for task in tasks:
            task.cancel()


async def test_equal_uniqueids_of_two_pbxs_are_two_calls() -> None:
    """Two PBXs that started in the same second number their channels alike."""
    bus = Bus()
    same = channel("1795291600.1")
    async with fake_ami() as one, fake_ami() as two, linked(bus, main=one, branch=two) as links:
        with bus.subscribe(CallEvent) as events:
            for pbx in (one, two):
                await pbx.say(event("Newchannel", **{**same, "ChannelState": "4"}))
            began = [await anext(events) for _ in range(2)]
            assert all(isinstance(it, CallStarted) for it in began)
            assert {it.pbx for it in began} == {MAIN, BRANCH}
            assert began[0].call_id != began[1].call_id
            assert [links[name].calls_now for name in ("main", "branch")] == [1, 1]
            await two.say(event("Hangup", **same, Cause="16"))
            ended = await anext(events)
            assert isinstance(ended, CallEnded)
            assert ended.pbx == BRANCH
            assert ended.call_id == next(it.call_id for it in began if it.pbx == BRANCH)
            assert [links[name].calls_now for name in ("main", "branch")] == [1, 0]


async def test_what_is_known_of_a_pbx_that_is_cut_off_ages_and_the_other_does_not() -> None:
    bus = Bus()
    async with fake_ami() as one, fake_ami() as two, linked(bus, main=one, branch=two) as links:
        before = {name: link.since for name, link in links.items()}
        two.silent.add("Login")
        two.drop()
        await two.arrived("Login", 2)
        assert not links["branch"].up
        assert links["branch"].since > before["branch"]
        assert links["main"].up
        assert links["main"].since == before["main"]
