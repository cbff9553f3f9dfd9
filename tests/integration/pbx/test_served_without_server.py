"""Whatever the server does, the caller is served: refused, killed under way, gone, hung, too busy, out of hours."""

from __future__ import annotations

import asyncio
import sys
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from ctiserver.lab.drill.proxy import gone
from ctiserver.lab.privatepbx.baresip import CallFailed
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from tests.support.asking_server import PROMPT_S
from tests.support.asterisk import journal
from tests.support.eventually import eventually
from tests.support.fastagi import AgiCall, hung, scripted

#: Two cores are shared by everything that is tested at once.
_SLOW_MACHINE_S = 1.5


@pytest_asyncio.fixture
async def hours(pbx: PrivatePbx) -> AsyncIterator[Callable[[str, str], Awaitable[None]]]:
    """Tell the PBX the hours of a number or queue, as the server does."""

    told: list[str] = []

    async def tell(subject: str, value: str) -> None:
        for name, text in ((f"CTI_CALENDAR_{subject}", "tried"), (f"CTI_HOURS_tried_{datetime.now(UTC):%d}", value)):
            told.append(name)
            await pbx.cli(f"dialplan set global {name} {text}")

    yield tell
    for name in told:
        await pbx.cli(f"dialplan set global {name} -")


@pytest_asyncio.fixture
async def patient(pbx: PrivatePbx) -> AsyncIterator[None]:
    """The dead-man waits for a scripted server, which shares its processor with everything that is tested at once."""
    await pbx.cli("dialplan set global CTI_DEADMAN_S 10")
    yield
    await pbx.cli("dialplan set global CTI_DEADMAN_S 1")


@pytest_asyncio.fixture
async def operators_first(pbx: PrivatePbx) -> AsyncIterator[None]:
    """Callers who have chosen nothing go to the operators."""
    await pbx.cli("dialplan set global CTI_QUEUE_FIRST operators")
    yield
    await pbx.cli("dialplan set global CTI_QUEUE_FIRST repair")


async def seated(pbx: PrivatePbx, phone: str, queue: str) -> None:
    """Put a phone into a queue, and wait until the queue knows that it can be rung: a registration gets there later."""
    await pbx.cli(f"queue add member PJSIP/{phone} to {queue}")
    await eventually(
        lambda: pbx.cli(f"queue show {queue}"),
        lambda shown: any(f"PJSIP/{phone}" in line and "(Not in use)" in line for line in shown.splitlines()),
        within_s=15,
    )


def _all_day_but_now() -> Iterator[str]:
    """Two spans, before and after: none of them holds the moment."""
    now = datetime.now(UTC)
    if now.hour:
        yield f"0000-{now:%H}00"
    if now.hour < 22:
        yield f"{now + timedelta(hours=1):%H}59-2400"


async def test_no_server_at_all_the_caller_reaches_an_agent(pbx: PrivatePbx, programs: Programs) -> None:
    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138000") as caller,
    ):
        await seated(pbx, "agent1", "repair")
        await caller.dial("4008001234")
        began = time.monotonic()
        assert await agent.ringing() == "13800138000"
        assert time.monotonic() - began < 2.0, "no announcement keeps a caller from an agent who is free"
        await eventually(lambda: _heard(caller), lambda seconds: seconds > 1.0)  # it is said in the queue
        await agent.answer()
        await caller.press("7")
        await eventually(lambda: _keys(agent), lambda keys: keys == "7")
        await agent.hang_up()
        await caller.ended(timeout_s=15.0)  # after the goodbye
        entries = await journal(pbx)
    (entry,) = entries.values()
    assert entry[1:4] == ["FAILURE", "13800138000", "4008001234"]


async def test_nobody_logged_in_the_caller_leaves_a_message(pbx: PrivatePbx, programs: Programs) -> None:
    before = await _messages(pbx)
    async with SipPhone.caller(programs, pbx, "13800138001") as caller:
        await caller.dial("4008001234")
        await caller.answered()
        message = await eventually(lambda: _messages(pbx), lambda found: len(found) > len(before), within_s=30.0)
        await caller.say(pbx.sounds_dir / "en" / "accept-1.wav")
        await caller.hang_up()

    def over(entries: dict[str, list[str]]) -> bool:
        return any("-vm" in key and fields[5] != "BEGUN" for key, fields in entries.items())

    entries = await eventually(lambda: journal(pbx), over)
    kept = next(fields for key, fields in entries.items() if key.endswith("-vm1"))
    assert kept[1:4] == ["voicemail", "13800138001", "4008001234"]
    assert kept[5] == "HANGUP"
    assert Path(kept[6]) == message[-1]
    with wave.open(str(message[-1])) as sound:
        assert sound.getnframes() / sound.getframerate() > 2.0


async def test_out_of_hours_the_caller_leaves_a_message_though_agents_are_there(
    pbx: PrivatePbx, programs: Programs, hours: Callable[[str, str], Awaitable[None]]
) -> None:
    before = await _messages(pbx)
    await hours("number-*", "&".join([f"{datetime.now(UTC):%Y%m%d}", *_all_day_but_now()]))
    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138006") as caller,
    ):
        await seated(pbx, "agent1", "repair")
        await caller.dial("4008001234")
        await eventually(lambda: _messages(pbx), lambda found: len(found) > len(before), within_s=30.0)
        assert not agent.talking
        await caller.hang_up()


@pytest.mark.parametrize("value", ["{today}&0000-2400", "20010101", "-"])
async def test_open_or_not_known_the_caller_is_queued(
    pbx: PrivatePbx, programs: Programs, hours: Callable[[str, str], Awaitable[None]], value: str
) -> None:
    await hours("queue-repair", value.format(today=f"{datetime.now(UTC):%Y%m%d}"))
    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138007") as caller,
    ):
        await seated(pbx, "agent1", "repair")
        await caller.dial("4008001234")
        await agent.ringing()
        await caller.hang_up()
        await agent.stopped_ringing()


@pytest.mark.parametrize(("over_s_ago", "rings"), [(5, True), (-60, False), (None, False)])
async def test_after_call_work_that_nobody_ended_is_over_in_time(
    pbx: PrivatePbx, programs: Programs, over_s_ago: int | None, rings: bool
) -> None:
    over = 0 if over_s_ago is None else int(time.time()) - over_s_ago
    await pbx.cli(f"dialplan set global CTI_WRAP_UP_PJSIP/agent1 {over}")
    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138010") as caller,
    ):
        await seated(pbx, "agent1", "repair")
        await pbx.cli("queue pause member PJSIP/agent1 queue repair reason wrap_up")
        assert "(paused" in await pbx.cli("queue show repair")
        await caller.dial("4008001234")
        await caller.answered()

        async def waits() -> bool:
            return "1. PJSIP/trunk" in await pbx.cli("queue show repair")

        assert await eventually(waits)
        if rings:
            await agent.ringing()
        assert ("(paused" in await pbx.cli("queue show repair")) is not rings
        await caller.hang_up()
        await agent.stopped_ringing()
    await pbx.cli("dialplan set global CTI_WRAP_UP_PJSIP/agent1 0")


async def test_host_that_is_gone_costs_two_seconds(pbx: PrivatePbx, programs: Programs) -> None:
    async with (
        gone(int(pbx.agi.rpartition(":")[2])),
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138008") as caller,
    ):
        await seated(pbx, "agent1", "repair")
        began = time.monotonic()
        await caller.dial("4008001234")
        await caller.answered()  # by the fallback
        assert 1.5 < time.monotonic() - began < 2.5 + _SLOW_MACHINE_S
        await agent.ringing()
        await caller.hang_up()
        await agent.stopped_ringing()


async def test_help_is_dialled_from_any_phone_and_nobody_is_asked(pbx: PrivatePbx, programs: Programs) -> None:
    async with SipPhone.agent(programs, pbx, "agent1") as agent:
        await agent.dial("110")
        with pytest.raises(CallFailed, match="503"):  # said at once: this PBX has no trunk to them
            await agent.answered()
        for number in ("110", "119", "120", "122"):
            found = await pbx.cli(f"dialplan show {number}@cti-agents")
            first = next(line for line in found.splitlines() if "=>" in line)
            assert "cti-emergency-call" in first, f"nothing comes before {number}"
        await pbx.cli("dialplan set global CTI_EMERGENCY agent2")
        try:
            async with SipPhone.agent(programs, pbx, "agent2"):  # a phone in a trunk's place, which knows no 120
                await agent.dial("120")
                with pytest.raises(CallFailed, match="404"):
                    await agent.answered()
        finally:
            await pbx.cli('dialplan set global CTI_EMERGENCY ""')


@pytest.mark.usefixtures("patient")
async def test_server_that_dies_under_way_leaves_the_caller_to_the_queue_chosen_last(
    pbx: PrivatePbx, programs: Programs
) -> None:
    async def dies(call: AgiCall) -> None:
        await call.do("ANSWER")
        await call.set(CTI_STAGE="menu", CTI_LANGUAGE="en", CTI_QUEUE="operators")
        await call.set(CTI_DO="hangup")  # what is to be done next, and killed before the mark that this is all

    async with (
        SipPhone.agent(programs, pbx, "agent2") as agent,
        SipPhone.caller(programs, pbx, "13800138002") as caller,
        scripted(pbx.agi, dies) as server,
    ):
        await seated(pbx, "agent2", "operators")
        await caller.dial("4008001234")
        await server.all_done()
        await agent.ringing()
        await agent.answer()
        await caller.hang_up()
        await agent.ended()
        entries = await journal(pbx)
    ((uniqueid, entry),) = entries.items()
    assert entry[1:] == ["SUCCESS", "13800138002", "4008001234", "menu", "operators", "en", uniqueid]


CHOICE = """\
schema: callflow/1
flow: menu
version: "1"
languages: [en]
start: ask
on_error: operators
nodes:
  ask:
    kind: menu
    prompt: {en: For repairs press one. For anything else press two.}
    choices: {"1": greeting, "2": operators}
    on: {exhausted: operators}
  greeting: {kind: play, prompt: {en: One moment.}, next: repair}
  repair: {kind: queue, queue: repair, on: {empty: bye, full: bye}}
  operators: {kind: queue, queue: operators, on: {empty: bye, full: bye, error: bye}}
  bye: {kind: hangup, prompt: {en: Goodbye.}}
"""


@pytest.mark.usefixtures("patient", "operators_first")
async def test_server_killed_between_the_choice_and_the_queue_leaves_the_caller_to_the_queue_that_was_chosen(
    pbx: PrivatePbx, programs: Programs, tmp_path: Path
) -> None:
    port = pbx.agi.rpartition(":")[2]
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.asking_server", str(tmp_path), port, CHOICE),
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    try:
        async with (
            asyncio.timeout(90.0),
            SipPhone.agent(programs, pbx, "agent1") as repairer,
            SipPhone.agent(programs, pbx, "agent2") as operator,
            SipPhone.caller(programs, pbx, "13800138011") as caller,
        ):
            await seated(pbx, "agent1", "repair")
            await seated(pbx, "agent2", "operators")
            assert await server.stdout.readline() == b"ready\n"
            await caller.dial("4008001234")
            await caller.answered()
            await caller.press("1")

            async def greets() -> bool:
                channels = (await pbx.cli("core show channels concise")).splitlines()
                trunk = next(line.partition("!")[0] for line in channels if line.startswith("PJSIP/trunk"))
                return "CTI_STAGE=menu.greeting" in await pbx.cli(f"core show channel {trunk}")

            await eventually(greets, within_s=15.0)
            server.kill()
            began = time.monotonic()

            async def waits() -> bool:
                return "1. PJSIP/trunk" in await pbx.cli("queue show repair")

            await eventually(waits, within_s=15.0)
            waited_s = time.monotonic() - began
            await repairer.ringing()
            assert not operator.talking
            assert "1. PJSIP/trunk" not in await pbx.cli("queue show operators")
            await repairer.answer()
            await caller.hang_up()
            await repairer.ended()
            entries = await journal(pbx)
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()
    assert waited_s < _SLOW_MACHINE_S < PROMPT_S, "the queue waits for no prompt to end"
    ((uniqueid, entry),) = entries.items()
    assert entry[1:] == ["SUCCESS", "13800138011", "4008001234", "menu.greeting", "repair", "en", uniqueid]


@pytest.mark.usefixtures("patient")
async def test_who_was_served_already_is_thanked_and_not_queued_again(pbx: PrivatePbx, programs: Programs) -> None:
    async def queue(call: AgiCall) -> None:
        await call.do("ANSWER")
        await call.hand_over(CTI_DO="queue", CTI_QUEUE="repair", CTI_LANGUAGE="en")

    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138009") as caller,
    ):
        await seated(pbx, "agent1", "repair")
        async with scripted(pbx.agi, queue) as server:
            await caller.dial("4008001234")
            await agent.ringing()
            await server.all_done()
        await agent.answer()  # the server is gone; the flow would have asked the caller something afterwards
        await agent.hang_up()
        await caller.ended(timeout_s=15.0)
        assert not agent.talking
        ringing = await pbx.cli("queue show repair")
    assert "has taken 1 calls" in ringing


@pytest.mark.usefixtures("patient")
async def test_who_waits_while_the_server_is_gone_waits_on_when_an_announcement_would_be_due(
    pbx: PrivatePbx, programs: Programs
) -> None:
    async def queue(call: AgiCall) -> None:
        await call.do("ANSWER")
        await call.hand_over(
            CTI_DO="queue", CTI_QUEUE="repair", CTI_QUEUE_TIMEOUT="3", CTI_QUEUE_BREAK="1", CTI_LANGUAGE="en"
        )

    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138012") as caller,
    ):
        await seated(pbx, "agent1", "repair")
        async with scripted(pbx.agi, queue) as server:
            await caller.dial("4008001234")
            await agent.ringing()
            await server.all_done()
        # In between the caller was to hear something, and nobody says it: the queue is entered again at once.
        await agent.rung_times(2)
        await agent.answer()
        await caller.hang_up()
        await agent.ended()
        entries = await journal(pbx)
    ((_, entry),) = entries.items()
    assert entry[2] == "13800138012"
    assert entry[5] == "repair"


@pytest.mark.usefixtures("patient")
async def test_talk_with_an_agent_is_not_recorded_as_the_silence_that_hid_a_number(
    pbx: PrivatePbx, programs: Programs
) -> None:
    files = []

    async def dies(call: AgiCall) -> None:
        await call.do("GOSUB cti-record start 1")
        files.append(await call.variable("CTI_REC_FILE"))
        await call.set(CTI_LANGUAGE="en", CTI_QUEUE="repair", CTI_REC_HIDDEN="1")

    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138015") as caller,
        scripted(pbx.agi, dies),
    ):
        await seated(pbx, "agent1", "repair")
        await caller.dial("4008001234")
        await agent.ringing()
        await agent.answer()
        channels = (await pbx.cli("core show channels concise")).splitlines()
        trunk = next(line.partition("!")[0] for line in channels if line.startswith("PJSIP/trunk"))
        shown = await pbx.cli(f"core show channel {trunk}")
        await caller.hang_up()
        await agent.ended()
    (hidden,) = files
    assert hidden.endswith("-1.wav")
    assert f"CTI_REC_FILE={hidden.removesuffix('-1.wav')}-2.wav" in shown


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("result", "thanked"), [("callback:OK", True), ("voicemail:ERROR:/no/file", False)])
async def test_a_promise_is_kept_by_thanks_and_a_message_that_failed_is_none(
    pbx: PrivatePbx, programs: Programs, result: str, thanked: bool
) -> None:
    async def dies(call: AgiCall) -> None:
        await call.set(CTI_LANGUAGE="en", CTI_QUEUE="repair", CTI_RESULT=result)

    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138013") as caller,
        scripted(pbx.agi, dies),
    ):
        await seated(pbx, "agent1", "repair")
        await caller.dial("4008001234")
        if thanked:
            await caller.ended(timeout_s=15.0)  # after the goodbye
            assert agent.rung == 0
        else:
            await agent.ringing()
            await caller.hang_up()


@pytest.mark.usefixtures("patient")
async def test_server_that_hangs_after_its_last_word_is_waited_for_no_longer_than_the_dead_man(
    pbx: PrivatePbx, programs: Programs
) -> None:
    rings = asyncio.Event()

    async def hangs(call: AgiCall) -> None:
        await call.do("ANSWER")
        await call.set(CTI_DO="queue", CTI_QUEUE="repair")
        await call.do("EXEC MSet TIMEOUT(absolute)=1,CTI_DONE=1")
        await rings.wait()  # the connection stays open

    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138014") as caller,
        scripted(pbx.agi, hangs),
    ):
        await seated(pbx, "agent1", "repair")
        await caller.dial("4008001234")
        await agent.ringing()
        rings.set()
        await agent.answer()
        await eventually(lambda: _heard(agent), lambda seconds: seconds > 1.5)  # it is cleared: the talk goes on
        assert caller.talking
        await caller.hang_up()
        await agent.ended()
        assert await journal(pbx) == {}, "it went as the server had said"


@pytest.mark.usefixtures("patient")
async def test_queue_already_left_is_never_joined_again(pbx: PrivatePbx, programs: Programs) -> None:
    async def dies(call: AgiCall) -> None:
        await call.set(CTI_LANGUAGE="en", CTI_QUEUE="repair", CTI_QUEUES_LEFT="&operators&repair&")

    before = len(await _messages(pbx))
    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138003") as caller,
        scripted(pbx.agi, dies),
    ):
        await seated(pbx, "agent1", "repair")
        await caller.dial("4008001234")
        await caller.answered()
        await eventually(lambda: _messages(pbx), lambda found: len(found) > before, within_s=20.0)
        assert not agent.talking
        await caller.hang_up()


async def test_server_that_hangs_is_given_up_after_the_dead_mans_second(pbx: PrivatePbx, programs: Programs) -> None:
    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138004") as caller,
    ):
        await seated(pbx, "agent1", "repair")
        with hung(pbx.agi):
            loop = asyncio.get_running_loop()
            started = loop.time()
            await caller.dial("4008001234")
            await caller.answered()  # by the fallback: nobody else does
            assert 0.9 < loop.time() - started < 2.5
            await agent.ringing()
            await agent.answer()
            # The dead-man is cleared: the talk goes on past any second of it.
            await eventually(lambda: _heard(agent), lambda seconds: seconds > 1.5)
            assert caller.talking
            await caller.hang_up()
        entries = await journal(pbx)
    (entry,) = entries.values()
    assert entry[1] == "hung"


@pytest.mark.usefixtures("patient")
async def test_server_that_is_too_busy_says_so_in_the_journal(pbx: PrivatePbx, programs: Programs) -> None:
    async def busy(call: AgiCall) -> None:
        await call.set(CTI_BUSY="calls", CTI_LANGUAGE="en")

    async with SipPhone.caller(programs, pbx, "13800138005") as caller, scripted(pbx.agi, busy) as server:
        await caller.dial("4008001234")
        await server.all_done()
        entries = await eventually(lambda: journal(pbx), bool)
        await caller.answered()
        await caller.hang_up()
    (entry,) = entries.values()
    assert entry[1:4] == ["busy", "13800138005", "4008001234"]


async def test_withheld_number_is_served_and_kept_as_it_came(pbx: PrivatePbx, programs: Programs) -> None:
    async with SipPhone.caller(programs, pbx, "anonymous") as caller:
        await caller.dial("+864008001234")
        await caller.answered()
        entries = await eventually(lambda: journal(pbx), bool)
        await caller.hang_up()
    (entry,) = entries.values()
    assert entry[2:4] == ["anonymous", "+864008001234"]


async def test_agents_key_without_a_server_apologises(pbx: PrivatePbx, programs: Programs) -> None:
    async with SipPhone.agent(programs, pbx, "agent1") as agent:
        await agent.dial("*11")
        await agent.answered()
        await agent.ended(timeout_s=15.0)
        assert agent.heard_s() > 1.0


async def _keys(phone: SipPhone) -> str:
    return phone.keys_heard


async def _heard(phone: SipPhone) -> float:
    return phone.heard_s()


async def _messages(pbx: PrivatePbx) -> list[Path]:
    return sorted(pbx.voicemail_dir.glob("*.wav"), key=lambda path: path.stat().st_mtime)
