"""The faults: what is taken away, for how long, and what the callers must get all the same."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ctiserver.drill.finding import Finding
from ctiserver.drill.proxy import gone
from ctiserver.drill.rig import Rig
from ctiserver.drill.server import ServerSilent
from ctiserver.drill.sipp import Callers
from ctiserver.drill.stories import Story
from ctiserver.privatepbx.process import Process

_LOOK_EVERY_S = 0.05
#: SIPp's own time for retransmissions and good-byes, beyond what a call lasts.
_TO_THE_END_S = 60.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many call, how fast, for how long each; and how long a fault that has a length lasts."""

    calls: int = 8
    per_s: float = 1.5
    hold_s: float = 18.0
    fault_s: float = 4.0


@dataclass
class Scene:
    """A fault in the middle of calls."""

    rig: Rig
    callers: Callers
    finding: Finding
    at: float  #: when the fault began, on the PBX's clock
    before: Mapping[str, str]  #: who was where then, by uniqueid

    def stories(self) -> list[Story]:
        """Every caller's of this fault."""
        return self.rig.ear.stories.of(self.callers.load.numbers)

    def in_menu(self) -> list[Story]:
        """Those whom the server was talking with."""
        return [story for story in self.stories() if self.before.get(story.uniqueid) == "menu"]

    def spared(self) -> list[Story]:
        """Those who waited or talked: the server was not needed for them."""
        return [story for story in self.stories() if self.before.get(story.uniqueid) in ("queue", "talk")]


@asynccontextmanager
async def _under_load(rig: Rig, size: Size, finding: Finding) -> AsyncIterator[Scene]:
    """Calls in menu, queue and talk; the block does the harm and mends it. Then: what everybody got."""
    async with rig.calling(size.calls, per_s=size.per_s, hold_s=size.hold_s) as callers:
        before = await rig.everywhere(callers)
        scene = Scene(rig, callers, finding, time.time(), before)
        yield scene
        fates = await callers.done(size.calls / size.per_s + size.hold_s + _TO_THE_END_S)
    await rig.quiet()
    finding.figures["callers"] = len(fates)
    for stage in ("menu", "queue", "talk"):
        finding.figures[f"in_{stage}_then"] = sum(1 for where in before.values() if where == stage)


def _nobody_dropped(scene: Scene) -> None:
    dropped = [story.number for story in scene.spared() if story.ended_by != "caller"]
    scene.finding.none("dropped_in_queue_or_talk", dropped)


def _everybody_served(scene: Scene) -> None:
    unserved = [story.number for story in scene.stories() if not story.served_after(story.rang_at)]
    scene.finding.none("callers_never_served", unserved)


def _queued_within(scene: Scene, limit_s: float) -> None:
    """How long those in the menu took to a queue (or an agent) from the fault on."""
    waits = [story.queued_after(scene.at) for story in scene.in_menu()]
    worst = None if None in waits else max((wait for wait in waits if wait is not None), default=0.0)
    scene.finding.at_most("menu_to_queue_worst_s", worst, limit_s)


def _joined_once(scene: Scene) -> None:
    twice = [story.number for story in scene.stories() if len(story.queues) > 1]
    scene.finding.none("callers_queued_twice", twice)


async def _logged_once(scene: Scene, within_s: float = 20.0) -> None:
    """Every call has one entry, ended; and a record or a reason for none, once agents had nothing to say."""
    numbers = [story.number for story in scene.stories()]
    rig, finding = scene.rig, scene.finding
    deadline = time.monotonic() + within_s
    while True:
        entries = await rig.entries(numbers)
        wrong = sorted(
            f"{number}: {len(found)} entries" if len(found) != 1 else f"{number}: still open"
            for number, found in entries.items()
            if len(found) != 1 or not found[0].complete
        )
        if not wrong or time.monotonic() > deadline:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    finding.figures["calls_logged"] = sum(map(len, entries.values()))
    finding.none("calls_not_logged_once", wrong)


async def _right(scene: Scene, limit_s: float, name: str = "state_right_after_s") -> None:
    try:
        scene.finding.at_most(name, await scene.rig.right(limit_s + 10.0), limit_s)
    except ServerSilent as silent:
        scene.finding.figures[name] = "never"
        scene.finding.must(f"{name.replace('_', ' ')} ≤ {limit_s:g} s ({silent})", holds=False)


# -- the server ---------------------------------------------------------------------------------------------------


async def server_killed(rig: Rig, size: Size) -> Finding:
    """kill -9 while callers are in menu, queue and talk; started anew after a while."""
    finding = Finding("server-killed", "The server is killed (SIGKILL), and started anew")
    async with _under_load(rig, size, finding) as scene:
        await rig.server.kill()
        await asyncio.sleep(size.fault_s)
        finding.figures["start_s"] = round(await rig.start_server(), 2)
        await _right(scene, 5.0)
    _nobody_dropped(scene)
    _everybody_served(scene)
    _queued_within(scene, 1.0)
    await _logged_once(scene)
    return finding


async def server_frozen(rig: Rig, size: Size) -> Finding:
    """SIGSTOP, and SIGCONT later: the kernel accepts calls for it, and nobody answers them."""
    finding = Finding("server-frozen", f"The server hangs (SIGSTOP) for {size.fault_s:g} s, then goes on")
    async with _under_load(rig, size, finding) as scene:
        rig.server.freeze()
        await asyncio.sleep(size.fault_s)
        rig.server.thaw()
        await _right(scene, 5.0)
    _nobody_dropped(scene)
    _everybody_served(scene)
    _joined_once(scene)
    rang_frozen = [s for s in scene.stories() if scene.at <= s.rang_at < scene.at + size.fault_s - 1.5]
    waits = [s.fallbacks[0][0] - s.rang_at if s.fallbacks else None for s in rang_frozen]
    if rang_frozen:
        worst = None if None in waits else max(wait for wait in waits if wait is not None)
        finding.at_most("new_caller_to_fallback_worst_s", worst, 2.0)
    hung = [s.fallbacks[0][0] - scene.at for s in scene.in_menu() if s.fallbacks]
    # The longest that is ever played in one piece, and three seconds more (see explanation/reliability).
    finding.at_most("menu_to_fallback_worst_s", max(hung, default=0.0), 12.0)
    await _logged_once(scene)
    return finding


async def host_gone(rig: Rig, size: Size) -> Finding:
    """The server's host is gone: packets to its FastAGI port vanish."""
    finding = Finding("host-gone", "The server's host is gone: what is sent to it vanishes")
    await rig.server.kill()
    async with gone(rig.agi_port):
        began = time.time()
        async with rig.calling(3, per_s=size.per_s, hold_s=8.0) as callers:
            await callers.done(8.0 + _TO_THE_END_S)
        await rig.quiet()
    stories = rig.ear.stories.of(callers.load.numbers)
    waits = [story.fallbacks[0][0] - story.rang_at if story.fallbacks else None for story in stories]
    worst = None if None in waits else max((wait for wait in waits if wait is not None), default=None)
    finding.at_most("ring_to_fallback_worst_s", worst, 2.5)
    await rig.start_server()
    scene = Scene(rig, callers, finding, began, {})
    await _right(scene, 5.0)
    _everybody_served(scene)
    await _logged_once(scene)
    return finding


async def server_ended(rig: Rig, size: Size) -> Finding:
    """SIGTERM: callers in the menu finish or are handed over, new ones are refused politely."""
    finding = Finding("server-ended", "The server is asked to end (SIGTERM), and started anew")
    async with _under_load(rig, size, finding) as scene:
        began = time.monotonic()
        await rig.server.terminate(25.0)
        finding.at_most("end_s", time.monotonic() - began, 20.0)
        finding.figures["start_s"] = round(await rig.start_server(), 2)
        await _right(scene, 5.0)
    _nobody_dropped(scene)
    _everybody_served(scene)
    _queued_within(scene, 12.0)
    new = [s for s in scene.stories() if scene.at + 0.5 < s.rang_at < scene.at + 1.5]
    waits = [s.fallbacks[0][0] - s.rang_at if s.fallbacks else None for s in new]
    if new:
        worst = None if None in waits else max(wait for wait in waits if wait is not None)
        finding.at_most("new_caller_to_fallback_worst_s", worst, 1.0)
    await _logged_once(scene)
    return finding


# -- the line to the PBX ------------------------------------------------------------------------------------------


async def line_reset(rig: Rig, size: Size) -> Finding:
    """The manager connection breaks again and again."""
    finding = Finding("line-reset", f"The manager connection breaks every 5 s, for {size.fault_s:g} s")
    took: list[float] = []
    async with _under_load(rig, size, finding) as scene:
        until = time.monotonic() + size.fault_s
        while not took or time.monotonic() < until:
            rig.cut.reset()
            began = time.monotonic()
            await _noticed(rig, up=False, within_s=5.0)
            await _noticed(rig, up=True, within_s=15.0)
            took.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, min(5.0, until - time.monotonic()) - took[-1]))
        await _right(scene, 5.0)
    finding.figures["breaks"] = len(took)
    finding.at_most("resynchronised_worst_s", max(took), 3.0)
    _nobody_dropped(scene)
    _everybody_served(scene)
    _joined_once(scene)
    await _logged_once(scene)
    return finding


async def line_frozen(rig: Rig, size: Size) -> Finding:
    """The manager connection is half-open: it stands, and nothing passes."""
    finding = Finding("line-frozen", "The manager connection is half-open: it stands, and nothing passes")
    async with _under_load(rig, size, finding) as scene:
        rig.cut.freeze()
        began = time.monotonic()
        await _noticed(rig, up=False, within_s=15.0)
        finding.at_most("noticed_s", time.monotonic() - began, 5.0)
        rig.cut.reset()
        rig.cut.thaw()
        began = time.monotonic()
        await _noticed(rig, up=True, within_s=15.0)
        finding.at_most("resynchronised_s", time.monotonic() - began, 3.0)
        await _right(scene, 5.0)
    _nobody_dropped(scene)
    _everybody_served(scene)
    await _logged_once(scene)
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


# -- the PBX ------------------------------------------------------------------------------------------------------


async def pbx_killed(rig: Rig, size: Size) -> Finding:
    """kill -9 of Asterisk with calls, and a restart."""
    finding = Finding("pbx-killed", "Asterisk is killed (SIGKILL) with calls on it, and started anew")
    async with rig.calling(size.calls, per_s=size.per_s, hold_s=size.hold_s) as callers:
        before = await rig.everywhere(callers)
        scene = Scene(rig, callers, finding, time.time(), before)
        await rig.pbx.kill()
        await rig.ear.pbx_died()
    finding.figures["callers"] = len(before)
    await rig.pbx.restart()
    booted = time.monotonic()
    numbers = [story.number for story in scene.stories()]
    ended: dict[str, object] = {}
    while time.monotonic() < booted + 20.0:
        entries = await rig.entries(numbers)
        ended = {n: e.detail.get("ended") for n, found in entries.items() for e in found if e.complete}
        if len(ended) == len(numbers):
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    finding.at_most("calls_ended_s", time.monotonic() - booted if len(ended) == len(numbers) else None, 5.0)
    finding.none("calls_not_ended_as_pbx_restarted", sorted(n for n in numbers if ended.get(n) != "pbx_restarted"))
    await _right(scene, 5.0, "agents_back_after_s")
    async with rig.calling(2, per_s=1.0, hold_s=10.0) as callers:
        await callers.done(_TO_THE_END_S)
    await rig.quiet()
    after = rig.ear.stories.of(callers.load.numbers)
    finding.none("callers_without_an_agent_afterwards", [s.number for s in after if not s.agents])
    await _logged_once(scene)
    return finding


# -- the database -------------------------------------------------------------------------------------------------


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
    async with _under_load(rig, size, finding) as scene:
        with trouble():
            await asyncio.sleep(size.fault_s)
        finding.must("the server lives on", process.alive)
        await _right(scene, 5.0)
    finding.must("the server is the same process", process.alive and rig.server.process == process)
    _nobody_dropped(scene)
    _everybody_served(scene)
    await _logged_once(scene, within_s=30.0)
    with contextlib.closing(sqlite3.connect(rig.database_url.removeprefix("sqlite:///"))) as other:
        (verdict,) = other.execute("PRAGMA integrity_check").fetchone()
    finding.must(f"integrity check: {verdict}", verdict == "ok")
    return finding


# -- callers ------------------------------------------------------------------------------------------------------


async def rush(rig: Rig, size: Size) -> Finding:
    """Far more callers than agents, and nothing broken."""
    finding = Finding("rush", f"{size.calls} callers in {size.calls / size.per_s:.0f} s on {len(rig.phones)} agents")
    began = time.time()
    async with rig.calling(size.calls, per_s=size.per_s, hold_s=size.hold_s) as callers:
        fates = await callers.done(size.calls / size.per_s + size.hold_s + _TO_THE_END_S)
    await rig.quiet()
    scene = Scene(rig, callers, finding, began, {})
    stories = scene.stories()
    finding.figures["callers"] = len(fates)
    finding.none("calls_that_sipp_counts_as_failed", [n for n, fate in fates.items() if fate == "failed"])
    finding.none("calls_that_the_pbx_did_not_see", sorted(set(fates) - {story.number for story in stories}))
    finding.figures["reached_an_agent"] = sum(1 for story in stories if story.agents)
    finding.figures["waited_till_they_gave_up"] = sum(1 for s in stories if s.queues and not s.agents)
    _everybody_served(scene)
    answers = [None if s.answered_at is None else s.answered_at - s.rang_at for s in stories]
    worst = None if None in answers else max(one for one in answers if one is not None)
    finding.at_most("ring_to_answer_worst_s", worst, 6.0)
    with_cdr = _cdr_callers(rig.pbx.cdr_path) & set(fates)
    finding.none("calls_without_a_cdr", sorted(set(fates) - with_cdr))
    await _logged_once(scene)
    return finding


def _cdr_callers(path: Path) -> set[str]:
    if not path.exists():
        return set()
    return {line.split(",")[2].strip('"') for line in path.read_text(encoding="utf-8").splitlines()}


#: By the name that ``--fault`` takes, in the order in which they are run.
FAULTS: Mapping[str, Callable[[Rig, Size], Awaitable[Finding]]] = {
    "server-killed": server_killed,
    "server-frozen": server_frozen,
    "host-gone": host_gone,
    "server-ended": server_ended,
    "line-reset": line_reset,
    "line-frozen": line_frozen,
    "pbx-killed": pbx_killed,
    "database-locked": database_locked,
    "disk-full": disk_full,
    "rush": rush,
}
