"""The runner on a channel that answers as Asterisk does."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ctiserver.clock import ManualClock
from ctiserver.ivr.language.library import load_world
from ctiserver.ivr.runtime.deadlines import PORT_TIMEOUT_S
from ctiserver.ivr.runtime.ports import CallerFacts, MemoryPorts, PortFailed
from ctiserver.ivr.simulation.simulate import DEFAULT_CLOCK
from ctiserver.model.blocklist import Blocked, Blocklist
from ctiserver.model.expression.expression import Value
from ctiserver.resources import shipped
from ctiserver.settings import load_settings
from ctiserver.site.files import Closing, NumberConfig, QueueConfig
from ctiserver.site.load import load_site
from tests.support.eventually import eventually
from tests.support.fake_asterisk import FakeAsterisk, header
from tests.support.flow_server import FlowServer, flow_server

FRONT_DESK = (shipped("ivr_flows") / "front_desk.flow.yaml").read_text(encoding="utf-8")


def site_with(folder: Path, name: str, text: str) -> Path:
    """A folder with one flow."""
    flows = folder / "site"
    flows.mkdir()
    (flows / f"{name}.flow.yaml").write_text(text, encoding="utf-8")
    return flows


async def settled(server: FlowServer) -> None:
    async def active() -> int:
        return server.server.active

    await eventually(active, lambda count: count == 0)


async def test_from_the_menu_to_the_queue_and_back_to_the_end(tmp_path: Path) -> None:
    async with flow_server(tmp_path) as server:
        asterisk = FakeAsterisk(keys="21")
        await asterisk.call(server.port)
        left = dict(asterisk.variables)
        assert left["CTI_DO"] == "queue"
        assert left["CTI_QUEUE"] == "repair"
        assert (left["CTI_QUEUE_TIMEOUT"], left["CTI_QUEUE_BREAK"]) == ("300", "")
        assert left["CTI_DONE"] == "1"
        assert left["CTI_LANGUAGE"] == "en"
        assert left["CTI_STAGE"] == "front_desk.repair"
        assert asterisk.commands[-1] == ["EXEC", "MSet", "TIMEOUT(absolute)=1,CTI_DONE=1"]  # its last act
        assert [record["type"] for record in server.ports.records] == ["repair"]  # before Queue()
        assert server.path() == ["language 2", "opening open", "service 1", "open_repair ok", "repair_greeting ok"]

        back = FakeAsterisk(variables={"CTI_RESULT": "queue:TIMEOUT"})
        await back.call(server.port)
        assert back.variables["CTI_DO"] == "voicemail"
        assert back.variables["CTI_VM_MAX_S"] == "120"

        last = FakeAsterisk(variables={"CTI_RESULT": "voicemail:DTMF:/messages/1.wav"})
        await last.call(server.port)
        assert last.variables["CTI_DO"] == "hangup"
        assert server.ports.messages == ["/messages/1.wav"]
        assert server.ports.states == {}
        assert server.path()[-2:] == ["repair timeout", "message ok"]


CARD = """\
schema: callflow/1
flow: card
version: "1"
languages: [en]
start: ask
vars: {card: {type: text}}
nodes:
  ask:
    kind: input
    sensitive: true
    store: card
    min_digits: 8
    max_digits: 8
    prompt: {en: Key in your card.}
    next: known
    on: {exhausted: bye}
  known:
    kind: branch
    when: [{if: "=card == '49927398'", go: repair}]
    else: bye
  repair: {kind: queue, queue: repair, on: {empty: bye, full: bye, timeout: again, error: bye}}
  again:
    kind: branch
    when: [{if: "=known(card)", go: bye}]
    else: forgotten
  forgotten: {kind: hangup, reason: forgotten, prompt: {en: Bye.}}
  bye: {kind: hangup, prompt: {en: Bye.}}
"""


async def test_sensitive_keys_decide_the_way_and_are_gone_with_the_hand_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with flow_server(tmp_path, flow="card", flows=site_with(tmp_path, "card", CARD)) as server:
        asterisk = FakeAsterisk(keys="49927398")
        await asterisk.call(server.port)
        assert asterisk.variables["CTI_DO"] == "queue"
        state = server.ports.states[server.call_id()]
        assert "repair" in state
        assert "49927398" not in f"{state}{asterisk.commands}{server.path()}{server.ports.events}"
        await FakeAsterisk(variables={"CTI_RESULT": "queue:TIMEOUT"}).call(server.port)
        assert server.path()[-1] == "again else"
    assert "49927398" not in "".join(capsys.readouterr())


async def test_sensitive_keys_are_not_stored_when_their_session_is_lost(tmp_path: Path) -> None:
    def keyed(words: list[str]) -> bool:
        waits.extend(words[:1] if words[0] == "WAIT" else ())
        return len(waits) == 5

    waits: list[str] = []
    async with flow_server(tmp_path, flow="card", flows=site_with(tmp_path, "card", CARD)) as server:
        await FakeAsterisk(keys="49927398", hang_up_before=keyed, how="EOF").call(server.port)
        await settled(server)
        state = server.ports.states[server.call_id()]
        assert '"node": "ask"' in state
        assert "4992" not in state


async def test_a_full_queue_overflows_into_the_next_once(tmp_path: Path) -> None:
    queues = {"repair": QueueConfig(overflow="operators"), "operators": QueueConfig(overflow="repair")}
    async with flow_server(tmp_path, queues=queues) as server:
        await FakeAsterisk(keys="21").call(server.port)
        waiting = {"CTI_QUEUE_TIMEOUT": "300"}
        over = FakeAsterisk(
            variables={**waiting, "CTI_RESULT": "queue:FULL", "CTI_QUEUE": "repair", "CTI_QUEUES_LEFT": "&repair&"}
        )
        await over.call(server.port)
        assert (over.variables["CTI_DO"], over.variables["CTI_QUEUE"]) == ("queue", "operators")
        assert (over.variables["CTI_QUEUE_TIMEOUT"], over.variables["CTI_QUEUE_BREAK"]) == ("300", "")
        last = FakeAsterisk(
            variables={
                **waiting, "CTI_RESULT": "queue:JOINEMPTY", "CTI_QUEUE": "operators", "CTI_QUEUES_LEFT": "&repair&operators&",
            }
        )  # fmt: skip
        await last.call(server.port)
        assert last.variables["CTI_DO"] == "voicemail", "each queue is tried once, then the flow goes on"
        assert server.path()[-1] == "repair empty"


BREAKS = """\
schema: callflow/1
flow: breaks
version: "1"
languages: [en]
start: wait
on_error: bye
nodes:
  wait:
    kind: queue
    queue: repair
    max_wait: 15s
    every: {10s: position}
    on: {timeout: bye, empty: bye, full: bye}
  bye: {kind: hangup, prompt: {en: Goodbye.}}
"""


async def test_a_queue_is_left_by_the_last_wait_and_not_by_a_break_for_an_announcement(tmp_path: Path) -> None:
    waits = []
    async with flow_server(tmp_path, flow="breaks", flows=site_with(tmp_path, "breaks", BREAKS)) as server:
        for result in ("", "queue:TIMEOUT:1"):
            asterisk = FakeAsterisk(variables={"CTI_RESULT": result} if result else {})
            await asterisk.call(server.port)
            assert asterisk.variables["CTI_QUEUE"] == "repair"
            waits.append((asterisk.variables["CTI_QUEUE_TIMEOUT"], asterisk.variables["CTI_QUEUE_BREAK"]))
    assert waits == [("10", "1"), ("5", "")]


async def test_who_is_taken_out_of_a_queue_hears_no_place_in_it(tmp_path: Path) -> None:
    async with flow_server(tmp_path, flow="breaks", flows=site_with(tmp_path, "breaks", BREAKS)) as server:
        await FakeAsterisk().call(server.port)
        back = FakeAsterisk(variables={"CTI_RESULT": "queue:WITHDRAW:2"})
        await back.call(server.port)
        assert server.path() == ["wait timeout"]
        assert len(back.played()) == 1


SERVED = """\
schema: callflow/1
flow: served
version: "1"
languages: [en]
start: wait
on_error: bye
nodes:
  wait: {kind: queue, queue: repair, on: {empty: wish, full: bye, agent_hung_up: more}}
  more:
    kind: menu
    prompt: {en: For a supervisor press one.}
    choices: {"1": moment, "2": bye}
    on: {exhausted: bye}
  moment: {kind: play, prompt: {en: One moment.}, next: again}
  again: {kind: queue, queue: operators, on: {empty: bye, full: bye}}
  wish: {kind: callback, queue: repair, next: promised, on: {error: bye}}
  promised: {kind: play, prompt: {en: We will call you.}, next: bye}
  bye: {kind: hangup, prompt: {en: Goodbye.}}
"""


async def test_who_has_talked_is_to_be_thanked_until_they_choose_to_talk_again(tmp_path: Path) -> None:
    async with flow_server(tmp_path, flow="served", flows=site_with(tmp_path, "served", SERVED)) as server:
        await FakeAsterisk().call(server.port)
        back = FakeAsterisk(keys="1", variables={"CTI_RESULT": "queue:CONTINUE"})
        await back.call(server.port)
    ((result, nothing),) = told(back, "CTI_RESULT")
    ((menu, _), (moment, _), _) = told(back, "CTI_STAGE")
    assert nothing == ""
    assert menu < moment == result, "not while they may as well hang up, and together with the queue"
    assert (moment, "operators") in told(back, "CTI_QUEUE")


async def test_who_was_promised_a_call_back_is_to_be_thanked(tmp_path: Path) -> None:
    async with flow_server(tmp_path, flow="served", flows=site_with(tmp_path, "served", SERVED)) as server:
        await FakeAsterisk().call(server.port)
        back = FakeAsterisk(variables={"CTI_RESULT": "queue:JOINEMPTY"})
        await back.call(server.port)
    assert server.ports.callbacks
    assert back.variables["CTI_RESULT"] == "callback:OK"


async def test_who_comes_back_to_a_full_queue_after_an_announcement_waits_on_in_the_next_one(tmp_path: Path) -> None:
    queues = {"repair": QueueConfig(overflow="operators")}
    async with flow_server(
        tmp_path, flow="breaks", flows=site_with(tmp_path, "breaks", BREAKS), queues=queues
    ) as server:
        await FakeAsterisk().call(server.port)
        back = FakeAsterisk(variables={"CTI_RESULT": "queue:TIMEOUT:1"})
        await back.call(server.port)
        told = {name: back.variables[name] for name in ("CTI_QUEUE", "CTI_QUEUE_TIMEOUT", "QUEUE_PRIO")}
        assert told == {"CTI_QUEUE": "repair", "CTI_QUEUE_TIMEOUT": "5", "QUEUE_PRIO": "1"}
        full = {"CTI_RESULT": "queue:FULL", "CTI_QUEUES_LEFT": "&repair&", "CTI_QUEUE_BREAK": "1", "QUEUE_PRIO": "8001"}
        over = FakeAsterisk(variables={**told, **full})
        await over.call(server.port)
    assert over.variables["CTI_QUEUE"] == "operators"
    assert over.variables["CTI_QUEUE_BREAK"] == "1"
    assert over.variables["QUEUE_PRIO"] == "1", "the place among equals, but no precedence there"


@pytest.mark.parametrize(
    ("clock", "refuse_before_m", "expected"),
    [
        ("2026-11-23T10:00+08:00", 10, "queue"),
        ("2026-11-23T19:45+08:00", 10, "queue"),
        ("2026-11-23T19:55+08:00", 10, "voicemail"),  # service_desk closes at 20:00
        ("2026-11-23T21:00+08:00", 0, "voicemail"),
    ],
)
async def test_a_queue_that_closes_takes_nobody_any_more(
    tmp_path: Path, clock: str, refuse_before_m: int, expected: str
) -> None:
    closing = Closing(refuse_before=timedelta(minutes=refuse_before_m))
    queues = {"repair": QueueConfig(calendar="service_desk", closing=closing)}
    now = ManualClock(datetime.fromisoformat(clock))
    async with flow_server(tmp_path, queues=queues, clock=now) as server:
        asterisk = FakeAsterisk(keys="21")
        await asterisk.call(server.port)
        assert asterisk.variables["CTI_DO"] == expected


async def test_who_is_taken_out_of_a_queue_that_closed_goes_on_as_after_a_time_out(tmp_path: Path) -> None:
    async with flow_server(tmp_path) as server:
        await FakeAsterisk(keys="21").call(server.port)
        out = FakeAsterisk(variables={"CTI_RESULT": "queue:WITHDRAW", "CTI_QUEUE": "repair"})
        await out.call(server.port)
        assert out.variables["CTI_DO"] == "voicemail"
        assert server.path()[-1] == "repair timeout"


async def test_a_call_is_of_the_pbx_that_its_dialplan_names(tmp_path: Path) -> None:
    asked: list[tuple[Any, ...]] = []

    class Asked(MemoryPorts):
        async def caller(self, *arguments: Any) -> CallerFacts:
            asked.append(arguments)
            return CallerFacts()

    async with flow_server(tmp_path, ports=Asked()) as server:
        for query in ("dnis=4008001234", "dnis=4008001234&pbx=branch"):
            await FakeAsterisk(keys="2").call(server.port, query=query)
    (one, _, dnis, first), (other, _, _, second) = asked
    assert (dnis, first, second) == ("4008001234", "main", "branch")
    assert one != other


async def test_the_dead_man_never_strikes_while_a_store_is_slow(tmp_path: Path) -> None:
    """Whatever the server waits for between two commands, the time-out is put off meanwhile."""

    class Slow(MemoryPorts):
        async def caller(self, *arguments: Any) -> CallerFacts:
            await asyncio.sleep(1.2)
            return CallerFacts()

        async def save_state(self, *arguments: Any) -> None:
            await asyncio.sleep(1.7)

    asterisk = FakeAsterisk(keys="21")
    async with flow_server(tmp_path, ports=Slow()) as server:
        await asterisk.call(server.port)
    assert asterisk.variables["CTI_DONE"] == "1"
    assert not asterisk.struck
    renewals = [words for words in asterisk.commands if words == ["SET", "AUTOHANGUP", "1.5"]]
    assert len(renewals) >= 3


async def test_commands_and_quick_stores_cost_no_renewal_beyond_one_for_each_command_that_takes_time(
    tmp_path: Path,
) -> None:
    async with flow_server(tmp_path) as server:
        await FakeAsterisk(keys="21").call(server.port)  # prompts are spoken now
        asterisk = FakeAsterisk(keys="21")
        await asterisk.call(server.port, uniqueid="1795295764.1")
    short = [" ".join(words[:2]) for words in asterisk.commands]
    assert short[:3] == ["ANSWER", "EXEC MSet", "STREAM FILE"]
    assert short.count("SET AUTOHANGUP") <= short.count("STREAM FILE") + short.count("WAIT FOR")
    assert not asterisk.struck


@pytest.mark.parametrize("waits_for", ["caller", "open_record", "save_state"])
async def test_a_hang_up_is_known_while_the_server_waits_for_somebody_else(tmp_path: Path, waits_for: str) -> None:
    """Not only at the next command: the wait is given up, and on_hangup runs."""
    given_up: list[str] = []

    class Stuck(MemoryPorts):
        async def wait(self, name: str) -> None:
            if name == waits_for:
                asterisk.hang_up()
                try:
                    await asyncio.Event().wait()
                finally:
                    given_up.append(name)

        async def caller(self, *arguments: Any) -> CallerFacts:
            await self.wait("caller")
            return CallerFacts()

        async def open_record(self, *arguments: Any) -> Mapping[str, Value]:
            await self.wait("open_record")
            return {"id": "1"}

        async def save_state(self, *arguments: Any) -> None:
            await self.wait("save_state")

    asterisk = FakeAsterisk(keys="21")
    async with flow_server(tmp_path, ports=Stuck()) as server:
        began = asyncio.get_running_loop().time()
        await asterisk.call(server.port)
        await settled(server)
        took_s = asyncio.get_running_loop().time() - began
        assert given_up == [waits_for]
        assert took_s < PORT_TIMEOUT_S - 0.5, "it was the hang-up that ended the wait, not the deadline"
        begun = waits_for != "caller"
        assert [event for event, _ in server.ports.events] == ["call.left_unserved"] * begun
        assert server.server.counts.failed == 0


async def test_a_restarted_server_carries_the_flow_on(tmp_path: Path) -> None:
    ports = MemoryPorts()
    async with flow_server(tmp_path, ports=ports) as server:
        await FakeAsterisk(keys="21").call(server.port)
    async with flow_server(tmp_path, ports=ports) as server:
        back = FakeAsterisk(variables={"CTI_RESULT": "queue:CONTINUE"})
        await back.call(server.port)
        assert back.variables["CTI_DO"] == "hangup"
        assert server.path()[-1] == "repair agent_hung_up"


async def test_a_call_finishes_on_the_version_that_it_began_with(tmp_path: Path) -> None:
    flows = tmp_path / "site"
    flows.mkdir()
    text = FRONT_DESK
    (flows / "front_desk.flow.yaml").write_text(text, encoding="utf-8")
    ports = MemoryPorts()
    async with flow_server(tmp_path, ports=ports, flows=flows) as server:
        await FakeAsterisk(keys="21").call(server.port)
    changed = text.replace("timeout: message, empty", "timeout: thanks, empty").replace('"1.0.0"', '"1.0.1"')
    (flows / "front_desk.flow.yaml").write_text(changed, encoding="utf-8")
    async with flow_server(tmp_path, ports=ports, flows=flows) as server:
        back = FakeAsterisk(variables={"CTI_RESULT": "queue:TIMEOUT"})
        await back.call(server.port)
        assert back.variables["CTI_DO"] == "voicemail"  # as the old version says
        new = FakeAsterisk(keys="21")
        await new.call(server.port, uniqueid="1795295999.7")
        back = FakeAsterisk(variables={"CTI_RESULT": "queue:TIMEOUT"})
        await back.call(server.port, uniqueid="1795295999.7")
        assert back.variables["CTI_DO"] == "hangup"  # as the new one says


def at_command(number: int) -> Callable[[list[str]], bool]:
    seen = 0

    def reached(_: list[str]) -> bool:
        nonlocal seen
        seen += 1
        return seen == number

    return reached


@pytest.mark.parametrize("how", ["HANGUP", "EOF", "511"])
async def test_a_hang_up_at_any_command_runs_on_hangup_once_and_leaves_nothing(tmp_path: Path, how: str) -> None:
    async with flow_server(tmp_path) as server:
        whole = FakeAsterisk(keys="21")
        await whole.call(server.port)
        for number in range(2, len(whole.commands)):
            uniqueid = f"17952{number:05d}.{number}"
            ports = server.ports
            before = len(ports.events)
            asterisk = FakeAsterisk(keys="21", hang_up_before=at_command(number), how=how)
            await asterisk.call(server.port, uniqueid=uniqueid)
            await settled(server)
            # What broke off without a word of the channel's may be a caller who is in the fallback's queue now.
            assert (server.call_id(uniqueid) in ports.states) is (how == "EOF")
            assert [event for event, _ in ports.events[before:]] == ["call.left_unserved"] * (how != "EOF")
            if server.path(uniqueid) or len(ports.events) > before:  # the flow had begun
                await server.service.hung_up(server.call_id(uniqueid), served=False)  # as AMI tells it, later
                assert [event for event, _ in ports.events[before:]] == ["call.left_unserved"], asterisk.commands[-1]
                assert server.call_id(uniqueid) not in ports.states
        assert server.server.counts.failed == 0


class Ticking(ManualClock):
    """A clock that goes on by itself, and jumps when it is told: as for a process that was stopped."""

    def monotonic(self) -> float:
        return time.monotonic() + super().monotonic()


@pytest.mark.parametrize("how", ["HANGUP", "511", "-1"])
@pytest.mark.parametrize("served", [True, False])
async def test_a_word_that_a_stopped_server_hears_too_late_may_be_the_dead_man_s(
    tmp_path: Path, how: str, served: bool
) -> None:
    """Asterisk says the same when the dead-man strikes as when the caller hangs up; the caller may wait elsewhere."""
    clock = Ticking(DEFAULT_CLOCK)

    def stopped(words: list[str]) -> bool:
        if words[0] == "WAIT":
            clock.advance(60.0)
        return words[0] == "WAIT"

    async with flow_server(tmp_path, clock=clock) as server:
        counted: list[str] = []
        server.service._rollouts.ended = lambda flow, how: counted.append(how)  # type: ignore[method-assign]
        await FakeAsterisk(hang_up_before=stopped, how=how).call(server.port)
        await settled(server)
        assert (server.ports.events, server.path(), counted) == ([], [], [])
        await server.service.hung_up(server.call_id(), served=served)
        await server.service.hung_up(server.call_id(), served=served)
        assert [event for event, _ in server.ports.events] == ["call.left_unserved"] * (not served)
        assert server.path()[0] == ("language served" if served else "language hangup")
        assert counted == ["well" if served else "abandoned"]
        assert server.ports.states == {}
        assert server.server.counts.failed == 0


async def test_who_called_a_stopped_server_is_in_the_fallback_s_hands(tmp_path: Path) -> None:
    """Header, hang-up and end are all there when it goes on, and nobody was ever answered."""
    async with flow_server(tmp_path) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(header(network_script="flow?dnis=4008001234&deadman=1&result="))
        await asyncio.sleep(0)
        writer.write(b"HANGUP\nHANGUP\n")
        writer.close()
        await writer.wait_closed()

        async def ended() -> int:
            return len(server.service.ended_at)

        await eventually(ended, lambda sessions: sessions == 1)
        assert server.ports.events == []
        await server.service.hung_up(server.call_id(), served=True)
        assert server.ports.events == []
        assert server.ports.states == {}


async def test_an_end_that_is_told_while_the_broken_session_is_still_being_stored_is_not_lost(tmp_path: Path) -> None:
    class Slow(MemoryPorts):
        async def save_state(self, *arguments: Any) -> None:
            await server.service.hung_up(server.call_id(), served=False)
            await super().save_state(*arguments)

    ports = Slow()
    async with flow_server(tmp_path, ports=ports) as server:
        await FakeAsterisk(hang_up_before=lambda words: words[0] == "WAIT", how="EOF").call(server.port)
        await settled(server)
        assert [event for event, _ in ports.events] == ["call.left_unserved"]
        assert ports.states == {}


async def test_a_session_that_breaks_in_the_hand_over_is_gone_on_with_and_one_in_a_menu_is_not(tmp_path: Path) -> None:
    async with flow_server(tmp_path) as server:
        handing_over = FakeAsterisk(keys="21", hang_up_before=lambda words: "CTI_DONE=1" in words[-1], how="EOF")
        await handing_over.call(server.port)
        await settled(server)
        back = FakeAsterisk(variables={"CTI_RESULT": "queue:CONTINUE"})
        await back.call(server.port)
        assert back.variables["CTI_DO"] == "hangup"

        in_menu = FakeAsterisk(hang_up_before=lambda words: words[0] == "WAIT", how="EOF")
        await in_menu.call(server.port, uniqueid="1795295764.1")
        await settled(server)
        assert server.server.counts.failed == 0
        # The fallback's queue was answered, the agent's page was lost, and the dialplan's [cti-lost] comes here.
        back = FakeAsterisk(variables={"CTI_RESULT": "queue:CONTINUE"})
        await back.call(server.port, uniqueid="1795295764.1")
        assert "CTI_DONE" not in back.variables
        assert server.server.counts.failed == 1
        assert server.ports.events == []


async def test_on_hangup_runs_once_though_its_state_could_not_be_deleted(tmp_path: Path) -> None:
    ports = MemoryPorts()
    async with flow_server(tmp_path, ports=ports) as server:
        await FakeAsterisk(keys="21").call(server.port)
        ports.fails = {"delete_state", "add_path"}
        await server.service.hung_up(server.call_id(), served=False)
        assert ports.states != {}
        ports.fails = set()
        await server.service.hung_up(server.call_id(), served=False)  # as the next look at the call log finds it
        assert [event for event, _ in ports.events] == ["call.left_unserved"]
        assert server.path()[-2:] == ["repair hangup", "left_unserved ok"]
        assert ports.states == {}


async def test_a_caller_who_hangs_up_in_the_queue_was_not_served(tmp_path: Path) -> None:
    async with flow_server(tmp_path) as server:
        await FakeAsterisk(keys="21").call(server.port)
        await server.service.hung_up(server.call_id(), served=False)
        await server.service.hung_up(server.call_id(), served=False)  # told twice
        assert [event for event, _ in server.ports.events] == ["call.left_unserved"]
        assert server.path()[-2:] == ["repair hangup", "left_unserved ok"]
        assert server.ports.states == {}


async def test_a_caller_who_talked_with_somebody_was_served(tmp_path: Path) -> None:
    async with flow_server(tmp_path) as server:
        await FakeAsterisk(keys="21").call(server.port)
        await server.service.hung_up(server.call_id(), served=True)
        assert server.ports.events == []
        assert server.path()[-1] == "repair served"


async def test_what_is_known_of_the_caller_chooses_the_language(tmp_path: Path) -> None:
    ports = MemoryPorts(facts=CallerFacts(contact={"name": "Ann", "language": "en"}))
    async with flow_server(tmp_path, ports=ports, calendar="service_desk") as server:
        asterisk = FakeAsterisk(keys="-")
        await asterisk.call(server.port)
        assert asterisk.variables["CTI_LANGUAGE"] == "en"


async def test_a_store_that_fails_loses_no_caller(tmp_path: Path) -> None:
    ports = MemoryPorts(fails={"caller", "open_record"})
    async with flow_server(tmp_path, ports=ports) as server:
        asterisk = FakeAsterisk(keys="21")
        await asterisk.call(server.port)
        assert asterisk.variables["CTI_QUEUE"] == "repair"
        assert "open_repair error: open_record fails here on purpose" in server.path()


async def test_a_caller_is_handed_over_and_taken_back_while_no_state_can_be_stored(tmp_path: Path) -> None:
    ports = MemoryPorts(fails={"save_state", "load_state", "add_path"})
    async with flow_server(tmp_path, ports=ports) as server:
        asterisk = FakeAsterisk(keys="21")
        await asterisk.call(server.port)
        assert [asterisk.variables[name] for name in ("CTI_DO", "CTI_QUEUE", "CTI_DONE")] == ["queue", "repair", "1"]
        assert server.service.has(server.call_id())
        back = FakeAsterisk(variables={"CTI_RESULT": "queue:CONTINUE"})
        await back.call(server.port)
        assert back.variables["CTI_DO"] == "hangup"
        assert not server.service.has(server.call_id())
        assert server.server.counts.failed == 0


async def test_a_caller_who_hangs_up_while_no_state_can_be_stored_is_known_to_the_flow(tmp_path: Path) -> None:
    async with flow_server(tmp_path, ports=MemoryPorts(fails={"save_state", "load_state"})) as server:
        await FakeAsterisk(keys="21").call(server.port)
        await server.service.hung_up(server.call_id(), served=False)
        assert server.path()[-2:] == ["repair hangup", "left_unserved ok"]
        assert not server.service.has(server.call_id())


async def test_what_was_kept_in_memory_is_stored_with_its_path_as_soon_as_it_can_be(tmp_path: Path) -> None:
    ports = MemoryPorts(fails={"save_state", "add_path"})
    async with flow_server(tmp_path, ports=ports) as server:
        await FakeAsterisk(keys="21").call(server.port)
        with pytest.raises(PortFailed):
            await server.service.store_kept()
        assert server.service.has(server.call_id())
        ports.fails = set()
        await server.service.store_kept()
        assert not server.service.has(server.call_id())
        assert list(ports.states) == [server.call_id()]
        before = server.path()
        assert before
        back = FakeAsterisk(variables={"CTI_RESULT": "queue:CONTINUE"})
        await back.call(server.port)
        assert back.variables["CTI_DO"] == "hangup"
        assert server.path()[: len(before)] == before
        assert ports.states == {}


async def test_a_state_that_can_t_be_deleted_does_not_spoil_the_goodbye(tmp_path: Path) -> None:
    async with flow_server(tmp_path, ports=MemoryPorts(fails={"delete_state", "add_path"})) as server:
        await FakeAsterisk(keys="21").call(server.port)
        asterisk = FakeAsterisk(variables={"CTI_RESULT": "queue:CONTINUE"})
        await asterisk.call(server.port)
        assert asterisk.variables["CTI_DO"] == "hangup"
        assert asterisk.variables["CTI_DONE"] == "1"


@pytest.mark.parametrize("result", ["queue:TIMEOUT", "nonsense", "dial:ANSWER"])
async def test_a_call_whose_state_is_lost_goes_to_the_fallback(tmp_path: Path, result: str) -> None:
    async with flow_server(tmp_path) as server:
        asterisk = FakeAsterisk(variables={"CTI_RESULT": result})
        await asterisk.call(server.port)
        assert "CTI_DONE" not in asterisk.variables
        assert server.server.counts.failed == 1


async def test_a_prompt_that_asterisk_lacks_is_passed_over(tmp_path: Path) -> None:
    class Missing(FakeAsterisk):
        def reply(self, words: list[str]) -> str:
            return "200 result=-1 endpos=0" if words[0] == "STREAM" else super().reply(words)

    async with flow_server(tmp_path) as server:
        asterisk = Missing(keys="21")
        await asterisk.call(server.port)
        assert asterisk.variables["CTI_QUEUE"] == "repair"


async def test_a_prompt_without_barge_in_goes_on_where_the_key_stopped_it(tmp_path: Path) -> None:
    class Impatient(FakeAsterisk):
        def reply(self, words: list[str]) -> str:
            if words[0] == "STREAM" and words[4] == "0" and words[3]:
                return f"200 result={ord('7')} endpos=1200"
            return super().reply(words)

    async with flow_server(tmp_path, flow="emergency") as server:
        asterisk = Impatient()
        await asterisk.call(server.port)
        offsets = [words[4] for words in asterisk.commands if words[:2] == ["STREAM", "FILE"]]
        assert offsets == ["0", "1200", "0", "1200"]  # both languages, each resumed
        assert asterisk.variables["CTI_DO"] == "dial"
        assert asterisk.variables["CTI_DIAL"].startswith("Local/139")
        key, file = asterisk.variables["CTI_DIAL_OPTIONS"].removeprefix("U(cti-accept^").removesuffix(")").split("^")
        assert key == "1"
        assert Path(f"{file}.wav").exists()


async def test_nobody_to_dial_is_nobody(tmp_path: Path) -> None:
    ports = MemoryPorts(facts=CallerFacts({"open_records": 1}, {"owner": "agent1"}))
    async with flow_server(tmp_path, flow="aftersales", ports=ports, clock=ManualClock(DEFAULT_CLOCK)) as server:
        asterisk = FakeAsterisk(keys="2")
        await asterisk.call(server.port)
        # The owner of the record is not logged in: straight to the queue, ahead of others.
        assert asterisk.variables["CTI_DO"] == "queue"
        assert asterisk.variables["QUEUE_PRIO"] == "8000"
        assert asterisk.variables["CTI_QUEUE_TIMEOUT"] == "30"  # then the position is said
        assert asterisk.variables["CTI_QUEUE_BREAK"] == "1"  # and the queue is not left by it


async def test_an_owner_who_is_logged_in_is_rung_first(tmp_path: Path) -> None:
    ports = MemoryPorts(facts=CallerFacts({"open_records": 1}, {"owner": "agent1"}), agents={"agent1": "PJSIP/agent1"})
    async with flow_server(tmp_path, flow="aftersales", ports=ports, clock=ManualClock(DEFAULT_CLOCK)) as server:
        asterisk = FakeAsterisk(keys="2")
        await asterisk.call(server.port)
        assert asterisk.variables["CTI_DO"] == "dial"
        assert asterisk.variables["CTI_DIAL"] == "PJSIP/agent1"
        assert asterisk.variables["CTI_QUEUE"] == "repair"  # for the fallback
        back = FakeAsterisk(variables={"CTI_RESULT": "dial:NOANSWER"})
        await back.call(server.port)
        assert back.variables["CTI_DO"] == "queue"


async def test_a_blocked_number_is_known_to_the_flow(tmp_path: Path) -> None:
    async with flow_server(tmp_path, flow="aftersales", clock=ManualClock(DEFAULT_CLOCK)) as server:
        settings = load_settings(shipped("config", "ctiserver.yaml"), {})
        site = replace(
            load_site(settings.config_dir), numbers={"*": NumberConfig(flow="aftersales", calendar="always")}
        )
        blocked = Blocklist({"1380013*": Blocked(reason="nuisance")})
        server.service.configure(site, replace(load_world(site, settings), blocked=blocked))
        await FakeAsterisk(keys="2").call(server.port)
        assert "known case 1" in server.path()


AGAIN = """\
schema: callflow/1
flow: again
version: "1"
languages: [en]
start: ask
on_error: bye
nodes:
  ask:
    kind: menu
    prompt: {en: For repairs press one. For anything else press two.}
    choices: {"1": greeting, "2": other, star: ask}
    on: {exhausted: bye}
  greeting: {kind: play, prompt: {en: One moment.}, next: checked}
  checked: {kind: confirm, prompt: {en: Is it urgent?}, on: {"yes": repair, "no": ask, exhausted: repair}}
  other: {kind: play, prompt: {en: Somebody will help.}, next: operators}
  repair: {kind: queue, queue: repair, max_wait: 1m, on: {timeout: sorry, empty: sorry, full: sorry}}
  operators: {kind: queue, queue: operators, max_wait: 1m, on: {timeout: ask, empty: ask, full: ask}}
  sorry: {kind: play, prompt: {en: All are busy.}, next: ask}
  bye: {kind: hangup, prompt: {en: Goodbye.}}
"""


def told(asterisk: FakeAsterisk, name: str) -> list[tuple[int, str]]:
    """(number of the command, value) of each time that a channel variable was set."""
    return [
        (number, value)
        for number, words in enumerate(asterisk.commands)
        if words[:2] == ["EXEC", "MSet"]
        for key, _, value in (pair.partition("=") for pair in words[2].split(","))
        if key == name
    ]


async def test_the_queue_that_was_chosen_is_known_before_anything_else_is_done(tmp_path: Path) -> None:
    """By the fallback: a server that is killed while it opens the record, or in the prompt after it, loses no choice."""
    known: list[str | None] = []

    class Seen(MemoryPorts):
        async def open_record(self, *arguments: Any) -> Mapping[str, Value]:
            known.append(asterisk.variables.get("CTI_QUEUE"))
            known.append(asterisk.variables.get("CTI_STAGE"))
            return {"id": "1"}

    asterisk = FakeAsterisk(keys="21")
    async with flow_server(tmp_path, ports=Seen()) as server:
        await asterisk.call(server.port)
    assert known == ["repair", "front_desk.open_repair"]
    (chosen, _), (handed_over, _) = told(asterisk, "CTI_QUEUE")
    after = [words[0] for words in asterisk.commands[chosen:handed_over]]
    assert after == ["EXEC", "EXEC", "STREAM"], "one command more than there were, then the stage and the greeting"
    assert "WAIT" in {words[0] for words in asterisk.commands[:chosen]}
    assert asterisk.commands[handed_over][2].count("CTI_DO=queue") == 1


async def test_a_queue_is_told_with_the_step_that_leads_to_it_and_once(tmp_path: Path) -> None:
    asterisk = FakeAsterisk(keys="-2")
    async with flow_server(tmp_path, flow="again", flows=site_with(tmp_path, "again", AGAIN)) as server:
        await asterisk.call(server.port)
    (other, queue), (_, handed_over) = told(asterisk, "CTI_QUEUE")
    assert (queue, handed_over) == ("operators", "operators")
    assert (other, "again.other") in told(asterisk, "CTI_STAGE"), "in one command: neither is ever right alone"
    assert asterisk.commands[other + 1][:2] == ["STREAM", "FILE"]


async def test_a_choice_that_leads_to_several_queues_says_nothing_yet(tmp_path: Path) -> None:
    asterisk = FakeAsterisk(keys="12")  # greeting, then a question whose answers lead to repair, or back to the menu
    async with flow_server(tmp_path, flow="again", flows=site_with(tmp_path, "again", AGAIN)) as server:
        await asterisk.call(server.port)
    assert told(asterisk, "CTI_QUEUE") == []


async def test_after_one_queue_was_left_another_that_is_chosen_is_known(tmp_path: Path) -> None:
    async with flow_server(tmp_path, flow="again", flows=site_with(tmp_path, "again", AGAIN)) as server:
        await FakeAsterisk(keys="11").call(server.port)
        came_back = {"CTI_RESULT": "queue:TIMEOUT:1", "CTI_QUEUE": "repair", "CTI_QUEUES_LEFT": "&repair&"}
        back = FakeAsterisk(keys="2", variables=came_back)
        await back.call(server.port)
    (other, queue), _ = told(back, "CTI_QUEUE")
    assert queue == "operators"
    assert (other, "again.other") in told(back, "CTI_STAGE")
    asked = [words for words in back.commands if words[-1] == "${CTI_QUEUES_LEFT}"]
    assert len(asked) == 1


async def test_a_queue_that_was_left_is_not_told_again_until_the_flow_itself_hands_over(tmp_path: Path) -> None:
    """The fallback refuses it anyway; but then a queue that may still be joined must not be overwritten by it."""
    text = AGAIN.replace('"no": ask, exhausted: repair', '"no": repair, exhausted: repair')
    async with flow_server(tmp_path, flow="again", flows=site_with(tmp_path, "again", text)) as server:
        await FakeAsterisk(keys="11").call(server.port)
        came_back = {"CTI_RESULT": "queue:TIMEOUT:1", "CTI_QUEUE": "repair", "CTI_QUEUES_LEFT": "&repair&"}
        back = FakeAsterisk(keys="1-1", variables=came_back)
        await back.call(server.port)
    ((handed_over, queue),) = told(back, "CTI_QUEUE")
    assert queue == "repair"
    assert "CTI_DO=queue" in back.commands[handed_over][2], "it is the flow's own word, not a guess"
    asked = [words for words in back.commands if words[-1] == "${CTI_QUEUES_LEFT}"]
    assert len(asked) == 1, "though several steps of the session lead there"


@pytest.mark.parametrize(("leave", "does"), [(True, "dial"), (False, "voicemail")])
async def test_a_number_that_may_not_be_dialled_is_nobody(tmp_path: Path, leave: bool, does: str) -> None:
    """The roster's numbers are asked about as such, and dialled as the gate writes them."""
    asked: list[tuple[str, bool]] = []

    class Gate(MemoryPorts):
        async def dialable(self, number: str, *, rostered: bool) -> str | None:
            asked.append((number, rostered))
            return f"+86{number}" if leave else None

    async with flow_server(tmp_path, flow="emergency", ports=Gate()) as server:
        asterisk = FakeAsterisk()
        await asterisk.call(server.port)
        assert asterisk.variables["CTI_DO"] == does
        assert {rostered for _, rostered in asked} == {True}
        if leave:
            assert asterisk.variables["CTI_DIAL"] == f"Local/+86{asked[0][0]}@cti-outbound/n"
