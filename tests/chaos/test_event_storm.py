"""25,000 events a second: heard whole, in order, without the loop standing still."""

from __future__ import annotations

import asyncio
import json
import lzma
import sys
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from ctiserver.bus import Bus
from ctiserver.clock import SystemClock
from ctiserver.model.events import CallEnded, CallEvent, PbxDown
from ctiserver.model.ids import PbxName
from ctiserver.pbx.codec import AmiDecoder
from ctiserver.pbx.intake import Intake
from ctiserver.pbx.link import PbxLink
from ctiserver.pbx.translate import WANTED
from ctiserver.settings import PbxSettings
from tests.chaos import results
from tests.chaos.storm import rounds
from tests.support.eventually import eventually

STREAM = Path(__file__).parent.parent / "protocol/recordings/stream-58k-events.ami.xz"
PER_S = 25_000
_TICK_S = 0.01


class Lag:
    """How late the loop is, by the clock and by our own CPU time: a machine that is busy with others is not our lag."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.own: list[float] = []

    async def watch(self) -> None:
        while True:
            due, cpu = time.monotonic() + _TICK_S, time.thread_time()
            await asyncio.sleep(_TICK_S)
            late = max(0.0, time.monotonic() - due)
            self.wall.append(late)
            self.own.append(min(late, time.thread_time() - cpu))

    @staticmethod
    def p99(seen: list[float]) -> float:
        """Of all instants, not of our looks: whoever came while the loop stood still waited for what was left of it."""
        waited = [late - missed * _TICK_S for late in seen for missed in range(1 + int(late / _TICK_S))]
        return sorted(waited)[int(len(waited) * 0.99)]


def expected(stream: bytes, times: int) -> list[CallEvent]:
    """What the same bytes come to when there is all the time in the world."""
    decoder = AmiDecoder(WANTED)
    sides = PbxLink(PbxName("main"), PbxSettings(), Bus(), SystemClock())._intake.sides
    intake = Intake(PbxName("main"), sides, midstream=False)
    found = []
    for one in rounds(stream, times):
        for message in decoder.feed(one):
            found += [event for event in intake.take(message) if isinstance(event, CallEvent)]
    return found


@pytest.mark.parametrize("times", [pytest.param(1, id="short"), pytest.param(2, id="long", marks=pytest.mark.chaos)])
async def test_a_storm_is_heard_whole_and_in_order(tmp_path: Path, times: int) -> None:
    results.begin("event-storm", f"events at {PER_S:,}/s", long=times > 1)
    stream = lzma.decompress(STREAM.read_bytes())
    (tmp_path / "stream.ami").write_bytes(stream)
    wanted = expected(stream, times)
    speaker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.storm", str(tmp_path / "stream.ami"), str(times), str(PER_S)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert speaker.stdout is not None
        port = int(await speaker.stdout.readline())
        bus, lag, heard = Bus(), Lag(), list[CallEvent]()
        settings = PbxSettings(port=port, secret=SecretStr("storm"), ping_every_s=0.2, ping_timeout_s=20.0)
        link = PbxLink(PbxName("main"), settings, bus, SystemClock())

        async def listen() -> None:
            with bus.subscribe(CallEvent, PbxDown, limit=1_000_000) as events:
                async for event in events:
                    assert isinstance(event, CallEvent), f"the link was lost: {event}"
                    heard.append(event)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in (listen(), link.run(), lag.watch())]
            said = json.loads(await asyncio.wait_for(speaker.stdout.readline(), 60))

            async def count() -> int:
                return len(heard)

            await eventually(count, lambda seen: seen >= len(wanted), within_s=20.0)
            for task in tasks:
                task.cancel()
    finally:
        speaker.kill()
        await speaker.communicate()
    assert [type(event) for event in heard] == [type(event) for event in wanted]
    assert [event.call_id for event in heard] == [event.call_id for event in wanted]
    ended = [event.summary for event in heard if isinstance(event, CallEnded)]
    assert ended == [event.summary for event in wanted if isinstance(event, CallEnded)]
    assert link.counters() == {"unparsable": 0, "refused": 0, "broken": 0, "ignored": 0}
    # A speaker that could not keep its own pace, though nobody kept it waiting, shares a machine that is busy with others.
    limit_s = 0.05 if said["took_s"] - said["waited_s"] < 1.2 * said["events"] / PER_S else 0.5
    why = "" if limit_s < 0.1 else " (50 ms are not measured: the machine was too busy to speak at that pace)"
    quick = f"own loop lag p99 ≤ {1000 * limit_s:.0f} ms{why}"
    must = {
        "nothing lost, nothing out of order": True,  # asserted above
        "not thrown off (10 s)": said["kept_waiting_s"] < 5.0,
        quick: lag.p99(lag.own) <= limit_s,
    }
    results.keep(
        "event-storm",
        f"{said['events']:,} events at {PER_S:,}/s",
        long=times > 1,
        figures={
            "events": said["events"],
            "said_in_s": round(said["took_s"], 2),
            "kept_waiting_worst_s": round(said["kept_waiting_s"], 3),
            "calls": len(ended),
            "loop_lag_p99_ms": round(1000 * lag.p99(lag.wall), 1),
            "loop_lag_p99_own_cpu_ms": round(1000 * lag.p99(lag.own), 1),
        },
        held=[what for what, holds in must.items() if holds],
        broken=[what for what, holds in must.items() if not holds],
    )
    # How quick it was is written down; only the long form, which has the machine to itself, is held to it.
    assert all(holds for what, holds in must.items() if times > 1 or what != quick), must
