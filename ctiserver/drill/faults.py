"""The faults: what is taken away, for how long, and what the callers must get all the same."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from ctiserver.drill.finding import Finding
from ctiserver.drill.proxy import gone
from ctiserver.drill.rig import Rig
from ctiserver.drill.scene import (
    LOOK_EVERY_S,
    TO_THE_END_S,
    Scene,
    Size,
    accounted_for,
    callers_everywhere,
    everybody_served,
    fell_back,
    joined_once,
    latecomers,
    logged_once,
    nobody_dropped,
    queued_within,
    right,
    under_load,
)
from ctiserver.drill.server import ServerSilent
from ctiserver.privatepbx.process import Process

#: How many of many callers listen: what they hear goes through our own loop, fifty packets a second each.
_LISTENERS = 12
_WARM_UP_S = 300

# The server


async def server_killed(rig: Rig, size: Size) -> Finding:
    """kill -9 while callers are in menu, queue and talk; started anew after a while."""
    finding = Finding("server-killed", "The server is killed (SIGKILL), and started anew")
    async with under_load(rig, size, finding) as scene:
        await rig.server.kill()
        async with latecomers(scene):
            await asyncio.sleep(size.fault_s)
            finding.figures["start_s"] = round(await rig.start_server(), 2)
            async with rig.calling(1, per_s=1.0, hold_s=3.0) as first:  # while it still catches up
                await right(scene, 5.0)
                await first.done(3.0 + TO_THE_END_S)
    [story] = rig.ear.stories.of(first.load.numbers)
    finding.must("the first caller after the start is in the menu", not story.fallbacks)
    nobody_dropped(scene)
    everybody_served(scene)
    queued_within(scene, 1.0)
    fell_back(scene, 1.0, "FAILURE")
    await logged_once(scene)
    return finding


async def server_killed_often(rig: Rig, size: Size) -> Finding:
    """kill -9 at random instants, again and again, while callers come and go."""
    finding = Finding("server-killed-often", f"The server is killed {size.kills} times at random instants")
    numbers: list[str] = []
    killed: list[float] = []
    took: list[float] = []
    while len(killed) < size.kills:
        async with rig.calling(size.calls, per_s=size.per_s, hold_s=size.hold_s) as callers:
            numbers += callers.load.numbers
            while len(killed) < size.kills and callers.process.alive:
                await asyncio.sleep(random.uniform(0.1, 3.0))  # noqa: S311 - an instant, not a secret
                killed.append(time.time())
                await rig.server.kill()
                await rig.start_server()
                took.append(await rig.right())
            await callers.done(size.calls / size.per_s + size.hold_s + TO_THE_END_S)
        await rig.quiet()
    scene = Scene(rig, callers, finding, killed[0], numbers)
    stories = scene.stories()
    then = [(story, at, story.stage(at)) for story in stories for at in killed]
    finding.figures["callers"] = len(stories)
    finding.figures["kills_that_callers_lived_through"] = sum(1 for *_, stage in then if stage != "gone")
    hurt = [story.number for story, _, stage in then if stage in ("queue", "talk") and story.ended_by != "caller"]
    finding.none("dropped_in_queue_or_talk", hurt)
    # Who hangs up within the second that is allowed was not let down.
    waits = [
        story.queued_after(at)
        for story, at, stage in then
        if stage == "menu" and (story.ended_at is None or story.ended_at > at + 1.0)
    ]
    worst = None if None in waits else max((wait for wait in waits if wait is not None), default=0.0)
    finding.at_most("menu_to_queue_worst_s", worst, 1.0)
    finding.at_most("state_right_worst_s", max(took), 5.0)
    everybody_served(scene)
    await logged_once(scene)
    await accounted_for(scene)
    return finding


async def server_frozen(rig: Rig, size: Size) -> Finding:
    """SIGSTOP, and SIGCONT later: the kernel accepts calls for it, and nobody answers them."""
    finding = Finding("server-frozen", f"The server hangs (SIGSTOP) for {size.fault_s:g} s, then goes on")
    async with under_load(rig, size, finding) as scene:
        rig.server.freeze()
        async with latecomers(scene):
            await asyncio.sleep(size.fault_s)
            rig.server.thaw()
            await right(scene, 5.0)
    nobody_dropped(scene)
    everybody_served(scene)
    joined_once(scene)
    fell_back(scene, 2.0, "hung")
    hung = [s.fallbacks[0][0] - scene.at for s in scene.in_menu() if s.fallbacks]
    # The longest that is ever played in one piece, and three seconds more (see explanation/reliability).
    finding.at_most("menu_to_fallback_worst_s", max(hung, default=0.0), 12.0)
    await logged_once(scene)
    return finding


async def host_gone(rig: Rig, size: Size) -> Finding:
    """The server's host is gone: packets to its FastAGI port vanish."""
    finding = Finding("host-gone", "The server's host is gone: what is sent to it vanishes")
    await rig.server.kill()
    async with gone(rig.agi_port):
        began = time.time()
        async with rig.calling(3, per_s=size.per_s, hold_s=8.0) as callers:
            await callers.done(8.0 + TO_THE_END_S)
        await rig.quiet()
    stories = rig.ear.stories.of(callers.load.numbers)
    waits = [story.fallbacks[0][0] - story.rang_at if story.fallbacks else None for story in stories]
    worst = None if None in waits else max((wait for wait in waits if wait is not None), default=None)
    finding.at_most("ring_to_fallback_worst_s", worst, 2.5)
    await rig.start_server()
    scene = Scene(rig, callers, finding, began)
    await right(scene, 5.0)
    everybody_served(scene)
    await logged_once(scene)
    return finding


async def server_ended(rig: Rig, size: Size) -> Finding:
    """SIGTERM: callers in the menu finish or are handed over, new ones are refused politely."""
    finding = Finding("server-ended", "The server is asked to end (SIGTERM), and started anew")
    async with under_load(rig, size, finding) as scene:
        began = time.monotonic()
        rig.server.ask_to_end()
        async with latecomers(scene, 1):
            await rig.server.ended(25.0)
            finding.at_most("end_s", time.monotonic() - began, 20.0)
            finding.figures["start_s"] = round(await rig.start_server(), 2)
            await right(scene, 5.0)
    nobody_dropped(scene)
    everybody_served(scene)
    queued_within(scene, 12.0)
    fell_back(scene, 1.0, "busy")
    await logged_once(scene)
    return finding


# The line to the PBX


async def line_reset(rig: Rig, size: Size) -> Finding:
    """The manager connection breaks again and again."""
    finding = Finding("line-reset", f"The manager connection breaks every 5 s, for {size.fault_s:g} s")
    took: list[float] = []
    async with under_load(rig, size, finding) as scene:
        until = time.monotonic() + size.fault_s
        while not took or time.monotonic() < until:
            rig.cut.reset()
            began = time.monotonic()
            await _noticed(rig, up=False, within_s=5.0)
            await _noticed(rig, up=True, within_s=15.0)
            took.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, min(5.0, until - time.monotonic()) - took[-1]))
        await right(scene, 5.0)
    finding.figures["breaks"] = len(took)
    finding.at_most("resynchronised_worst_s", max(took), 3.0)
    nobody_dropped(scene)
    everybody_served(scene)
    joined_once(scene)
    await logged_once(scene)
    return finding


async def line_frozen(rig: Rig, size: Size) -> Finding:
    """The manager connection is half-open: it stands, and nothing passes."""
    finding = Finding("line-frozen", "The manager connection is half-open: it stands, and nothing passes")
    async with under_load(rig, size, finding) as scene:
        rig.cut.freeze()
        began = time.monotonic()
        await _noticed(rig, up=False, within_s=15.0)
        finding.at_most("noticed_s", time.monotonic() - began, 5.0)
        rig.cut.reset()
        rig.cut.thaw()
        began = time.monotonic()
        await _noticed(rig, up=True, within_s=15.0)
        finding.at_most("resynchronised_s", time.monotonic() - began, 3.0)
        await right(scene, 5.0)
    nobody_dropped(scene)
    everybody_served(scene)
    await logged_once(scene)
    return finding


async def _noticed(rig: Rig, *, up: bool, within_s: float) -> None:
    """Wait until the console shows every agent whether the PBX is heard."""
    deadline = time.monotonic() + within_s
    while any(one["pbx_up"] is not up for one in await rig.agents()):
        if time.monotonic() > deadline:
            raise ServerSilent(
                f"the console does not show within {within_s:.0f} s that the PBX is {'up' if up else 'down'}"
            )
        await asyncio.sleep(0.02)


# The PBX


async def pbx_killed(rig: Rig, size: Size) -> Finding:
    """kill -9 of Asterisk with calls, and a restart."""
    finding = Finding("pbx-killed", "Asterisk is killed (SIGKILL) with calls on it, and started anew")
    async with AsyncExitStack() as stack:
        callers = await callers_everywhere(rig, size, stack)
        scene = Scene(rig, callers, finding, time.time())
        await rig.pbx.kill()
        await rig.ear.pbx_died()
    finding.figures["callers"] = len(scene.stories())
    await rig.pbx.restart()
    booted = time.monotonic()
    numbers = [story.number for story in scene.stories()]
    ended: dict[str, object] = {}
    while time.monotonic() < booted + 20.0:
        entries = await rig.entries(numbers)
        ended = {n: e.detail.get("ended") for n, found in entries.items() for e in found if e.complete}
        if len(ended) == len(numbers):
            break
        await asyncio.sleep(LOOK_EVERY_S)
    finding.at_most("calls_ended_s", time.monotonic() - booted if len(ended) == len(numbers) else None, 5.0)
    finding.none("calls_not_ended_as_pbx_restarted", sorted(n for n in numbers if ended.get(n) != "pbx_restarted"))
    await right(scene, 5.0, "agents_back_after_s")
    async with rig.calling(2, per_s=1.0, hold_s=10.0) as callers:
        await callers.done(TO_THE_END_S)
    await rig.quiet()
    after = rig.ear.stories.of(callers.load.numbers)
    finding.none("callers_without_an_agent_afterwards", [s.number for s in after if not s.agents])
    await logged_once(scene)
    return finding


# The database


async def database_locked(rig: Rig, size: Size) -> Finding:
    """Another program holds the database's write lock."""
    finding = Finding("database-locked", f"Another program holds the database's lock for {size.fault_s:g} s")
    path = rig.database_url.removeprefix("sqlite:///")

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    return await _without_database(rig, size, finding, locked)


async def disk_full(rig: Rig, size: Size) -> Finding:
    """No file of the server can grow: what it writes to its database is refused by the kernel."""
    finding = Finding("disk-full", f"The server's files can't grow for {size.fault_s:g} s")
    process = rig.server.running

    @contextlib.contextmanager
    def full() -> Iterator[None]:
        before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, before[1]))
        yield
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)

    return await _without_database(rig, size, finding, full)


async def _without_database(
    rig: Rig, size: Size, finding: Finding, trouble: Callable[[], contextlib.AbstractContextManager[None]]
) -> Finding:
    process: Process = rig.server.running
    async with under_load(rig, size, finding) as scene:
        with trouble():
            await asyncio.sleep(size.fault_s)
        finding.must("the server lives on", process.alive)
        await right(scene, 5.0)
    finding.must("the server is the same process", process.alive and rig.server.process == process)
    nobody_dropped(scene)
    everybody_served(scene)
    await logged_once(scene, within_s=30.0)
    with contextlib.closing(sqlite3.connect(rig.database_url.removeprefix("sqlite:///"))) as other:
        (verdict,) = other.execute("PRAGMA integrity_check").fetchone()
    finding.must(f"integrity check: {verdict}", verdict == "ok")
    return finding


# Callers


async def rush(rig: Rig, size: Size) -> Finding:
    """Far more callers than agents, and nothing broken."""
    finding = Finding("rush", f"{size.calls} callers in {size.calls / size.per_s:.0f} s on {len(rig.phones)} agents")
    scene = await _counted(rig, size, finding, size.calls)
    stories = scene.stories()
    finding.figures["reached_an_agent"] = sum(1 for story in stories if story.agents)
    finding.figures["waited_till_they_gave_up"] = sum(1 for s in stories if s.queues and not s.agents)
    answers = [None if s.answered_at is None else s.answered_at - s.rang_at for s in stories]
    worst = None if None in answers else max(one for one in answers if one is not None)
    finding.at_most("ring_to_answer_worst_s", worst, 6.0)
    return finding


async def load(rig: Rig, size: Size) -> Finding:
    """An ordinary hour, or a minute of one: SIPp's calls are the PBX's, our log's and the CDRs'; memory stays."""
    calls = round(size.per_s * size.fault_s)
    finding = Finding("load", f"{size.per_s:g} calls a second of {size.hold_s:g} s, for {size.fault_s:g} s")
    sizes: list[tuple[float, float]] = []

    async def weigh() -> None:
        while True:
            sizes.append((time.monotonic(), rig.server.memory_mb()))
            await asyncio.sleep(1.0)

    cpu_s = rig.server.cpu_s()
    async with asyncio.TaskGroup() as group:
        scales = group.create_task(weigh())
        await _counted(rig, size, finding, calls)
        scales.cancel()
    finding.figures["cpu_ms_a_call"] = round(1000 * (rig.server.cpu_s() - cpu_s) / calls, 1)
    finding.figures["memory_mb_at_the_end"] = round(sizes[-1][1], 1)
    warm = [one for one in sizes if one[0] > sizes[0][0] + _WARM_UP_S]
    if len(warm) > _WARM_UP_S:  # a slope of less says nothing
        finding.figures["memory_mb_after_warm_up"] = round(warm[0][1], 1)
        finding.at_most("memory_mb_a_week_by_slope", _slope(warm) * 7 * 86_400, 100.0, unit="MB")
    return finding


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line through the points, by least squares."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


async def _counted(rig: Rig, size: Size, finding: Finding, calls: int) -> Scene:
    """Calls that SIPp, the PBX, our log and the CDRs must count alike; some of the callers listen."""
    began, listeners = time.time(), max(1, min(_LISTENERS, calls // 5))
    within_s = calls / size.per_s + size.hold_s + TO_THE_END_S
    async with (
        rig.calling(calls - listeners, per_s=size.per_s, hold_s=size.hold_s) as callers,
        rig.listening(listeners, per_s=size.per_s * listeners / calls, hold_s=size.hold_s) as (listening, heard),
    ):
        fates = await callers.done(within_s) | await listening.done(within_s)
    await rig.quiet()
    scene = Scene(rig, callers, finding, began, list(heard))
    stories = scene.stories()
    finding.figures["callers"] = len(fates)
    finding.none("calls_that_sipp_counts_as_failed", [n for n, fate in fates.items() if fate == "failed"])
    finding.none("calls_that_the_pbx_did_not_see", sorted(set(fates) - {story.number for story in stories}))
    finding.none("calls_without_a_cdr", sorted(set(fates) - _cdr_callers(rig.pbx.cdr_path)))
    everybody_served(scene)
    silences = [heard[story.number].longest_silence_s(story) for story in scene.latecomers()]
    finding.figures["callers_who_listened"] = len(silences)
    finding.at_most("silence_worst_s", max(silences), 6.0)
    await logged_once(scene)
    return scene


def _cdr_callers(path: Path) -> set[str]:
    if not path.exists():
        return set()
    return {line.split(",")[2].strip('"') for line in path.read_text(encoding="utf-8").splitlines()}


#: By the name that ``--fault`` takes, in the order in which they are run.
FAULTS: Mapping[str, Callable[[Rig, Size], Awaitable[Finding]]] = {
    "server-killed": server_killed,
    "server-killed-often": server_killed_often,
    "server-frozen": server_frozen,
    "host-gone": host_gone,
    "server-ended": server_ended,
    "line-reset": line_reset,
    "line-frozen": line_frozen,
    "pbx-killed": pbx_killed,
    "database-locked": database_locked,
    "disk-full": disk_full,
    "rush": rush,
    "load": load,
}
