"""A PBX that served its callers alone; then the server comes back, dies in the worst moment, and comes back again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from ctiserver.app.composition import App, running
from ctiserver.features.calls import hang_ups
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.ids import AgentId, CallId
from ctiserver.settings import load_settings
from tests.support.asterisk import heard, journal
from tests.support.desk import PASSWORD
from tests.support.eventually import eventually

pytestmark = pytest.mark.pbx

NUMBER = "4008001234"
LEAVES_MESSAGE, ANSWERED, GIVES_UP, HANGS_UP_IN_MESSAGE = "13800000001", "13800000002", "13800000003", "13800000004"
#: Processes write there too.
OF_CATCHING_UP = ("fallback", "message_left", "opened")
FLOW = """schema: callflow/1
flow: box
version: "1"
languages: [en]
start: message
on_error: bye
nodes:
  message: {kind: voicemail, prompt: {en: Speak.}, next: bye}
  bye: {kind: hangup}
"""


WAITS = """schema: callflow/1
flow: box
version: "1"
languages: [en]
start: wait
on_error: bye
on_hangup: left
nodes:
  wait: {kind: queue, queue: repair, on: {timeout: bye, empty: bye, full: bye}}
  left: {kind: event, event: call.left, next: bye}
  bye: {kind: hangup}
"""


def site(folder: Path, pbx: PrivatePbx, flow: str = FLOW) -> Path:
    """A server's folder: one flow, a mailbox; UTC, so that the day is the one of this test."""
    flows = folder / "flows"
    flows.mkdir(parents=True)
    (flows / "box.flow.yaml").write_text(flow, encoding="utf-8")
    (folder / "numbers.yaml").write_text('numbers: {"*": {flow: box}}\n', encoding="utf-8")
    settings = {
        "data_dir": "data",
        "flows_dir": "flows",
        "time_zone": "UTC",
        "pbxs": {
            "main": {
                "port": pbx.ami_port,
                "secret_file": str(pbx.ami_secret_path),
                "queue_log": str(pbx.queue_log_path),
                "cdr": str(pbx.epoch_cdr_path),
            }
        },
        "agi": {"port": int(pbx.agi.rpartition(":")[2])},
        "web": {"port": free_port()},
    }
    config = folder / "ctiserver.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return config


async def ctiserver(*arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("CTISERVER_")}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", *arguments],
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
    )


async def alone(pbx: PrivatePbx, programs: Programs) -> None:
    """No server: one leaves a message since nobody is there, one talks with an agent, one gives up waiting."""
    await pbx.cli("dialplan add extension s,1,Return() into cti-announce replace")  # said elsewhere, and long
    async with AsyncExitStack() as stack:
        callers = {
            number: await stack.enter_async_context(SipPhone.caller(programs, pbx, number))
            for number in (LEAVES_MESSAGE, ANSWERED, GIVES_UP)
        }
        agent = await stack.enter_async_context(SipPhone.agent(programs, pbx, "agent1"))
        await callers[LEAVES_MESSAGE].dial(NUMBER)
        await callers[LEAVES_MESSAGE].answered()
        await eventually(lambda: messages(pbx), within_s=15)
        await callers[LEAVES_MESSAGE].hang_up()
        await eventually(lambda: journal(pbx), lambda found: len(found) == 2, within_s=10)
        await pbx.cli('queue add member PJSIP/agent1 to repair penalty 0 as "李敏"')
        await callers[ANSWERED].dial(NUMBER)
        await agent.ringing()
        await agent.answer()
        await callers[GIVES_UP].dial(NUMBER)
        await callers[GIVES_UP].answered()
        # They talk, and one waits, for at least a second: the PBX's own log has whole seconds.
        await eventually(lambda: waits(pbx), lambda times: len(times) == 1 and times[0] != "0:00")
        await callers[GIVES_UP].hang_up()
        await callers[ANSWERED].hang_up()
        await agent.ended()
        await eventually(lambda: journal(pbx), lambda found: len(found) == 4, within_s=10)
    await pbx.cli("dialplan reload")


async def messages(pbx: PrivatePbx) -> list[Path]:
    return list(pbx.voicemail_dir.glob("*.wav"))


async def waiting(pbx: PrivatePbx) -> int:
    return len(await waits(pbx))


async def waits(pbx: PrivatePbx) -> list[str]:
    """How long each caller in the queue has waited, in minutes and seconds."""
    return re.findall(r"\(wait: (\d+:\d\d)", await pbx.cli("queue show repair"))


async def calls(app: App) -> dict[str, CallEntry]:
    """By who called; each once."""
    async with app.database.reading() as uow:
        entries = await uow.calls.page()
    assert len({entry.ani for entry in entries}) == len(entries), "a call is in the log twice"
    return {entry.ani: entry for entry in entries}


async def records(app: App) -> dict[str, list[str]]:
    """What catching up put on the timelines of each caller's records; a caller has one record at the most."""
    async with app.database.reading() as uow:
        found = await uow.records.recent()
        told = {
            # in the order of the alphabet: what happened within a second has none
            record.caller_number: sorted(
                line.kind for line in await uow.records.timeline(record.id) if line.kind in OF_CATCHING_UP
            )
            for record in found
        }
    assert len(told) == len(found), "a record was opened twice"
    return told


async def test_what_the_pbx_did_alone_is_known_once_the_server_is_back_whatever_dies(
    programs: Programs, tmp_path: Path
) -> None:
    async with PrivatePbx.start(tmp_path / "pbx", programs=programs, agi=f"127.0.0.1:{free_port()}") as pbx:
        config = site(tmp_path / "site", pbx)
        async with running(load_settings(config, {})) as app:  # it watched once, so the PBX's past is not its past
            await app.features.users.add(
                "li.min", name="李敏", role="agent", password=PASSWORD, extension="101", interface="PJSIP/agent1"
            )
            await app.ready(10)

            async def watched() -> datetime | None:
                async with app.database.reading() as uow:
                    return await uow.catching_up.watched_until(next(iter(app.links)))

            await eventually(watched, lambda until: until is not None, within_s=10)
        began = datetime.now(UTC)
        await alone(pbx, programs)

        # Killed after the first entry was committed, before the PBX forgot it.
        killed = await ctiserver("tests.support.dies_before_forgetting", str(config))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert len(await journal(pbx)) == 4

        async with running(load_settings(config, {})) as app:
            await app.ready(10)
            await eventually(lambda: journal(pbx), lambda left: left == {}, within_s=15)
            seen = await calls(app)
            assert {ani: entry.outcome for ani, entry in seen.items()} == {
                LEAVES_MESSAGE: "voicemail",
                ANSWERED: "answered",
                GIVES_UP: "abandoned",
            }
            assert all(entry.complete and entry.detail["reconstructed"] for entry in seen.values())
            assert {entry.dnis for entry in seen.values()} == {NUMBER}
            assert seen[ANSWERED].agent_id == AgentId("li.min")
            assert seen[ANSWERED].detail["answered_by"] == ["PJSIP/agent1"]
            assert seen[GIVES_UP].no_record_reason == "left_unserved"
            assert await records(app) == {
                LEAVES_MESSAGE: ["fallback", "message_left", "opened"],
                ANSWERED: ["fallback", "opened"],
                GIVES_UP: ["fallback", "opened"],  # a missed call
            }
            async with app.database.reading() as uow:
                assert [owner.owner for owner in await uow.records.recent() if owner.owner] == ["li.min"]

            # With a server: a message whose caller simply hangs up is known at once, by the same journal.
            async with SipPhone.caller(programs, pbx, HANGS_UP_IN_MESSAGE) as caller:
                await caller.dial(NUMBER)
                await caller.answered()
                await eventually(lambda: messages(pbx), lambda found: len(found) == 2, within_s=10)
                await caller.hang_up()
            told = await eventually(lambda: records(app), lambda found: HANGS_UP_IN_MESSAGE in found, within_s=10)
            assert told[HANGS_UP_IN_MESSAGE] == ["message_left", "opened"]
            seen = await eventually(lambda: calls(app), lambda found: found[HANGS_UP_IN_MESSAGE].complete)
            assert seen[HANGS_UP_IN_MESSAGE].outcome == "voicemail"
            await eventually(lambda: journal(pbx), lambda left: left == {}, within_s=10)

        # Asterisk's own accounts of the same calls say the same.
        day = began.date().isoformat()
        compared = await ctiserver("ctiserver", "reconcile", "--day", day, "--json", "--config", str(config))
        said = json.loads(compared.stdout)
        assert said["pbxs"][0]["differences"] == []
        assert (compared.returncode, said["pbxs"][0]["calls"], said["pbxs"][0]["queue_visits"]) == (0, 4, 2)
        assert said["pbxs"][0]["cdrs"] >= 4

        # A line that Asterisk did not write, and a call that we know nothing of.
        with pbx.queue_log_path.open("a", encoding="utf-8") as file:
            now = int(datetime.now(UTC).timestamp())
            file.write(f"{now}|{now}.99|repair|NONE|ENTERQUEUE||1|1\n{now}|{now}.99|repair|NONE|ABANDON|1|1|0\n")
        compared = await ctiserver("ctiserver", "reconcile", "--day", day, "--config", str(config))
        assert compared.returncode == 1
        assert f"{now}.99" in compared.stdout
        assert "is not in the call log" in compared.stdout


async def test_on_hangup_runs_for_who_left_the_queue_while_the_server_was_away_and_for_nobody_else(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hang_ups, "SWEEP_EVERY_S", 0.5)
    async with AsyncExitStack() as stack:
        agi = f"127.0.0.1:{free_port()}"
        pbx = await stack.enter_async_context(PrivatePbx.start(tmp_path / "pbx", programs=programs, agi=agi))
        config = site(tmp_path / "site", pbx, WAITS)
        agent = await stack.enter_async_context(SipPhone.agent(programs, pbx, "agent1"))
        answered, gives_up, waits_on = [
            await stack.enter_async_context(SipPhone.caller(programs, pbx, number))
            for number in (ANSWERED, GIVES_UP, LEAVES_MESSAGE)
        ]
        await pbx.cli('queue add member PJSIP/agent1 to repair penalty 0 as "agent1"')
        async with running(load_settings(config, {})) as app:
            await app.ready(10)
            await answered.dial(NUMBER)
            await agent.ringing()
            for caller in (gives_up, waits_on):
                await caller.dial(NUMBER)
                await caller.answered()
            await eventually(lambda: waiting(pbx), lambda count: count == 3)
        # The server is restarted. Meanwhile one is answered and hangs up, one gives up, and one waits on.
        await agent.answer()
        await eventually(lambda: waiting(pbx), lambda count: count == 2)
        await gives_up.hang_up()
        talked_s = agent.heard_s()
        await eventually(
            lambda: heard(agent), lambda seconds: seconds > talked_s + 1.2
        )  # its own log has whole seconds
        await pbx.cli("queue pause member PJSIP/agent1 queue repair")
        await answered.hang_up()
        await eventually(lambda: waiting(pbx), lambda count: count == 1)

        async with running(load_settings(config, {})) as app:
            await app.ready(10)

            async def paths() -> dict[str, list[str]]:
                async with app.database.reading() as uow:
                    entries = await uow.calls.page()
                    steps = {entry.ani: await uow.calls.path(entry.id) for entry in entries}
                return {ani: [f"{step.node} {step.outcome}" for step in path] for ani, path in steps.items()}

            told = await eventually(paths, lambda found: all(found[ani] for ani in (ANSWERED, GIVES_UP)), within_s=15)
            assert told == {ANSWERED: ["wait served"], GIVES_UP: ["wait hangup", "left ok"], LEAVES_MESSAGE: []}
            await waits_on.hang_up()  # which is heard
            told = await eventually(paths, lambda found: bool(found[LEAVES_MESSAGE]), within_s=10)
            assert told[LEAVES_MESSAGE] == ["wait hangup", "left ok"]

            async def states() -> list[CallId]:
                async with app.database.reading() as uow:
                    return await uow.flow_states.of_ended_calls(tuple(app.links))

            await eventually(states, lambda left: not left)  # so looks find nothing any more
            assert await paths() == told
