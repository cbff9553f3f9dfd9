"""The line to the PBX's manager interface breaks, or stands and carries nothing."""

from __future__ import annotations

import asyncio
import time

from ctiserver.lab.drill.console import ServerSilent
from ctiserver.lab.drill.finding import Finding
from ctiserver.lab.drill.rig import Rig
from ctiserver.lab.drill.scene import (
    Size,
    everybody_served,
    joined_once,
    logged_once,
    nobody_dropped,
    right,
    under_load,
)


async def line_reset(rig: Rig, size: Size) -> Finding:
    """The manager connection breaks again and again."""
    finding = Finding("line-reset", f"The manager connection breaks every 5 s, for {size.fault_s:g} s")
    took: list[float] = []
    async with under_load(rig, size, finding) as scene:
        until = time.monotonic() + size.fault_s
        sent_before, in_flight = len(rig.cut.sent), 0
        while not took or time.monotonic() < until:
            in_flight += await rig.cut.reset_after_action(1.0)
            began = time.monotonic()
            await _noticed(rig, up=False, within_s=5.0)
            await _noticed(rig, up=True, within_s=15.0)
            took.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, min(5.0, until - time.monotonic()) - took[-1]))
        await right(scene, 5.0)
    finding.figures |= {"breaks": len(took), "breaks_with_an_action_under_way": in_flight}
    acts = [_id(action) for action in rig.cut.sent[sent_before:]]
    finding.figures["actions_sent"] = len(acts)
    finding.none("actions_sent_twice", sorted({act for act in acts if acts.count(act) > 1}))
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


def _id(action: bytes) -> str:
    """What one action is known by: a call by its channel's id, since a second ActionID would ring the phone as well."""
    headers = dict(line.split(": ", 1) for line in action.decode("utf-8", "replace").split("\r\n") if ": " in line)
    return headers.get("ChannelId") or headers["ActionID"]


async def _noticed(rig: Rig, *, up: bool, within_s: float) -> None:
    """Wait until the console shows every agent whether the PBX is heard."""
    deadline = time.monotonic() + within_s
    while any(one["pbx_up"] is not up for one in await rig.agents()):
        if time.monotonic() > deadline:
            raise ServerSilent(
                f"the console does not show within {within_s:.0f} s that the PBX is {'up' if up else 'down'}"
            )
        await asyncio.sleep(0.02)
