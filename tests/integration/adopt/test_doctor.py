"""From a foreign Asterisk to a green `ctiserver doctor` by what `ctiserver pbx adopt` says, and then a call."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from ctiserver.app.composition import running
from ctiserver.cli import cli
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.state import write_privately
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.resources import shipped
from ctiserver.settings import load_settings
from tests.integration.adopt.conftest import adopted, ctiserver, pieces
from tests.support.asterisk import heard, journal
from tests.support.desk import PASSWORD, Browser
from tests.support.eventually import eventually
from tests.support.foreign import OWN_NUMBER, Foreign

pytestmark = pytest.mark.pbx

_FLOW = """schema: callflow/1
flow: desk
version: "1.0.0"
title: Straight to the queue
languages: [zh-CN, en]
start: wait
on_error: bye
nodes:
  wait:
    kind: queue
    queue: "600"
    max_wait: 1m
    on: {timeout: bye, empty: bye, full: bye}
  bye:
    kind: hangup
"""


@dataclass
class Site:
    """A site's folder, made as the advice says."""

    there: Foreign
    folder: Path
    web_port: int

    @property
    def config(self) -> Path:
        return self.folder / "ctiserver.yaml"

    async def doctor(self) -> dict[str, dict[str, str]]:
        """Its lines, by what they look at; and the exit status must fit them.

        In this process, since it is asked a dozen times; below, an admin runs it as a command.
        """
        strange: dict[str, str | None] = {key: None for key in os.environ if key.startswith("CTISERVER_")}
        words = ["doctor", "--json", "--config", str(self.config)]
        done = await asyncio.to_thread(CliRunner().invoke, cli, words, env=strange)
        said = json.loads(done.stdout)
        assert done.exit_code == (0 if said["well"] else 2)
        assert said["well"] == all(line["verdict"] != "bad" for line in said["checks"])
        return {line["check"]: line for line in said["checks"]}

    async def red(self) -> dict[str, dict[str, str]]:
        return {name: line for name, line in (await self.doctor()).items() if line["verdict"] != "good"}

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


async def follow(there: Foreign, folder: Path) -> Site:
    """Do what adopt says, and no more."""
    agi_port, web_port = free_port(), free_port()
    written = pieces(await adopted(there, "--agi-port", str(agi_port)))
    # Its folders are those of an Asterisk that was installed; this one is a guest here.
    ours = {
        "/var/lib/asterisk/sounds/ctiserver": folder.parent / "sounds",
        "/var/spool/asterisk/ctiserver": folder.parent / "spool",
    }
    (folder.parent / "spool").mkdir()
    for name in ("globals_custom.conf", "extensions_custom.conf"):
        text = written[name]
        for theirs, path in ours.items():
            text = text.replace(theirs, str(path))
        (there.etc / name).write_text(text, encoding="utf-8")
    music = written["musiconhold_custom.conf"].replace(
        "/var/lib/asterisk/sounds/ctiserver", str(folder.parent / "sounds")
    )
    with (there.etc / "musiconhold.conf").open("a", encoding="utf-8") as file:
        file.write(music)
    spoken = await ctiserver("prompts", "announcements", "--out", str(folder.parent / "sounds"))
    assert spoken.returncode == 0, spoken.stderr
    for name in ("cti.conf", "fallback.conf"):
        shutil.copy(shipped("dialplan", name), there.etc / name)
    text = written["asterisk.conf"].replace("[options]\n", "")
    there.edit("asterisk.conf", "[options]\n", f"[options]\n{text}")
    await there.pbx.restart()

    assert (await ctiserver("init", str(folder))).returncode == 0
    site = Site(there, folder, web_port)
    text = site.config.read_text(encoding="utf-8")
    text = re.sub(r"(?ms)^(pbxs|agi):.*?(?=^\w)", "", text)
    site.config.write_text(f"{text}\n{written['ctiserver.yaml']}", encoding="utf-8")
    site.edit("ctiserver.yaml", "port: 8080", f"port: {web_port}")
    write_privately(folder / "main.secret", there.pbx.ami_secret)
    (folder / "queues.yaml").write_text(written["queues.yaml"], encoding="utf-8")
    shutil.rmtree(folder / "flows")
    shutil.rmtree(folder / "processes")  # those that ctiserver ships: people ask where there is no flow that does
    (folder / "flows").mkdir()
    (folder / "flows/desk.flow.yaml").write_text(_FLOW, encoding="utf-8")
    site.edit("numbers.yaml", "front_desk@prod", "desk@prod")
    site.edit("numbers.yaml", "calendar: service_desk", "calendar: always")  # the test runs at any time of the day
    for line in written["a shell"].splitlines():
        _, *words = shlex.split(line)
        added = await ctiserver(*words, "--password-stdin", "--config", str(site.config), stdin=f"{PASSWORD}\n")
        assert added.returncode == 0, added.stderr
    rendered = await ctiserver("prompts", "render", "--config", str(site.config))
    assert rendered.returncode == 0, rendered.stderr
    return site


async def test_following_the_advice_makes_doctor_green_and_calls_pop(
    there: Foreign, programs: Programs, tmp_path: Path
) -> None:
    site = await follow(there, tmp_path / "site")
    assert await site.red() == {}

    # The PBX's admin sends one number to ctiserver, and leaves the other as it was.
    number = "4008001234"
    await there.pbx.cli(f"dialplan add extension {number},1,Goto(cti-inbound,{number},1) into from-pstn")
    async with running(load_settings(site.config, {})) as app:
        await app.ready(10)
        lines = await site.doctor()
        assert {name: line for name, line in lines.items() if line["verdict"] != "good"} == {}
        assert lines["FastAGI port"]["what"].endswith("where this ctiserver serves now")
        assert lines["web port"]["what"].endswith("where this ctiserver serves now")
        for dialled, inbound in ((OWN_NUMBER, "from the PBX's own dialplan"), (number, "by a flow of ours")):
            async with (
                Browser(app.url) as browser,
                SipPhone.agent(programs, there.pbx, "101") as phone,
                SipPhone.caller(programs, there.pbx, "13800138000") as caller,
            ):
                await browser.log_in("agent101")
                async with browser.socket() as socket:
                    await socket.send_json({"op": "subscribe", "topic": "pop:agent101"})
                    assert (await socket.receive_json(timeout=5))["data"] is None, inbound
                    await caller.dial(dialled)
                    assert await phone.ringing() == "13800138000"
                    pop = (await socket.receive_json(timeout=5))["data"]
                    assert (pop["ani"], pop["queue"], pop["phase"]) == ("13800138000", "600", "ringing"), inbound
                    await phone.answer()
                    assert (await socket.receive_json(timeout=5))["data"]["phase"] == "talking"
                    await caller.hang_up()
                    await phone.ended()
                    assert (await socket.receive_json(timeout=5))["data"]["phase"] == "ended"
                # The seat is the PBX's own Local member, and the presence and the pause are its as well.
                me = await eventually(
                    lambda browser=browser: browser.json("GET", "/api/v1/agents/me"),
                    lambda said: bool(said["state"] == "wrap_up"),
                )
                assert (me["logged_in"], me["queues"]) == (True, ["600"])
                await eventually(lambda: there.pbx.cli("queue show 600"), lambda said: "(paused:wrap_up" in said)
                await browser.json("POST", "/api/v1/agents/me/login")
                await browser.json("POST", "/api/v1/agents/me/unpause")
                shown = await eventually(lambda: there.pbx.cli("queue show 600"), lambda said: "paused" not in said)
                assert shown.count("101") == 2, "logged in a second time, by another seat"
                assert "queues.conf" in (await browser.json("POST", "/api/v1/agents/me/logout", status=400))["title"]
                await browser.json("POST", "/api/v1/pops/mine/dismiss", status=204)

                async def entry(call_id: str = pop["call_id"]) -> CallEntry | None:
                    async with app.database.reading() as uow:
                        return await uow.calls.find(call_id)

                ended = await eventually(entry, lambda seen: seen is not None and seen.complete)
                assert ended is not None
                assert ended.detail["answered_by"] == ["PJSIP/101"], inbound
                assert (ended.outcome, ended.direction, ended.queue) == ("answered", "inbound", "600")
                assert (ended.agent_id, ended.ani, ended.dnis) == ("agent101", "13800138000", dialled)

    # The server is gone: the agents' queue takes the call, and its music tells the caller that somebody will come.
    async with (
        SipPhone.agent(programs, there.pbx, "101") as phone,
        SipPhone.caller(programs, there.pbx, "13800138001") as caller,
    ):
        await caller.dial(number)
        assert await phone.ringing() == "13800138001"
        await eventually(lambda: heard(caller), lambda seconds: seconds > 2)
        await phone.answer()
        await caller.hang_up()
        await phone.ended()
    kept = await journal(there.pbx)
    assert [entry[1:4] for entry in kept.values()] == [["FAILURE", "13800138001", number]]


async def test_each_red_line_says_what_and_where_and_what_to_do(there: Foreign, tmp_path: Path) -> None:
    site = await follow(there, tmp_path / "site")
    etc = there.etc

    async def only(check: str, unseen: tuple[str, ...] = ()) -> dict[str, str]:
        red = await site.red()
        assert {name: line["verdict"] for name, line in red.items()} == {
            check: "bad",
            **dict.fromkeys(unseen, "unseen"),
        }
        assert red[check]["fix"]
        return red[check]

    # the clock of events
    there.edit("manager.conf", "timestampevents = yes", "timestampevents = no")
    await there.pbx.cli("manager reload")
    assert (await only("main: event times"))["fix"] == "Add timestampevents = yes, then `manager reload`"
    there.edit("manager.conf", "timestampevents = no", "timestampevents = yes")
    # rights; without these a forged event can't be tried
    untried = ("main: forged events",)
    there.edit("manager.conf", "write = call,agent,user,originate,reporting", "write = call,agent,user,reporting")
    await there.pbx.cli("manager reload")
    assert (await only("main: rights", untried))["what"] == "the account ctiserver may not Originate"
    there.edit("manager.conf", "write = call,agent,user,reporting", "write = call,agent,user,originate,reporting")
    there.edit("manager.conf", "read = system,call,agent,user,reporting,cdr", "read = system,call,agent,reporting,cdr")
    await there.pbx.cli("manager reload")
    assert (await only("main: event times", untried))["what"] == "no events arrive"
    there.edit("manager.conf", "read = system,call,agent,reporting,cdr", "read = system,call,agent,user,reporting,cdr")
    await there.pbx.cli("manager reload")
    # the dialplan, and where it asks
    await there.pbx.cli("dialplan remove context cti-keys")
    assert (await only("main: dialplan"))["what"] == "lacks cti-keys"
    await there.pbx.cli("dialplan reload")
    await there.pbx.cli("dialplan set global CTI_AGI agi://127.0.0.1:4999")
    assert "CTI_AGI names port 4999" in (await only("main: where the PBX asks"))["what"]
    await there.pbx.cli("dialplan reload")
    await there.pbx.cli("dialplan set global CTI_PBX branch")
    site.edit("ctiserver.yaml", "    # queue_log: /var/log/asterisk/queue_log ", "    queue_log: /nowhere/queue_log")
    red = await site.red()
    assert list(red) == ["main: where the PBX asks", "main: its own logs"]
    assert "CTI_PBX is branch" in red["main: where the PBX asks"]["what"]
    assert red["main: its own logs"]["where"] == "/nowhere/queue_log"
    await there.pbx.cli("dialplan reload")
    site.edit("ctiserver.yaml", "/nowhere/queue_log", str(there.pbx.queue_log_path))
    await there.pbx.cli("dialplan set global CTI_QUEUE_FIRST 700")
    assert "names the queue 700" in (await only("main: where the PBX asks"))["what"]
    await there.pbx.cli("dialplan reload")
    # queues and phones
    site.edit("queues.yaml", '"601"', '"602"')
    assert (await only("main: queues"))["what"] == "the PBX has no queue 602"
    site.edit("queues.yaml", '"602"', '"601"')
    added = ["user", "add", "ghost", "--role", "agent", "--extension", "199", "--interface", "PJSIP/199"]
    await ctiserver(*added, "--password-stdin", "--config", str(site.config), stdin=f"{PASSWORD}\n")
    assert (await only("main: phones"))["what"] == "the PBX does not know PJSIP/199 of ghost"
    (etc / "pjsip.conf").write_text(
        (etc / "pjsip.conf").read_text() + "[199]\ntype = endpoint\ncontext = from-internal\nallow = ulaw\naors = 199\n"
        "[199]\ntype = aor\nmax_contacts = 1\n"
    )
    await there.pbx.cli("module reload res_pjsip.so")
    assert await site.red() == {}
    # the secret: nothing after it can be looked at
    write_privately(site.folder / "main.secret", "wrong")
    red = await site.red()
    assert red["main: AMI"]["what"].startswith("the PBX refused the AMI log-in of ctiserver")
    assert {line["verdict"] for name, line in red.items() if name != "main: AMI"} == {"unseen"}


async def test_it_says_of_a_fresh_folder_what_is_missing(tmp_path: Path) -> None:
    """No database, nobody on AMI; and a configuration that does not check ends it all at once."""
    assert (await ctiserver("init", str(tmp_path / "site"))).returncode == 0
    config = tmp_path / "site/ctiserver.yaml"
    text = config.read_text(encoding="utf-8").replace("port: 5038", f"port: {free_port()}")
    config.write_text(text, encoding="utf-8")
    done = await ctiserver("doctor", "--config", str(config), CTISERVER_WEB__PORT="0", CTISERVER_AGI__PORT="0")
    assert done.returncode == 2
    assert "✓ configuration" in done.stdout
    assert "✗ database" in done.stdout
    assert "Run: ctiserver db upgrade" in done.stdout
    assert "✗ main: AMI" in done.stdout
    assert "– main: queues" in done.stdout
    assert not (tmp_path / "site/data").exists(), "doctor wrote something"
    config.write_text("webb: {}\n", encoding="utf-8")
    broken = await ctiserver("doctor", "--config", str(config))
    assert broken.returncode == 2
    assert "unknown key 'webb' (did you mean 'web'?)" in broken.stdout
