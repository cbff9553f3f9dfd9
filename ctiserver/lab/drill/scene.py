"""A fault in the middle of calls, and what must hold of the callers whatever the fault was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from ctiserver.lab.drill.console import ServerSilent
from ctiserver.lab.drill.finding import Finding
from ctiserver.lab.drill.rig import Rig
from ctiserver.lab.drill.sipp import Callers
from ctiserver.lab.drill.stories import Story
from ctiserver.lab.drill.witness import NotSeen

LOOK_EVERY_S = 0.05
#: SIPp's own time for retransmissions and good-byes, beyond what a call lasts.
TO_THE_END_S = 60.0
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Size:
    """How many call, how fast, for how long each; and how long a fault that has a length lasts."""

    calls: int = 8
    per_s: float = 1.5
    hold_s: float = 18.0
    fault_s: float = 4.0
    kills: int = 3


@dataclass
class Scene:
    """A fault in the middle of calls."""

    rig: Rig
    callers: Callers
    finding: Finding
    at: float  #: when the fault began, on the PBX's clock
    late: list[str] = field(default_factory=list)  #: those who called while the fault was on

    def stories(self) -> list[Story]:
        """Every caller's of this fault."""
        return self.rig.ear.stories.of([*self.callers.load.numbers, *self.late])

    def latecomers(self) -> list[Story]:
        """The stories of those who called while the fault was on."""
        return self.rig.ear.stories.of(self.late)

    def in_menu(self) -> list[Story]:
        """Those whom the server was talking with."""
        return [story for story in self.stories() if story.stage(self.at) == "menu"]

    def spared(self) -> list[Story]:
        """Those who waited or talked: the server was not needed for them."""
        return [story for story in self.stories() if story.stage(self.at) in ("queue", "talk")]


async def callers_everywhere(rig: Rig, size: Size, stack: AsyncExitStack) -> Callers:
    """Callers of whom some are in the menu, some in the queue, and some talk. On a machine that is busy with others the
    first may have hung up before the last has called: then other callers try."""
    for attempt in range(_ATTEMPTS):
        calling = rig.calling(size.calls, per_s=size.per_s, hold_s=size.hold_s)
        callers = await calling.__aenter__()
        try:
            await rig.everywhere(callers, within_s=size.calls / size.per_s + size.hold_s)
        except BaseException as error:
            await calling.__aexit__(type(error), error, error.__traceback__)
            if not isinstance(error, NotSeen) or attempt == _ATTEMPTS - 1:
                raise
            await rig.quiet()
        else:
            stack.push_async_exit(calling)
            return callers
    raise AssertionError("unreachable")


@asynccontextmanager
async def under_load(rig: Rig, size: Size, finding: Finding) -> AsyncIterator[Scene]:
    """Calls in menu, queue and talk; the block does the harm and mends it. Then: what everybody got."""
    async with AsyncExitStack() as stack:
        callers = await callers_everywhere(rig, size, stack)
        scene = Scene(rig, callers, finding, time.time())
        yield scene
        fates = await callers.done(size.calls / size.per_s + size.hold_s + TO_THE_END_S)
    await rig.quiet()
    finding.figures["callers"] = len(fates)
    none_failed(finding, fates)
    then = [story.stage(scene.at) for story in scene.stories()]
    finding.figures |= {"in_menu_then": then.count("menu"), "in_queue_then": then.count("queue")}
    finding.figures["in_talk_then"] = then.count("talk")


@asynccontextmanager
async def latecomers(scene: Scene, count: int = 2, *, per_s: float = 4.0) -> AsyncIterator[None]:
    """Callers who begin to call now; the block has ended when they have hung up."""
    async with scene.rig.calling(count, per_s=per_s, hold_s=8.0) as callers:
        scene.late += callers.load.numbers
        yield
        await callers.done(count / per_s + 8.0 + TO_THE_END_S)


def fell_back(scene: Scene, limit_s: float, why: str) -> None:
    """Latecomers were given to the dialplan's fallback, in time and for this reason."""
    stories = scene.latecomers()
    waits = [story.fallbacks[0][0] - story.rang_at if story.fallbacks else None for story in stories]
    scene.finding.worst_at_most("new_caller_to_fallback_worst_s", waits, limit_s)
    other = [reason for story in stories for _, reason in story.fallbacks if reason != why]
    scene.finding.none(f"new_callers_who_fell_back_for_another_reason_than_{why}", other)


def none_failed(finding: Finding, fates: Mapping[str, str]) -> None:
    """``fates``: as SIPp tells."""
    finding.none("calls_that_sipp_counts_as_failed", [number for number, fate in fates.items() if fate == "failed"])


def served_meanwhile(finding: Finding, stories: Sequence[Story], begin: float, end: float) -> None:
    """Somebody called in this time, and anyone who did was served by the server, not by the dialplan's fallback."""
    meanwhile = [story for story in stories if begin <= story.rang_at < end]
    finding.figures["callers_who_called_meanwhile"] = len(meanwhile)
    finding.must("somebody called meanwhile", bool(meanwhile))
    finding.none("callers_whom_the_server_could_not_serve", [story.number for story in meanwhile if story.fallbacks])


def nobody_dropped(scene: Scene) -> None:
    dropped = [story.number for story in scene.spared() if story.ended_by != "caller"]
    scene.finding.none("dropped_in_queue_or_talk", dropped)


def everybody_served(scene: Scene) -> None:
    unserved = [story.number for story in scene.stories() if not story.served_after(story.rang_at)]
    scene.finding.none("callers_never_served", unserved)


def queued_within(scene: Scene, limit_s: float) -> None:
    """How long those in the menu took to a queue (or an agent) from the fault on."""
    waits = [story.queued_after(scene.at) for story in scene.in_menu()]
    scene.finding.worst_at_most("menu_to_queue_worst_s", waits, limit_s, of_none=0.0)


def joined_once(scene: Scene) -> None:
    twice = [story.number for story in scene.stories() if len(story.queues) > 1]
    scene.finding.none("callers_queued_twice", twice)


async def logged_once(scene: Scene, within_s: float = 20.0) -> None:
    """Every call has one entry, ended."""
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
        await asyncio.sleep(LOOK_EVERY_S)
    finding.figures["calls_logged"] = sum(map(len, entries.values()))
    finding.none("calls_not_logged_once", wrong)


async def right(scene: Scene, limit_s: float, name: str = "state_right_after_s") -> None:
    try:
        scene.finding.at_most(name, await scene.rig.right(limit_s + 10.0), limit_s)
    except ServerSilent as silent:
        scene.finding.figures[name] = "never"
        scene.finding.must(f"{name.replace('_', ' ')} ≤ {limit_s:g} s ({silent})", holds=False)


async def accounted_for(scene: Scene, within_s: float = 45.0) -> None:
    """Every call has a record or a reason for none; what the PBX did alone is taken over every half minute."""
    numbers = [story.number for story in scene.stories()]
    deadline = time.monotonic() + within_s
    while (found := await scene.rig.unaccounted(numbers)) and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_EVERY_S)
    scene.finding.none("calls_without_record_or_reason", found)
