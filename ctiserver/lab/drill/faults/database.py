"""The server's database is locked, or can't grow."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
import time
from collections.abc import Callable, Iterator

from ctiserver.lab.drill.finding import Finding
from ctiserver.lab.drill.rig import Rig
from ctiserver.lab.drill.scene import (
    Size,
    everybody_served,
    latecomers,
    logged_once,
    nobody_dropped,
    right,
    served_meanwhile,
    under_load,
)
from ctiserver.pid import Process


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
    typist = await rig.typist()
    async with under_load(rig, size, finding) as scene:
        async with contextlib.AsyncExitStack() as until_they_hang_up, typist.writing():
            with trouble():
                await until_they_hang_up.enter_async_context(latecomers(scene))
                await asyncio.sleep(size.fault_s)
                mended_at = time.time()
            finding.must("the server lives on", process.alive)
            await right(scene, 5.0)
        await typist.kept(finding, 30.0)
    served_meanwhile(finding, scene.stories(), scene.at, mended_at)
    finding.must("the server is the same process", process.alive and rig.server.process == process)
    nobody_dropped(scene)
    everybody_served(scene)
    await logged_once(scene, within_s=30.0)
    with contextlib.closing(sqlite3.connect(rig.database_url.removeprefix("sqlite:///"))) as other:
        (verdict,) = other.execute("PRAGMA integrity_check").fetchone()
    finding.must(f"integrity check: {verdict}", verdict == "ok")
    return finding
