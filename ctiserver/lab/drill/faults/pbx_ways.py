"""Every planned way of ending, changing or replacing an Asterisk: its console, a signal, an upgrade."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from ctiserver.lab.drill.console import ServerSilent
from ctiserver.lab.drill.faults.pbx import all_on_the_line
from ctiserver.lab.drill.finding import Finding
from ctiserver.lab.drill.rig import Rig
from ctiserver.lab.drill.scene import (
    LOOK_EVERY_S,
    TO_THE_END_S,
    Scene,
    Size,
    everybody_served,
    joined_once,
    logged_once,
    nobody_dropped,
    right,
    under_load,
)
from ctiserver.pbx.trouble import TroubleKind

_ENDS_WITHIN_S, _BACK_WITHIN_S = 60.0, 30.0
_SHOWN_WITHIN_S = 15.0
#: A version with known security holes, as Asterisk would write it.
_OLD = b"20.18.1"


@dataclass(frozen=True, slots=True)
class _Way:
    """How Asterisk is ended, and what that does to its calls."""

    fault: str
    what: str
    end: Callable[[Rig], None]
    comes_back: bool = False  #: by itself
    waits: bool = False  #: until its calls are over
    refuses: bool = False  #: anyone who calls meanwhile, and every order


def _console(command: str) -> Callable[[Rig], None]:
    return lambda rig: rig.pbx.order(command)


async def pbx_stopped(rig: Rig, size: Size) -> Finding:
    """`core stop gracefully` with calls on it, and a start."""
    what = "Asterisk is told to stop when its calls are over (core stop gracefully), and started again"
    return await _ended(
        rig, size, _Way("pbx-stopped", what, _console("core stop gracefully"), waits=True, refuses=True)
    )


async def pbx_restarted(rig: Rig, size: Size) -> Finding:
    """`core restart now` with calls on it."""
    what = "Asterisk restarts at once (core restart now) with calls on it"
    return await _ended(rig, size, _Way("pbx-restarted", what, _console("core restart now"), comes_back=True))


async def pbx_stopped_now(rig: Rig, size: Size) -> Finding:
    """`core stop now` with calls on it, and a start."""
    what = "Asterisk stops at once (core stop now) with calls on it, and is started again"
    return await _ended(rig, size, _Way("pbx-stopped-now", what, _console("core stop now")))


async def pbx_stopped_when_convenient(rig: Rig, size: Size) -> Finding:
    """`core stop when convenient` with calls on it, and a start."""
    what = "Asterisk is told to stop when it has no calls (core stop when convenient), and started again"
    way = _Way("pbx-stopped-when-convenient", what, _console("core stop when convenient"), waits=True)
    return await _ended(rig, size, way)


async def pbx_restarted_gracefully(rig: Rig, size: Size) -> Finding:
    """`core restart gracefully` with calls on it."""
    what = "Asterisk restarts when its calls are over (core restart gracefully)"
    command = _console("core restart gracefully")
    return await _ended(
        rig, size, _Way("pbx-restarted-gracefully", what, command, comes_back=True, waits=True, refuses=True)
    )


async def pbx_restarted_when_convenient(rig: Rig, size: Size) -> Finding:
    """`core restart when convenient` with calls on it."""
    what = "Asterisk restarts when it has no calls (core restart when convenient)"
    command = _console("core restart when convenient")
    way = _Way("pbx-restarted-when-convenient", what, command, comes_back=True, waits=True)
    return await _ended(rig, size, way)


async def pbx_terminated(rig: Rig, size: Size) -> Finding:
    """SIGTERM to Asterisk with calls on it, and a start."""
    what = "Asterisk is asked to end (SIGTERM) with calls on it, and started again"
    return await _ended(rig, size, _Way("pbx-terminated", what, lambda rig: rig.pbx.send(signal.SIGTERM)))


async def _ended(rig: Rig, size: Size, way: _Way) -> Finding:
    """End Asterisk while some are in the menu, some in the queue, and some talk; and see to its coming back."""
    finding, process = Finding(way.fault, way.what), rig.server.running
    booted = len(rig.ear.booted)
    if way.waits:
        async with under_load(rig, size, finding) as scene:
            await rig.all_called(scene.callers)
            scene.at = time.time()
            way.end(rig)
            if way.refuses:
                await _shown(rig, finding, "stopping")
        nobody_dropped(scene)
    else:
        async with AsyncExitStack() as stack:  # their telephones are not waited for: their calls end with Asterisk
            scene = await all_on_the_line(rig, size, finding, stack)
            way.end(rig)
            await (_booted(rig, booted) if way.comes_back else rig.pbx.ended(_ENDS_WITHIN_S))
            await rig.ear.pbx_died()
    if way.comes_back:
        await _booted(rig, booted)
    else:
        await rig.pbx.ended(_ENDS_WITHIN_S)
        finding.must("the server lives on without its PBX", process.alive)
        await rig.pbx.restart()
    await _works_again(rig, finding, scene)
    finding.must("the server is the same process", process.alive and rig.server.process == process)
    return finding


async def pbx_reloaded(rig: Rig, size: Size) -> Finding:
    """Everything that can be is reloaded, with calls on it."""
    finding = Finding("pbx-reloaded", "Asterisk reloads everything, then its modules one by one, with calls on it")
    connections = rig.cut.connections
    async with under_load(rig, size, finding) as scene:
        for command in (
            *("core reload", "manager reload", "dialplan reload", "queue reload all"),
            *("module reload app_queue.so", "module reload res_pjsip.so", "module reload res_musiconhold.so"),
        ):
            await rig.pbx.cli(command)
        await right(scene, 5.0)
    finding.must("the manager connection stood", rig.cut.connections == connections)
    nobody_dropped(scene)
    everybody_served(scene)
    joined_once(scene)
    await logged_once(scene)
    return finding


async def queues_unloaded(rig: Rig, size: Size) -> Finding:
    """The module app_queue is unloaded between calls, and loaded again."""
    finding = Finding("queues-unloaded", "app_queue is unloaded between calls, and loaded again")
    async with under_load(rig, size, finding) as scene:
        finding.figures["unloaded_with_calls"] = (await rig.pbx.cli("module unload app_queue.so")).partition("\n")[0]
    nobody_dropped(scene)
    everybody_served(scene)
    process = rig.server.running
    await rig.pbx.cli("module unload app_queue.so")
    await _shown(rig, finding, "no_queues")
    await rig.pbx.cli("module load app_queue.so")
    await _works_again(rig, finding, scene)
    finding.must("the server is the same process", process.alive and rig.server.process == process)
    return finding


async def pbx_exchanged(rig: Rig, size: Size) -> Finding:
    """Asterisk is restarted with a version too old, then with a good one."""
    finding = Finding(
        "pbx-exchanged", f"Asterisk {_OLD.decode()}, which is too old, is started in its place, then a good one"
    )
    process = rig.server.running
    async with AsyncExitStack() as stack:
        scene = await all_on_the_line(rig, size, finding, stack)
        await rig.pbx.kill()
        await rig.ear.pbx_died()
    rig.cut.version = _OLD
    try:
        await rig.pbx.restart()
        await _shown(rig, finding, "too_old")
        await _works_again(rig, finding, scene)
    finally:
        rig.cut.version = b""
    await rig.pbx.restart()
    await _shown(rig, finding, None)
    finding.must("the server is the same process", process.alive and rig.server.process == process)
    return finding


async def _shown(rig: Rig, finding: Finding, trouble: TroubleKind | None) -> None:
    """Every desk and /readyz say what is wrong with the PBX."""
    until = time.monotonic() + _SHOWN_WITHIN_S
    seen: set[object] = set()
    while time.monotonic() < until and seen != {trouble}:
        await asyncio.sleep(LOOK_EVERY_S)
        seen = {one["pbx_trouble"] for one in await rig.agents()}
        ready = await rig.server.console.get("/readyz")
        assert isinstance(ready, dict)
        pbxs = ready["pbxs"]
        assert isinstance(pbxs, dict)
        for one in pbxs.values():
            assert isinstance(one, dict)
            seen.add(one["trouble"])
    what = "no trouble any more" if trouble is None else f"the trouble {trouble}"
    finding.must(f"every desk and /readyz show {what}", seen == {trouble})


async def _booted(rig: Rig, before: int) -> None:
    """Wait until Asterisk has booted again by itself. Raises ServerSilent."""
    until = time.monotonic() + _BACK_WITHIN_S
    while len(rig.ear.booted) <= before:
        if time.monotonic() > until:
            raise ServerSilent(f"Asterisk did not come back by itself within {_BACK_WITHIN_S:.0f} s")
        await asyncio.sleep(LOOK_EVERY_S)


async def _works_again(rig: Rig, finding: Finding, scene: Scene) -> None:
    """Agents are where they were, new callers reach them, and every call is in the log once."""
    await right(scene, 10.0, "agents_back_after_s")
    async with rig.calling(2, per_s=1.0, hold_s=8.0) as callers:
        await callers.done(TO_THE_END_S)
    await rig.quiet()
    reached = {story.number for story in rig.ear.stories.of(callers.load.numbers) if story.agents}
    finding.none("callers_without_an_agent_afterwards", sorted(set(callers.load.numbers) - reached))
    await logged_once(scene)
