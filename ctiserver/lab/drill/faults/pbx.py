"""Asterisk is killed, alone or with the server."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from ctiserver.lab.drill.finding import Finding
from ctiserver.lab.drill.rig import Rig
from ctiserver.lab.drill.scene import LOOK_EVERY_S, TO_THE_END_S, Scene, Size, callers_everywhere, logged_once, right


async def pbx_killed(rig: Rig, size: Size) -> Finding:
    """kill -9 of Asterisk with calls, and a restart."""
    finding = Finding("pbx-killed", "Asterisk is killed (SIGKILL) with calls on it, and restarted")
    async with AsyncExitStack() as stack:
        scene = await all_on_the_line(rig, size, finding, stack)
        await rig.pbx.kill()
        await rig.ear.pbx_died()
    await rig.pbx.restart()
    await _mended(scene)
    return finding


async def both_killed(rig: Rig, size: Size) -> Finding:
    """kill -9 of Asterisk and the server in the same moment, with calls; both are restarted."""
    finding = Finding("both-killed", "Asterisk and the server are killed (SIGKILL) at once, and restarted")
    async with AsyncExitStack() as stack:
        scene = await all_on_the_line(rig, size, finding, stack)
        await rig.server.kill()
        await rig.pbx.kill()
        await rig.ear.pbx_died()
    await rig.pbx.restart()
    finding.figures["start_s"] = round(await rig.start_server(), 2)
    await _mended(scene)
    return finding


async def all_on_the_line(rig: Rig, size: Size, finding: Finding, stack: AsyncExitStack) -> Scene:
    """Every caller has called, and some are in the menu, some in the queue, and some talk."""
    callers = await callers_everywhere(rig, size, stack)
    await rig.all_called(callers)
    scene = Scene(rig, callers, finding, time.time())
    finding.figures["calls_then"] = len(rig.ear.stories.alive(scene.at))
    return scene


async def _mended(scene: Scene) -> None:
    """What must hold once both are there again: calls are over and say why, agents are back, callers reach them."""
    rig, finding = scene.rig, scene.finding
    began = time.monotonic()
    numbers = [story.number for story in scene.stories()]
    finding.figures["callers"] = len(numbers)
    ended: dict[str, object] = {}
    while time.monotonic() < began + 20.0:
        entries = await rig.entries(numbers)
        ended = {n: e.detail.get("ended") for n, found in entries.items() for e in found if e.complete}
        if len(ended) == len(numbers):
            break
        await asyncio.sleep(LOOK_EVERY_S)
    finding.at_most("calls_ended_s", time.monotonic() - began if len(ended) == len(numbers) else None, 5.0)
    finding.none("calls_not_ended_as_pbx_restarted", sorted(n for n in numbers if ended.get(n) != "pbx_restarted"))
    await right(scene, 5.0, "agents_back_after_s")
    async with rig.calling(2, per_s=1.0, hold_s=10.0) as callers:
        await callers.done(TO_THE_END_S)
    await rig.quiet()
    reached = {story.number for story in rig.ear.stories.of(callers.load.numbers) if story.agents}
    finding.none("callers_without_an_agent_afterwards", sorted(set(callers.load.numbers) - reached))
    await logged_once(scene)
