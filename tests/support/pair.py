"""One server and two real PBXs with phones and queues of the same names, each behind a line that can be cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from ctiserver.app.composition import App, running
from ctiserver.lab.drill.proxy import TcpProxy, line
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.ids import AgentId, PbxName
from ctiserver.resources import shipped
from ctiserver.settings import AgiSettings, PbxSettings, Settings, WebSettings
from tests.support.desk import PASSWORD, Browser

MAIN, BRANCH = PbxName("main"), PbxName("branch")
#: Li's phone is agent1 of the main PBX; Zhao's is agent1 of the branch, and Qian's its agent2.
LI, ZHAO, QIAN = AgentId("li.min"), AgentId("zhao.bin"), AgentId("qian.yu")
NUMBER = "7001"


@dataclass
class Pair:
    """The server, both PBXs, and the lines between."""

    app: App
    pbxs: dict[PbxName, PrivatePbx]
    lines: dict[PbxName, TcpProxy]

    async def entries(self) -> dict[str, CallEntry]:
        """The call log, by who called; each once."""
        async with self.app.database.reading() as uow:
            found = await uow.calls.page()
        assert len({entry.ani for entry in found}) == len(found), "a call is in the log twice"
        return {entry.ani: entry for entry in found}


async def number(pbx: PrivatePbx) -> None:
    """A number that leads into the queue without a menu; a restart of the PBX forgets it."""
    for priority, step in enumerate(("Answer()", "Queue(repair,tT,,,60)", "Hangup()"), 1):
        await pbx.cli(f"dialplan add extension {NUMBER},{priority},{step} into cti-inbound replace")


@asynccontextmanager
async def desk(two: Pair, login: str) -> AsyncIterator[Browser]:
    """An agent's console."""
    async with Browser(two.app.url) as browser:
        await browser.log_in(login)
        yield browser


async def state_of(browser: Browser) -> str:
    return str((await browser.json("GET", "/api/v1/agents/me"))["state"])


@asynccontextmanager
async def pair(programs: Programs, folder: Path) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        pbxs: dict[PbxName, PrivatePbx] = {}
        lines: dict[PbxName, TcpProxy] = {}
        agi_port = free_port()
        for name in (MAIN, BRANCH):
            starting = PrivatePbx.start(folder / name, programs=programs, agi=f"127.0.0.1:{agi_port}")
            pbxs[name] = pbx = await stack.enter_async_context(starting)
            lines[name] = await stack.enter_async_context(line("127.0.0.1", pbx.ami_port))
            await number(pbx)
        settings = Settings(
            data_dir=folder / "data",
            config_dir=shipped("config"),
            pbxs={
                name: PbxSettings(
                    port=lines[name].listens_at, secret=SecretStr(pbx.ami_secret), queue_log=pbx.queue_log_path
                )
                for name, pbx in pbxs.items()
            },
            agi=AgiSettings(port=agi_port, command_margin_s=10),
            web=WebSettings(port=0),
        )
        app = await stack.enter_async_context(running(settings))
        for login, name, pbx_name, phone in (
            (LI, "李敏", None, "agent1"),
            (ZHAO, "赵斌", BRANCH, "agent1"),
            (QIAN, "钱玉", BRANCH, "agent2"),
        ):
            await app.features.users.add(
                login,
                name=name,
                role="agent",
                password=PASSWORD,
                skills=("repair",),
                extension="101" if phone == "agent1" else "102",
                interface=f"PJSIP/{phone}",
                pbx=pbx_name,
            )
        await app.features.agents.load()
        await app.ready(20)
        yield Pair(app, pbxs, lines)
