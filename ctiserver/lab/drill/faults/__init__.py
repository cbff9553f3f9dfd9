"""The faults: what is taken away, for how long, and what the callers must get all the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from ctiserver.lab.drill.faults.callers import load, rush
from ctiserver.lab.drill.faults.database import database_locked, disk_full
from ctiserver.lab.drill.faults.line import line_frozen, line_reset
from ctiserver.lab.drill.faults.pbx import both_killed, pbx_killed
from ctiserver.lab.drill.faults.pbx_ways import (
    pbx_exchanged,
    pbx_reloaded,
    pbx_restarted,
    pbx_restarted_gracefully,
    pbx_restarted_when_convenient,
    pbx_stopped,
    pbx_stopped_now,
    pbx_stopped_when_convenient,
    pbx_terminated,
    queues_unloaded,
)
from ctiserver.lab.drill.faults.server import host_gone, server_ended, server_frozen, server_killed, server_killed_often
from ctiserver.lab.drill.finding import Finding
from ctiserver.lab.drill.rig import Rig
from ctiserver.lab.drill.scene import Size

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
    "both-killed": both_killed,
    "pbx-stopped": pbx_stopped,
    "pbx-stopped-now": pbx_stopped_now,
    "pbx-stopped-when-convenient": pbx_stopped_when_convenient,
    "pbx-restarted": pbx_restarted,
    "pbx-restarted-gracefully": pbx_restarted_gracefully,
    "pbx-restarted-when-convenient": pbx_restarted_when_convenient,
    "pbx-terminated": pbx_terminated,
    "pbx-reloaded": pbx_reloaded,
    "queues-unloaded": queues_unloaded,
    "pbx-exchanged": pbx_exchanged,
    "database-locked": database_locked,
    "disk-full": disk_full,
    "rush": rush,
    "load": load,
}


def sentence(fault: str) -> str:
    """What one fault is, for who has no finding of it."""
    return (FAULTS[fault].__doc__ or fault).partition("\n")[0].rstrip(".")
