"""PostgreSQL is stopped under calls: they go on, and what happened is written once it is back."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ctiserver.lab.drill.finding import Finding
from ctiserver.lab.drill.rig import rig
from ctiserver.lab.drill.scene import Size, callers_everywhere, none_failed, served_meanwhile
from ctiserver.lab.privatepbx.lifecycle import silent
from ctiserver.lab.privatepbx.tree import Programs
from tests.chaos import results
from tests.support.asterisk import programs
from tests.support.eventually import eventually
from tests.support.postgres import Cluster, cluster

__all__ = ["programs"]

pytestmark = [pytest.mark.pbx, pytest.mark.postgres]


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A server of this test's own, since it is stopped."""
    with tempfile.TemporaryDirectory(prefix="ctiserver-pg-") as folder, cluster(Path(folder)) as made:
        yield made


@pytest.mark.timeout(900)
@pytest.mark.parametrize("away_s", [pytest.param(4, id="short"), pytest.param(300, id="long", marks=pytest.mark.chaos)])
async def test_calls_outlast_a_stopped_postgres(
    programs: Programs, own_cluster: Cluster, tmp_path: Path, away_s: int
) -> None:
    url = own_cluster.create("centre")
    async with rig(programs, tmp_path, agents=2, progress=silent, database_url=url) as here:
        process = here.server.running
        typist = await here.typist()
        finding = Finding("postgres-stopped", f"PostgreSQL is stopped for {away_s} s under calls")
        results.begin(finding.fault, finding.what, long=away_s > 60)
        async with AsyncExitStack() as stack:
            callers = await callers_everywhere(here, Size(calls=6, per_s=2.0, hold_s=16.0), stack)
            async with typist.writing():
                await asyncio.to_thread(own_cluster.stop)
                stopped_at = time.time()
                some = here.calling(max(2, away_s // 5), per_s=2.0 if away_s < 60 else 0.2, hold_s=10.0)
                later = await stack.enter_async_context(some)
                await asyncio.sleep(away_s)
                started_at = time.time()
                await asyncio.to_thread(own_cluster.start)
            fates = await callers.done(60.0) | await later.done(60.0)
        await here.quiet()
        stories = here.ear.stories.of(fates)
        dropped = [story.number for story in stories if story.ended_by != "caller"]
        unserved = [story.number for story in stories if not story.served_after(story.rang_at)]

        async def wrong() -> list[str]:
            found = await here.entries(list(fates))
            return [
                f"{number}: {[(entry.id, entry.complete, entry.outcome) for entry in entries]}"
                for number, entries in found.items()
                if [entry.complete for entry in entries] != [True]
            ]

        finding.figures["callers"] = len(fates)
        served_meanwhile(finding, stories, stopped_at, started_at)
        none_failed(finding, fates)
        finding.none("callers_dropped", dropped)
        finding.none("callers_never_served", unserved)
        try:
            left = await eventually(wrong, lambda found: not found, within_s=30.0)
        except AssertionError:
            left = await wrong()
        finding.none("calls_not_logged_once", left)
        await typist.kept(finding, 60.0)
        finding.must("the server lives on", process.alive)
        results.keep(
            finding.fault,
            finding.what,
            long=away_s > 60,
            figures=finding.figures,
            held=finding.held,
            broken=finding.broken,
        )
        assert finding.broken == [], here.server.last_words()
        assert await here.right() < 10.0
