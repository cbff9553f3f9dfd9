"""What has no sound is heard all the same: in menus, on agents' phones, in the fallback."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from ctiserver.app.composition import running
from ctiserver.ivr.speech import prompts
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.resources import shipped
from ctiserver.settings import AgiSettings, PbxSettings, PromptSettings, Settings, WebSettings
from tests.support.asterisk import heard
from tests.support.eventually import eventually

pytestmark = pytest.mark.pbx

FLOW = """\
schema: callflow/1
flow: unheard
version: "1"
languages: [en]
start: ask
on_error: bye
nodes:
  ask:
    kind: menu
    prompt: {en: No engine has ever spoken this menu.}
    choices: {"1": bye}
    on: {exhausted: bye}
  bye: {kind: hangup, prompt: {en: Nor has one spoken this farewell.}}
"""


@pytest_asyncio.fixture
async def voiceless(pbx: PrivatePbx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A server on a machine without any engine, whose callers meet a flow that is not spoken."""
    monkeypatch.setattr(prompts, "engines", lambda _settings: ())
    shutil.copytree(shipped("config"), tmp_path / "config")
    shutil.copytree(shipped("ivr_flows"), tmp_path / "flows", ignore=shutil.ignore_patterns("prompts"))
    (tmp_path / "flows" / "unheard.flow.yaml").write_text(FLOW, encoding="utf-8")
    (tmp_path / "config" / "numbers.yaml").write_text('numbers:\n  "*": {flow: unheard@prod}\n', encoding="utf-8")
    settings = Settings(
        data_dir=tmp_path / "data",
        config_dir=tmp_path / "config",
        flows_dir=tmp_path / "flows",
        languages=("en",),
        prompts=PromptSettings(),
        pbxs={
            "main": PbxSettings(
                host=pbx.ami_host, port=pbx.ami_port, username=pbx.ami_username, secret=SecretStr(pbx.ami_secret)
            )
        },
        agi=AgiSettings(port=int(pbx.agi.rpartition(":")[2])),
        web=WebSettings(port=0),
    )
    async with running(settings) as app:
        await app.ready(20)
        yield


@pytest.mark.usefixtures("voiceless")
@pytest.mark.parametrize("nearest", ["a shipped sentence", "a tone"])
async def test_a_menu_that_nothing_has_spoken_is_heard(
    pbx: PrivatePbx, programs: Programs, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if nearest == "a tone":
        monkeypatch.setattr(prompts.Shelf, "_nearest", lambda _shelf, _text: None)
    async with SipPhone.caller(programs, pbx, "13800138000") as caller:
        await caller.dial("4008001234")
        await caller.answered()
        assert await eventually(lambda: heard(caller), lambda seconds: seconds >= 0.3)
        before_s = caller.heard_s()
        await caller.press("1")
        await caller.ended()
        assert caller.heard_s() > before_s  # the farewell


@pytest.mark.usefixtures("voiceless")
@pytest.mark.parametrize("nearest", ["its own sentence", "a tone"])
async def test_an_agent_s_own_phone_hears_what_became_of_its_keys(
    pbx: PrivatePbx, programs: Programs, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if nearest == "a tone":
        monkeypatch.setattr(prompts.Shelf, "_nearest", lambda _shelf, _text: None)
    async with SipPhone.agent(programs, pbx, "agent1") as phone:
        await phone.dial("*11")  # no account has this phone, which it is told
        await phone.answered()
        await phone.ended()
        assert phone.heard_s() >= 0.3


async def test_a_file_that_asterisk_can_t_read_is_a_beep(
    pbx: PrivatePbx, programs: Programs, monkeypatch: pytest.MonkeyPatch, voiceless: None
) -> None:
    monkeypatch.setattr(prompts.Shelf, "_seen_by_asterisk", lambda _shelf: Path("/nowhere"))
    async with SipPhone.agent(programs, pbx, "agent1") as phone:
        await phone.dial("*11")
        await phone.answered()
        await phone.ended()
        assert phone.heard_s() >= 0.1


async def test_an_announcement_of_the_fallback_that_is_not_there_is_a_beep(pbx: PrivatePbx, programs: Programs) -> None:
    sounds = (await pbx.cli("dialplan show globals")).partition("CTI_SOUNDS=")[2].splitlines()[0]
    await pbx.cli("dialplan set global CTI_SOUNDS /nowhere")
    for priority, step in enumerate(("Answer", "Gosub(cti-announce,s,1(goodbye))", "Hangup"), 1):
        await pbx.cli(f"dialplan add extension 8889,{priority},{step} into cti-agents")
    try:
        async with SipPhone.agent(programs, pbx, "agent1") as phone:
            await phone.dial("8889")
            await phone.answered()
            await phone.ended()
            assert phone.heard_s() >= 0.1
    finally:
        await pbx.cli("dialplan remove extension 8889@cti-agents")
        await pbx.cli(f"dialplan set global CTI_SOUNDS {sounds}")


async def test_a_call_that_is_answered_and_ended_at_once_was_answered(pbx: PrivatePbx, programs: Programs) -> None:
    await pbx.cli("dialplan add extension 8888,1,Answer into cti-agents")
    await pbx.cli("dialplan add extension 8888,2,Hangup into cti-agents")
    try:
        async with SipPhone.agent(programs, pbx, "agent1") as phone:
            await phone.dial("8888")
            await phone.answered()
            await phone.ended()
    finally:
        await pbx.cli("dialplan remove extension 8888@cti-agents")
