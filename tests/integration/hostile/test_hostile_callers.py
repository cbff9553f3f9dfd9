"""People who mean harm call a real PBX that a server serves: nothing that they write is believed (docs/security.md)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from ctiserver.app.composition import App, running
from ctiserver.bus import Bus
from ctiserver.clock import SystemClock
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.model.ids import PbxName
from ctiserver.pbx.link import PbxLink
from ctiserver.resources import shipped
from ctiserver.settings import AgiSettings, PbxSettings, Settings, WebSettings
from ctiserver.sound import Sound, write_wav
from tests.support.eventually import eventually
from tests.support.hostile import Hostile, HostileCaller
from tests.support.mutations import MARK, mutated

FLOW = """\
schema: callflow/1
flow: short
version: "1"
languages: [en]
start: bye
on_error: bye
nodes:
  bye: {kind: hangup, prompt: {file: beep}}
"""
SEED = 20261201


@asynccontextmanager
async def served(pbx: PrivatePbx, folder: Path) -> AsyncIterator[App]:
    """A server whose one flow says a beep and hangs up."""
    config, flows = folder / "config", folder / "flows"
    shutil.copytree(shipped("config"), config, ignore=shutil.ignore_patterns("processes"))
    flows.mkdir()
    (flows / "short.flow.yaml").write_text(FLOW, encoding="utf-8")
    (config / "numbers.yaml").write_text('numbers: {"*": {flow: short}}\n', encoding="utf-8")
    write_wav(config / "prompts/en/beep.wav", Sound(8000, np.zeros(1600, np.int16)))
    settings = Settings(
        data_dir=folder / "data",
        config_dir=config,
        flows_dir=flows,
        pbxs={
            "main": PbxSettings(
                port=pbx.ami_port,
                secret=SecretStr(pbx.ami_secret),
                recordings_dir=pbx.recordings_dir,
                queue_log=pbx.queue_log_path,
            )
        },
        agi=AgiSettings(port=int(pbx.agi.rpartition(":")[2]), command_margin_s=10),
        web=WebSettings(port=0),
    )
    async with running(settings) as app:
        await app.ready(20)
        yield app


def link_of(app: App) -> PbxLink:
    [link] = app.links.values()
    return link


async def written(app: App) -> str:
    """All that the server has written down of calls and recordings."""
    async with app.database.reading() as uow:
        entries = await uow.calls.page(5000)
        return (
            repr(entries)
            + repr(await uow.recordings.open())
            + repr([await uow.recordings.of_call(e.id) for e in entries])
        )


async def numbers(app: App) -> set[str]:
    """Who called, as far as the server knows, of calls that are over."""
    async with app.database.reading() as uow:
        return {entry.ani for entry in await uow.calls.page(5000) if entry.complete}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_two_invites_deleted_a_file_of_the_servers(pbx: PrivatePbx, tmp_path: Path) -> None:
    """The attack of docs/security.md, word for word."""
    victim = pbx.recordings_dir.parent.parent / f"{MARK}.txt"
    victim.write_text("keep me", encoding="utf-8")
    try:
        async with served(pbx, tmp_path) as app:
            before = link_of(app).counters()["refused"]
            caller = HostileCaller(pbx.sip_port)
            for invite in mutated(2, SEED):
                assert await caller.call(invite) == 403
            assert await caller.call(Hostile(number="13900000001")) == 200
            assert "13900000001" in await eventually(lambda: numbers(app), lambda known: "13900000001" in known)
            await app.features.recordings.take_in()
            await app.features.recordings.remove_old()
            assert victim.read_text(encoding="utf-8") == "keep me"
            said = await written(app)
            assert MARK not in said
            assert "437.9" not in said
            assert link_of(app).counters()["refused"] > before
    finally:
        victim.unlink(missing_ok=True)


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.chaos)])
async def test_odd_invites_reach_nobody_else(pbx: PrivatePbx, tmp_path: Path, count: int) -> None:
    good = [f"1390000{number:04d}" for number in range(count // 3)]
    recordings = files(pbx.recordings_dir.parent / "recordings")
    async with served(pbx, tmp_path) as app:
        hostile, honest = HostileCaller(pbx.sip_port), HostileCaller(pbx.sip_port, answer_within_s=20)
        lines = asyncio.Semaphore(6)

        async def call(caller: HostileCaller, invite: Hostile) -> int:
            async with lines:
                return await caller.call(invite)

        invites = mutated(count, SEED + count)
        async with asyncio.TaskGroup() as group:
            for invite in invites:
                group.create_task(call(hostile, invite))
            for number in good:
                group.create_task(call(honest, Hostile(number=number)))
        assert honest.answers == [200] * len(good)
        known = await eventually(lambda: numbers(app), lambda known: set(good) <= known, within_s=20)
        assert set(good) <= known
        said = await written(app)
        assert f"{MARK}.1" not in said
        assert f"{MARK}.2" not in said
        assert f"{MARK}.txt" not in said
        counters = link_of(app).counters()
        assert counters["refused"] > count // 4
        assert counters["broken"] == 0
        assert not [member for member in link_of(app).members() if MARK in f"{member.queue}{member.interface}"]
        assert link_of(app).up
        assert pbx.alive
    assert files(pbx.recordings_dir.parent / "recordings") == recordings
    assert not Path(f"/tmp/{MARK}").exists()


async def test_the_systemname_is_said_nowhere(
    pbx: PrivatePbx, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(pbx, tmp_path) as app:
        caller = HostileCaller(pbx.sip_port)
        assert await caller.call(Hostile(number="13900000002")) == 200
        await caller.call(Hostile(number="1\r\n\r\nEvent: X"))
        await eventually(lambda: numbers(app), lambda known: "13900000002" in known)
        assert link_of(app).systemname == pbx.systemname
        said = await written(app)
    out = capsys.readouterr()
    for what in (said, out.out, out.err, *map(str, tmp_path.rglob("*")), *map(str, pbx.recordings_dir.rglob("*"))):
        assert pbx.systemname not in what
    for path, content in files(tmp_path).items():
        assert pbx.systemname.encode() not in content, path


#: Where a call may come in, and what leads it there.
ENTRIES = {
    "from a trunk": "cti-inbound,4000,1",
    "from a trunk, without a number": "cti-inbound,s,1",
    "fallback": "cti-fallback,s,1",
    "voicemail": "cti-do,voicemail,1",
    "outbound": "cti-outbound,+8613800138000,1",
    "an agent's phone": "cti-agents,101,1",
    "an agent's keys": "cti-agents,*11,1",
    "handed to a queue": "cti-queues,repair,1",
}
#: Which value holds the line's end.
VALUES = ("CALLERID(num)", "CALLERID(name)", "CALLERID(dnid)", "CALLERID(rdnis)", "CALLERID(ani)")


@pytest.mark.parametrize("entry", ENTRIES)
async def test_such_a_call_is_ended_first_thing(pbx: PrivatePbx, entry: str) -> None:
    extensions = pbx.log_path.parent.parent / "etc/extensions.conf"
    before, context = extensions.read_text(encoding="utf-8"), f"hostile-{list(ENTRIES).index(entry)}"
    lines = (
        f"exten => {number},1,Set({value}=1${{URIDECODE(%0D%0A)}}x)\n same => n,Goto({ENTRIES[entry]})\n"
        for number, value in enumerate(VALUES)
    )
    extensions.write_text(f"{before}\n[{context}]\n{''.join(lines)}", encoding="utf-8")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(pbx.cli, "dialplan reload")
        stack.callback(extensions.write_text, before, encoding="utf-8")
        await pbx.cli("dialplan reload")
        account = PbxSettings(port=pbx.ami_port, secret=SecretStr(pbx.ami_secret))
        ask = await stack.enter_async_context(PbxLink(PbxName("main"), account, Bus(), SystemClock()).asking())
        for number, value in enumerate(VALUES):
            name = f"Local/{number}@{context}"
            await ask("Originate", {"Channel": name, "Application": "Wait", "Data": "1", "Async": "true"})

            async def run(name: str = name) -> list[str]:
                text = pbx.log_path.read_text(encoding="utf-8", errors="replace")
                lines = [line.partition("Executing [")[2] for line in text.splitlines()]
                return [line for line in lines if name in line]

            done = await eventually(run, lambda lines: any("Hangup(" in line for line in lines), within_s=10)
            assert done[-1].startswith("s@cti-clean:"), (value, done)
            assert 'Hangup("' in done[-1], (value, done)
            ours = [line for line in done if f"@{context}:" not in line and "@cti-clean:" not in line]
            assert all("Gosub(" in line for line in ours), (value, done)
