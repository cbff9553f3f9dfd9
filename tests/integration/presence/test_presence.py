"""Presence is right after killing either side in mid-wrap-up, and members come back after a restart of either."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ctiserver.app.composition import App, running
from ctiserver.clock import SystemClock
from ctiserver.features.agents.presences import WRAP_UP
from ctiserver.features.users.service import Users
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.agent import Presence, WrapUpKept
from ctiserver.model.ids import AgentId, QueueName
from ctiserver.resources import shipped
from ctiserver.settings import AgiSettings, PbxSettings, Settings, WebSettings
from ctiserver.store.database import Database
from tests.support.asterisk import apart, registration
from tests.support.desk import PASSWORD, Browser
from tests.support.eventually import eventually
from tests.support.installation import Installation

pytestmark = pytest.mark.pbx
WANG = AgentId("wang.fang")


@pytest.fixture(scope="module")
def mortal(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePbx]:
    """A PBX that tests here may kill."""
    pbx = apart(PrivatePbx.launch(tmp_path_factory.mktemp("mortal"), programs=programs))
    yield pbx
    apart(pbx.stop())


@pytest.fixture
async def fresh(mortal: PrivatePbx) -> PrivatePbx:
    """The same, with nobody logged in."""
    await mortal.cli("queue remove member PJSIP/agent1 from repair")
    await number(mortal)
    return mortal


async def number(pbx: PrivatePbx) -> None:
    """A number that leads into the queue without a menu; a restart of the PBX forgets it."""
    for priority, step in enumerate(("Answer()", "Queue(repair,t,,,30)", "Hangup()"), 1):
        await pbx.cli(f"dialplan add extension 7001,{priority},{step} into cti-inbound replace")


async def restart(pbx: PrivatePbx) -> None:
    """kill -9, and a new process. It knows the agent's phone again, since its registration was written down."""
    await eventually(lambda: registration(pbx, "agent1"), within_s=15)
    await pbx.kill()
    await pbx.restart()
    await number(pbx)


async def seat(pbx: PrivatePbx) -> str:
    """How app_queue shows the agent's seat."""
    lines = (await pbx.cli("queue show repair")).splitlines()
    return next((line for line in lines if "PJSIP/agent1" in line), "")


@dataclass
class Phones:
    """An agent's and a caller's."""

    pbx: PrivatePbx
    agent: SipPhone
    caller: SipPhone

    async def talk(self) -> None:
        """The agent is offered a call, takes it, and the caller hangs up."""
        await self.caller.dial("7001")
        await self.agent.ringing()
        await self.agent.answer()
        await eventually(lambda: seat(self.pbx), lambda line: "(in call)" in line)
        await self.caller.hang_up()
        await self.agent.ended()


@asynccontextmanager
async def phones(programs: Programs, pbx: PrivatePbx) -> AsyncIterator[Phones]:
    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138000") as caller,
    ):
        yield Phones(pbx, agent, caller)


async def add_agent(database_url: str) -> None:
    async with Database.open(database_url, upgrade=True) as database:
        await Users(database, SystemClock()).add(
            WANG, name="王芳", role="agent", password=PASSWORD, skills=("repair",), extension="101",
            interface="PJSIP/agent1",
        )  # fmt: skip


def settings(pbx: PrivatePbx, folder: Path) -> Settings:
    return Settings(
        data_dir=folder / "data",
        config_dir=shipped("config"),
        pbxs={"main": PbxSettings(port=pbx.ami_port, secret=SecretStr(pbx.ami_secret))},
        agi=AgiSettings(port=0),
        web=WebSettings(port=0),
    )


async def becomes(app: App, state: str, within_s: float = 15) -> Presence:
    async def look() -> Presence:
        return app.features.agents.presence(WANG)

    return await eventually(look, lambda it: it.state == state, within_s=within_s)


async def test_after_call_work_that_a_killed_server_left_ends_when_it_was_to_end(
    pbx: PrivatePbx, programs: Programs, tmp_path: Path
) -> None:
    its = settings(pbx, tmp_path)
    await add_agent(its.database_url)
    await number(pbx)
    await pbx.cli("queue add member PJSIP/agent1 to repair")
    await pbx.cli(f"queue pause member PJSIP/agent1 queue repair reason {WRAP_UP}")
    async with AsyncExitStack() as stack:
        two = await stack.enter_async_context(phones(programs, pbx))
        until = datetime.now(UTC) + timedelta(seconds=12)
        async with Database.open(its.database_url) as database, database.unit_of_work() as uow:
            await uow.wrap_ups.keep(WrapUpKept(agent_id=WANG, queue=QueueName("repair"), until=until, extended=True))
        app = await stack.enter_async_context(running(its))
        found = await becomes(app, "wrap_up")
        assert (found.wrap_up_until, found.wrap_up_extended) == (until, True)
        over = await becomes(app, "available")
        assert timedelta(0) <= over.since - until < timedelta(seconds=5)
        await eventually(lambda: seat(pbx), lambda shown: bool(shown) and "paused" not in shown)
        await two.talk()
        again = await becomes(app, "wrap_up")
        assert again.wrap_up_until is not None
        assert again.wrap_up_until > until + timedelta(seconds=50)


async def test_a_killed_asterisk_gets_its_members_and_their_after_call_work_back(
    fresh: PrivatePbx, programs: Programs, tmp_path: Path
) -> None:
    """AstDB is written once a second: what was said just before is not in it, and is asked for again."""
    its = settings(fresh, tmp_path)
    await add_agent(its.database_url)
    async with running(its) as app, phones(programs, fresh) as two:
        await app.ready(10)
        await app.features.agents.log_in(WANG)
        await becomes(app, "available")
        await restart(fresh)
        await app.ready(20)
        await becomes(app, "available")
        await eventually(lambda: seat(fresh), lambda shown: "(dynamic)" in shown)

        await two.talk()
        begun = await becomes(app, "wrap_up")
        await restart(fresh)
        await app.ready(20)
        found = await becomes(app, "wrap_up")
        assert found.wrap_up_until == begun.wrap_up_until
        await eventually(lambda: seat(fresh), lambda shown: "paused:wrap_up" in shown)
        await app.features.agents.ready(WANG)
        await two.talk()


async def test_an_agent_whose_pbx_hangs_is_unknown_within_five_seconds(
    fresh: PrivatePbx, programs: Programs, tmp_path: Path
) -> None:
    """The connection stands, and nothing passes. Afterwards the agent is what they were, and is offered a call."""
    its = settings(fresh, tmp_path)
    await add_agent(its.database_url)
    async with running(its) as app, phones(programs, fresh) as two:
        await app.ready(10)
        await app.features.agents.log_in(WANG)
        await becomes(app, "available")
        os.kill(fresh.pid, signal.SIGSTOP)
        try:
            began = asyncio.get_running_loop().time()
            await becomes(app, "unknown")
            took_s = asyncio.get_running_loop().time() - began
        finally:
            os.kill(fresh.pid, signal.SIGCONT)
        assert took_s < 5
        await becomes(app, "available")
        await two.talk()


@dataclass
class Server:
    """A server in a process of its own, and its console as the agent sees it."""

    site: Installation

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Browser]:
        """Until the block ends, when it is killed with SIGKILL."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ctiserver", "serve", "--config", str(self.site.folder / "ctiserver.yaml")),
            env=self.site.environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        try:
            async with asyncio.timeout(60):
                while line := (await process.stderr.readline()).decode():
                    if "the console is at" in line:
                        break
            async with Browser(line.split()[-1]) as browser:
                await browser.log_in(WANG)
                yield browser
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


async def kept(database_url: str) -> str:
    """Until when after-call work lasts, by the server's database."""
    async with Database.open(database_url) as database, database.reading() as uow:
        return "".join(wrap_up.until.isoformat() for wrap_up in await uow.wrap_ups.everybody())


async def seen(browser: Browser, state: str) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        found: dict[str, Any] = await browser.json("GET", "/api/v1/agents/me")
        return found

    return await eventually(look, lambda it: it["state"] == state and it["pbx_up"], within_s=20)


async def test_a_killed_server_finds_its_agent_in_after_call_work(
    fresh: PrivatePbx, programs: Programs, tmp_path: Path
) -> None:
    site = await asyncio.to_thread(Installation, tmp_path / "site", fresh)
    # Longer than the slowest machine takes to start a server.
    site.edit("queues.yaml", "wrap_up: {limit: 60s,", "wrap_up: {limit: 20m,")
    database_url = f"sqlite:///{site.folder}/data/ctiserver.sqlite"
    await add_agent(database_url)
    server = Server(site)
    async with AsyncExitStack() as stack:
        two = await stack.enter_async_context(phones(programs, fresh))
        async with server.serving() as browser:
            await browser.json("POST", "/api/v1/agents/me/login")
            await seen(browser, "available")
            await two.talk()
            begun = await seen(browser, "wrap_up")
            await eventually(lambda: seat(fresh), lambda shown: "paused:wrap_up" in shown)
            await eventually(lambda: kept(database_url), lambda until: until == begun["wrap_up_until"])
        assert "paused:wrap_up" in await seat(fresh), "app_queue knows it while there is no server"
        async with server.serving() as browser:
            found = await seen(browser, "wrap_up")
            assert found["wrap_up_until"] == begun["wrap_up_until"]
            assert (found["queues"], found["extension_s"]) == (["repair"], begun["extension_s"])
            assert (await browser.json("POST", "/api/v1/agents/me/unpause"))["state"] == "available"
            await two.talk()
            await seen(browser, "wrap_up")
