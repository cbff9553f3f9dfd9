"""Nothing breaks: there are many callers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctiserver.lab.drill.ears import Ear
from ctiserver.lab.drill.finding import Finding
from ctiserver.lab.drill.rig import Rig
from ctiserver.lab.drill.scene import (
    LOOK_EVERY_S,
    TO_THE_END_S,
    Scene,
    Size,
    everybody_served,
    logged_once,
    none_failed,
)

#: How many of many callers listen: what they hear goes through our own loop, fifty packets a second each.
_LISTENERS = 12
#: Until caches are full and the heap is as wide as the busiest moments need it. Slopes are of what follows.
_WARM_UP_S = 900


async def rush(rig: Rig, size: Size) -> Finding:
    """Far more callers than agents, and nothing broken."""
    finding = Finding("rush", f"{size.calls} callers in {size.calls / size.per_s:.0f} s on {len(rig.phones)} agents")
    await _counted(await _called(rig, size, finding, size.calls))
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
        called = await _called(rig, size, finding, calls)
        scales.cancel()  # what is left to be done afterwards is not a part of the load
    await _counted(called)
    finding.figures["cpu_ms_a_call"] = round(1000 * (rig.server.cpu_s() - cpu_s) / calls, 1)
    finding.figures["memory_mb_at_the_end"] = round(sizes[-1][1], 1)
    warm = [one for one in sizes if one[0] > sizes[0][0] + _WARM_UP_S]
    if len(warm) > _WARM_UP_S:  # a slope of less says nothing
        finding.figures["memory_mb_after_warm_up"] = round(warm[0][1], 1)
        finding.at_most("memory_mb_a_week_by_slope", _slope(warm) * 7 * 86_400, 100.0, unit="MB")
    else:
        finding.held.append(f"memory: not measured in less than {2 * _WARM_UP_S / 60:.0f} minutes")
    return finding


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line through the points, by least squares."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


@dataclass(frozen=True, slots=True)
class _Called:
    """Callers whose calls are over, as SIPp tells, and what some of them heard."""

    scene: Scene
    fates: Mapping[str, str]
    heard: Mapping[str, Ear]


async def _called(rig: Rig, size: Size, finding: Finding, calls: int) -> _Called:
    """So many callers, of whom some listen, until the last has hung up."""
    began, listeners = time.time(), max(1, min(_LISTENERS, calls // 5))
    within_s = calls / size.per_s + size.hold_s + TO_THE_END_S
    async with (
        rig.calling(calls - listeners, per_s=size.per_s, hold_s=size.hold_s) as callers,
        rig.listening(listeners, per_s=size.per_s * listeners / calls, hold_s=size.hold_s) as (listening, heard),
    ):
        fates = await callers.done(within_s) | await listening.done(within_s)
    return _Called(Scene(rig, callers, finding, began, list(heard)), fates, heard)


async def _counted(called: _Called) -> None:
    """What SIPp, the PBX, our log and the CDRs must count alike, and what happened to everybody."""
    scene, fates, heard = called.scene, called.fates, called.heard
    rig, finding = scene.rig, scene.finding
    await rig.quiet()
    stories = scene.stories()
    finding.figures["callers"] = len(fates)
    none_failed(finding, fates)
    finding.none("calls_that_the_pbx_did_not_see", sorted(set(fates) - {story.number for story in stories}))
    finding.none("calls_without_a_cdr", sorted(set(fates) - _cdr_callers(rig.pbx.cdr_path)))
    everybody_served(scene)
    answers = [None if s.answered_at is None else s.answered_at - s.rang_at for s in stories]
    finding.worst_at_most("ring_to_answer_worst_s", answers, 6.0)
    finding.none("talks_cut_off", [story.number for story in stories if story.agents and story.ended_by != "caller"])
    silences = [(*heard[story.number].longest_silence(story), story) for story in scene.latecomers()]
    finding.figures["callers_who_listened"] = len(silences)
    worst_s, at, story = max(silences, key=lambda one: one[0], default=(None, 0.0, None))
    finding.at_most("silence_worst_s", worst_s, 6.0)
    if story is not None:
        finding.figures["silence_worst_of"] = (
            f"{story.number} in {story.stage(at)}, {at - story.rang_at:.1f} s from the ring"
        )
    await logged_once(scene)
    await _what_became_of_them(scene)


async def _what_became_of_them(scene: Scene, within_s: float = 30.0) -> None:
    """Everybody talked with an agent, left a message, or is to be called back."""
    rig, finding, stories = scene.rig, scene.finding, scene.stories()
    reached = {story.number for story in stories if story.agents}
    messages = {s.number for s in stories if any(stage == "message" for _, stage in s.stages)} - reached
    owed = {story.number for story in stories} - reached - messages
    deadline = time.monotonic() + within_s
    while (missing := owed - await rig.to_be_called_back(sorted(owed))) and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_EVERY_S)
    finding.figures |= {
        "reached_an_agent": len(reached),
        "left_a_message": len(messages),
        "to_be_called_back": len(owed - missing),
    }
    finding.none("callers_of_whom_nobody_takes_care", sorted(missing))


def _cdr_callers(path: Path) -> set[str]:
    if not path.exists():
        return set()
    return {line.split(",")[2].strip('"') for line in path.read_text(encoding="utf-8", errors="replace").splitlines()}
