"""A real call is recorded by its flow and by its queue, is silent where it must be, and is played by those who may."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from ctiserver.app.composition import App, running
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.ids import CallId
from ctiserver.resources import shipped
from ctiserver.settings import AgiSettings, PbxSettings, Settings, WebSettings
from ctiserver.sound import Sound, read_wav, write_wav
from tests.support.desk import PASSWORD, Browser
from tests.support.eventually import eventually

FLOW = """\
schema: callflow/1
flow: recorded
version: "1"
languages: [en]
vars: {pin: {type: text}}
start: begin
on_error: bye
nodes:
  begin: {kind: audio, do: start, next: before}
  before: {kind: play, prompt: {file: beep}, next: secret}
  secret:
    kind: input
    sensitive: true
    prompt: {file: beep}
    min_digits: 2
    max_digits: 2
    store: pin
    on: {ok: after, exhausted: bye}
  after: {kind: play, prompt: {file: beep}, next: end}
  end: {kind: audio, do: stop, next: people}
  people: {kind: queue, queue: repair, on: {empty: bye, full: bye}}
  bye: {kind: hangup, prompt: {file: beep}}
"""
#: What counts as sound, root mean square of 0 … 1; the phones hum a tone, and what is masked is exact zero.
LOUD = 0.01


@dataclass
class Desk:
    app: App
    browser: Browser

    async def calls(self) -> list[Any]:
        """The call log."""
        async with self.app.database.reading() as uow:
            return [{"id": entry.id} for entry in await uow.calls.page()]

    async def recordings(self, call: CallId) -> list[Any]:
        return list((await self.browser.json("GET", f"/api/v1/calls/{call}/recordings"))["recordings"])


@asynccontextmanager
async def desk(pbx: PrivatePbx, folder: Path) -> AsyncIterator[Desk]:
    """The server with that flow on every number, a queue that records always, and an agent at the desk."""
    config, flows = folder / "config", folder / "flows"
    shutil.copytree(shipped("config"), config, ignore=shutil.ignore_patterns("processes"))
    flows.mkdir()
    (flows / "recorded.flow.yaml").write_text(FLOW, encoding="utf-8")
    (config / "numbers.yaml").write_text('numbers: {"*": {flow: recorded}}\n', encoding="utf-8")
    queues = (config / "queues.yaml").read_text(encoding="utf-8")
    always = queues.replace("strategy: longest_idle ", "record: {calls: always}\n    strategy: longest_idle ", 1)
    assert always != queues
    (config / "queues.yaml").write_text(always, encoding="utf-8")
    tone = np.array([4000, 4000, -4000, -4000] * 2000, np.int16)  # a second
    write_wav(config / "prompts/en/beep.wav", Sound(8000, tone))
    settings = Settings(
        data_dir=folder / "data",
        config_dir=config,
        flows_dir=flows,
        pbxs={
            "main": PbxSettings(port=pbx.ami_port, secret=SecretStr(pbx.ami_secret), recordings_dir=pbx.recordings_dir)
        },
        agi=AgiSettings(port=int(pbx.agi.rpartition(":")[2]), command_margin_s=10),
        web=WebSettings(port=0),
    )
    async with running(settings) as app, Browser(app.url) as browser:
        for login, number in (("li.min", "1"), ("wu.na", "2")):
            await app.features.users.add(
                login,
                name=login,
                role="agent",
                password=PASSWORD,
                skills=("repair",),
                extension=f"10{number}",
                interface=f"PJSIP/agent{number}",
            )
        await app.features.agents.load()
        await app.ready(10)
        await browser.log_in("li.min")
        yield Desk(app, browser)


def tenths(sound: Sound) -> str:
    """A letter for each tenth of a second: ``#`` sound, ``_`` silence."""
    step = sound.rate // 10
    parts = [Sound(sound.rate, sound.samples[at : at + step]) for at in range(0, len(sound.samples) - step, step)]
    return "".join("#" if part.level > LOUD else "_" for part in parts)


def stretches(letters: str, least: int = 3) -> str:
    """The order of stretches of at least ``least`` tenths."""
    runs: list[tuple[str, int]] = []
    for letter in letters:
        runs = [*runs[:-1], (letter, runs[-1][1] + 1)] if runs and runs[-1][0] == letter else [*runs, (letter, 1)]
    long = [letter for letter, count in runs if count >= least]
    return "".join(letter for at, letter in enumerate(long) if at == 0 or long[at - 1] != letter)


async def sounds(pbx: PrivatePbx, tenths_of_talk: int) -> None:
    """Wait until the files of recordings have grown by so much."""

    def size() -> int:
        return sum(path.stat().st_size for path in pbx.recordings_dir.rglob("*.wav"))

    wanted = size() + tenths_of_talk * 1600

    async def now() -> int:
        return size()

    await eventually(now, lambda seen: seen >= wanted, within_s=15.0)


@pytest.mark.pbx
async def test_recorded_masked_and_played(pbx: PrivatePbx, programs: Programs, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(desk(pbx, tmp_path))
        agent = await stack.enter_async_context(SipPhone.agent(programs, pbx, "agent1"))
        caller = await stack.enter_async_context(SipPhone.caller(programs, pbx, "13800138000"))
        await here.browser.json("POST", "/api/v1/agents/me/login")

        await caller.dial("4008001234")
        await caller.answered()
        [call] = await eventually(here.calls, within_s=10.0)

        async def masked() -> bool:
            return any(recording["masked"] for recording in await recordings())

        async def recordings() -> list[Any]:
            async with here.app.database.reading() as uow:
                found = await uow.recordings.of_call(call["id"])
            return [{"masked": recording.masked} for recording in found]

        await eventually(masked, within_s=15.0)  # the flow listens for the secret
        await sounds(pbx, 10)
        await caller.press("12")
        await agent.ringing()
        await agent.answer()
        await sounds(pbx, 10)
        path = f"/api/v1/calls/{call['id']}/recording"
        silent = await eventually(lambda: here.browser.ask("POST", path, {"do": "mask"}), lambda a: a.status == 200)
        assert [one["masked"] for one in (await silent.json())["recordings"]] == [False, True]
        await sounds(pbx, 10)
        await here.browser.json("POST", path, {"do": "resume"})
        await sounds(pbx, 10)
        await caller.hang_up()

        both = await eventually(
            lambda: here.recordings(call["id"]),
            lambda seen: [one["state"] for one in seen] == ["found", "found"],
            within_s=15.0,
        )
        by_flow, by_queue = both
        assert [mask["why"] for mask in by_flow["masks"]] == ["hide"]
        assert [(mask["why"], mask["by"]) for mask in by_queue["masks"]] == [("desk", "li.min")]
        assert by_queue["talk_only"]
        for recording in both:
            played = tmp_path / f"{recording['id']}.wav"
            async with here.browser.http.get(f"{here.app.url}/api/v1/recordings/{recording['id']}/audio") as answer:
                assert (answer.status, answer.content_type) == (200, "audio/wav")
                played.write_bytes(await answer.read())
            sound = read_wav(played)
            assert sound.seconds == pytest.approx(recording["seconds"], abs=0.01)
            assert stretches(tenths(sound)) == "#_#", tenths(sound)

        # A player that jumps asks for the rest; that is heard once.
        address, rest = f"{here.app.url}/api/v1/recordings/{by_flow['id']}/audio", {"Range": "bytes=16000-"}
        async with here.browser.http.get(address, headers=rest) as part:
            assert part.status == 206
            assert len(await part.read()) == by_flow["size"] - 16000
        async with here.app.database.reading() as uow:
            noted = [entry.detail["recording"] for entry in await uow.audit.page(act="recording_played")]
        assert noted == [by_queue["id"], by_flow["id"]]

        async with Browser(here.app.url) as other:
            await other.log_in("wu.na")
            assert (await other.ask("GET", f"/api/v1/recordings/{by_flow['id']}/audio")).status == 404
            assert (await other.ask("GET", f"/api/v1/calls/{call['id']}/recordings")).status == 404


def test_stretches() -> None:
    assert stretches("####_####___######_") == "#_#"
    assert tenths(Sound(8000, np.zeros(8000, np.int16))) == "_" * 9
