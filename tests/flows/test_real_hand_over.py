"""A call that is handed over survives the server, on a real Asterisk with real telephones."""

import asyncio
from pathlib import Path

import pytest

from ctiserver.ivr.runtime.ports import MemoryPorts
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from tests.support.eventually import eventually
from tests.support.flow_server import FlowServer, flow_server


async def channel_variables(pbx: PrivatePbx) -> dict[str, str]:
    """The CTI_ variables of the one trunk channel."""
    channels = (await pbx.cli("core show channels concise")).splitlines()
    name = next(line.partition("!")[0] for line in channels if line.startswith("PJSIP/trunk"))
    lines = (await pbx.cli(f"core show channel {name}")).splitlines()
    pairs = (line.strip().partition("=") for line in lines if line.startswith("CTI_") or "QUEUE_PRIO" in line)
    return {name: value for name, _, value in pairs}


def paths(server: FlowServer) -> list[str]:
    return [f"{step.node} {step.outcome}" for steps in server.ports.path.values() for step in steps]


@pytest.mark.pbx
async def test_the_server_is_restarted_while_the_caller_talks(
    pbx: PrivatePbx, programs: Programs, tmp_path: Path
) -> None:
    port = int(pbx.agi.rpartition(":")[2])
    ports = MemoryPorts()
    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138000") as caller,
    ):
        await pbx.cli("queue add member PJSIP/agent1 to repair")
        async with flow_server(tmp_path, port=port, ports=ports) as server:
            await caller.dial("4008001234")
            await caller.answered()
            await server.service.until(lambda node, _: node == "language", after=0)
            await caller.press("2")
            await server.service.until(lambda node, _: node == "service", after=0)
            await caller.press("1")
            await agent.ringing()
            told = await channel_variables(pbx)
            assert told["CTI_STAGE"] == "front_desk.repair"
            assert told["CTI_LANGUAGE"] == "en"
            assert told["CTI_QUEUE"] == "repair"
            assert told["QUEUE_PRIO"] == "0"
            assert told["CTI_DONE"] == "1"
            assert [record["type"] for record in ports.records] == ["repair"]  # before the telephone rang
            await agent.answer()
        # The server is gone; they talk on. Another one starts, and the agent hangs up first.
        assert caller.talking
        async with flow_server(tmp_path, port=port, ports=ports) as server:
            await agent.hang_up()

            async def path() -> list[str]:
                return paths(server)

            await eventually(path, lambda seen: "repair agent_hung_up" in seen, within_s=10.0)
            await caller.ended()
            assert ports.states == {}
            assert server.server.counts.failed == 0


@pytest.mark.pbx
async def test_a_caller_who_hangs_up_in_any_node_ends_the_session_at_once(
    pbx: PrivatePbx, programs: Programs, tmp_path: Path
) -> None:
    """The session is over at once after the BYE, on_hangup has run once, and nothing is left."""
    took: list[float] = []
    port = int(pbx.agi.rpartition(":")[2])
    loop = asyncio.get_running_loop()
    async with flow_server(tmp_path, port=port, tone_s=5.0) as server:
        for keys, node in (("", "language"), ("2", "service"), ("21", "repair_greeting")):
            events = len(server.ports.events)
            at = len(server.service.asked)
            async with SipPhone.caller(programs, pbx, "13800138000") as caller:
                await caller.dial("4008001234")
                await caller.answered()
                for position, key in enumerate(keys):
                    awaited = ("language", "service")[position]
                    await server.service.until(lambda n, _, awaited=awaited: n == awaited, after=at)
                    await caller.press(key)
                await server.service.until(lambda n, _, node=node: n == node, after=at)
                began = loop.time()
                await caller.hang_up()

                async def active() -> int:
                    return server.server.active

                await eventually(active, lambda count: count == 0)
                took.append(loop.time() - began)  # the telephone's own process included
            assert [event for event, _ in server.ports.events[events:]] == ["call.left_unserved"]
        assert server.server.counts.failed == 0
    assert min(took) < 0.25, took  # on a machine that does much else one or the other may be late
    assert max(took) < 3.0, took


@pytest.mark.pbx
async def test_a_person_on_call_takes_it_by_the_key_and_not_without(
    pbx: PrivatePbx, programs: Programs, tmp_path: Path
) -> None:
    """accept_key and each_hears: who answers and presses nothing is nobody, as a mobile's voicemail would be."""
    port = int(pbx.agi.rpartition(":")[2])
    flows = tmp_path / "site"
    flows.mkdir()
    (flows / "night.flow.yaml").write_text(NIGHT, encoding="utf-8")
    ports = MemoryPorts(agents={"agent1": "PJSIP/agent1"})
    async with (
        flow_server(tmp_path, flow="night", flows=flows, port=port, ports=ports, tone_s=0.5) as server,
        SipPhone.agent(programs, pbx, "agent1") as agent,
    ):
        for keys, outcome in (("", "on_call nobody"), ("1", "on_call bye")):
            async with SipPhone.caller(programs, pbx, "13800138000") as caller:
                await caller.dial("4008001234")
                await agent.ringing()
                await agent.answer()
                if keys:
                    await agent.press(keys)

                    async def talks() -> str:
                        return await pbx.cli("bridge show all")

                    await eventually(talks, lambda text: "simple_bridge" in text or "native" in text, within_s=8.0)
                    await agent.hang_up()

                async def path() -> list[str]:
                    return paths(server)

                await eventually(path, lambda seen, outcome=outcome: outcome in seen, within_s=20.0)
                await caller.ended()
        assert server.server.counts.failed == 0


NIGHT = """\
schema: callflow/1
flow: night
version: "1"
languages: [en]
start: on_call
on_error: bye
nodes:
  on_call:
    kind: dial
    to: {person: agent1}
    ring: 10s
    accept_key: "1"
    each_hears: {en: Press one to take it.}
    on: {bye: bye, nobody: bye}
  bye: {kind: hangup, prompt: {en: Goodbye.}}
"""
