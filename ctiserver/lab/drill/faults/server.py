"""The server is killed, stopped, cut off, or asked to end."""

from __future__ import annotations

import asyncio
import random
import time

from ctiserver.lab.drill.finding import Finding
from ctiserver.lab.drill.proxy import gone
from ctiserver.lab.drill.rig import Rig
from ctiserver.lab.drill.scene import (
    TO_THE_END_S,
    Scene,
    Size,
    accounted_for,
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

#: The longest that is ever played in one piece, and three seconds more (docs/how-to/drill.md).
_MENU_TO_FALLBACK_S = 12.0
#: How often a server that is being started is killed too.
_WHILE_IT_STARTS = 0.3


async def server_killed(rig: Rig, size: Size) -> Finding:
    """kill -9 while callers are in menu, queue and talk; restarted after a while."""
    finding = Finding("server-killed", "The server is killed (SIGKILL), and restarted")
    async with under_load(rig, size, finding) as scene:
        await rig.server.kill()
        async with latecomers(scene):
            await asyncio.sleep(size.fault_s)
            finding.figures["start_s"] = round(await rig.start_server(), 2)
            async with rig.calling(1, per_s=1.0, hold_s=3.0) as first:  # while it still catches up
                await right(scene, 5.0)
                await first.done(3.0 + TO_THE_END_S)
    fallbacks = [story.fallbacks for story in rig.ear.stories.of(first.load.numbers)]
    finding.must("the first caller after the start is in the menu", fallbacks == [[]])
    nobody_dropped(scene)
    everybody_served(scene)
    queued_within(scene, 1.0)
    fell_back(scene, 1.0, "FAILURE")
    await logged_once(scene)
    await accounted_for(scene)
    return finding


async def server_killed_often(rig: Rig, size: Size) -> Finding:
    """kill -9 at random instants, again and again, while callers come and go; some of them while it starts."""
    finding = Finding("server-killed-often", f"The server is killed {size.kills} times at random instants")
    numbers: list[str] = []
    killed: list[float] = []
    took: list[float] = []
    starting = 0
    while len(killed) < size.kills:
        async with rig.calling(size.calls, per_s=size.per_s, hold_s=size.hold_s) as callers:
            numbers += callers.load.numbers
            while len(killed) < size.kills and callers.process.alive:
                await asyncio.sleep(random.uniform(0.1, 3.0))  # noqa: S311 - an instant, not a secret
                killed.append(time.time())
                await rig.server.kill()
                if len(killed) < size.kills and random.random() < _WHILE_IT_STARTS:  # noqa: S311
                    rig.server.spawn()
                    await asyncio.sleep(random.uniform(0.0, 4.0))  # noqa: S311
                    killed.append(time.time())
                    starting += 1
                    await rig.server.kill()
                await rig.start_server()
                took.append(await rig.right())
            await callers.done(size.calls / size.per_s + size.hold_s + TO_THE_END_S)
        await rig.quiet()
    scene = Scene(rig, callers, finding, killed[0], numbers)
    stories = scene.stories()
    then = [(story, at, story.stage(at)) for story in stories for at in killed]
    finding.figures |= {"kills": len(killed), "kills_while_it_started": starting, "callers": len(stories)}
    finding.figures["kills_that_callers_lived_through"] = sum(1 for *_, stage in then if stage != "gone")
    hurt = [story.number for story, _, stage in then if stage in ("queue", "talk") and story.ended_by != "caller"]
    finding.none("dropped_in_queue_or_talk", hurt)
    # Who hangs up within the second that is allowed was not let down.
    waits = [
        story.queued_after(at)
        for story, at, stage in then
        if stage == "menu" and (story.ended_at is None or story.ended_at > at + 1.0)
    ]
    finding.worst_at_most("menu_to_queue_worst_s", waits, 1.0, of_none=0.0)
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
    _fell_back_from_the_menu(scene, size)
    await logged_once(scene)
    return finding


def _fell_back_from_the_menu(scene: Scene, size: Size) -> None:
    """Those whom the server was talking with when it hung. Who hung up or was queued by then had no need to."""
    fell = [story.fallbacks[0][0] - scene.at for story in scene.in_menu() if story.fallbacks]
    scene.finding.figures["fell_back_from_the_menu"] = len(fell)
    if size.fault_s <= _MENU_TO_FALLBACK_S:
        scene.finding.held.append(f"menu to fallback: not measured in less than {_MENU_TO_FALLBACK_S:g} s")
        return
    stuck = [
        story.number
        for story in scene.in_menu()
        if not story.fallbacks and story.stage(scene.at + _MENU_TO_FALLBACK_S) == "menu"
    ]
    scene.finding.none("callers_stuck_in_the_menu", stuck)
    scene.finding.at_most("menu_to_fallback_worst_s", max(fell, default=None), _MENU_TO_FALLBACK_S)


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
    finding.worst_at_most("ring_to_fallback_worst_s", waits, 2.5)
    await rig.start_server()
    scene = Scene(rig, callers, finding, began)
    await right(scene, 5.0)
    everybody_served(scene)
    await logged_once(scene)
    return finding


async def server_ended(rig: Rig, size: Size) -> Finding:
    """SIGTERM: callers in the menu finish or are handed over, new ones are refused politely."""
    finding = Finding("server-ended", "The server is asked to end (SIGTERM), and restarted")
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
