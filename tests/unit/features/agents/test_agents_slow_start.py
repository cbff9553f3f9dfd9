"""A database that answers slowly at the start costs nobody their seat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import SystemClock
from ctiserver.features.agents.service import Agents
from ctiserver.model.events import MemberChanged
from ctiserver.model.ids import AgentId, Interface, PbxName, QueueName
from ctiserver.model.person import Agent
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.unit_of_work import UnitOfWork
from tests.support.rows import a_user

MAIN, AGENT1 = PbxName("main"), AgentId("agent1")


class SlowDatabase:
    """A real one that answers when the test lets it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.asked, self.answers = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[UnitOfWork]:
        self.asked.set()
        await self.answers.wait()
        async with self._database.reading() as uow:
            yield uow


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SlowDatabase]:
    async with Database.open(f"sqlite:///{tmp_path}/slow.sqlite", upgrade=True) as real:
        async with real.unit_of_work() as uow:
            user = a_user("agent1", role="agent")
            await uow.users.add(user)
            await uow.agents.add(
                Agent(id=AGENT1, user_id=user.id, name="A", extension="101", interface=Interface("PJSIP/a"))
            )
        yield SlowDatabase(real)


async def test_a_seat_that_is_told_of_while_the_agents_are_read_is_not_missed(
    tmp_path: Path, database: SlowDatabase
) -> None:
    bus = Bus()
    pbxs = {MAIN: SimpleNamespace(name=MAIN, up=True)}
    agents = Agents(
        database,  # type: ignore[arg-type]
        bus,
        SystemClock(),
        Site(directory=tmp_path),
        pbxs=pbxs,  # type: ignore[arg-type]
        changed=lambda presence: None,
    )
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(agents.run())
        await database.asked.wait()
        bus.publish(
            MemberChanged(
                pbx=MAIN,
                at=datetime.now(UTC),
                queue=QueueName("repair"),
                interface=Interface("PJSIP/a"),
                name="A",
                present=True,
                dynamic=True,
                paused=False,
                pause_reason="",
                penalty=0,
                status="free",
                in_call=False,
            )
        )
        database.answers.set()
        bus.close()
    assert agents.queues(AGENT1) == ["repair"]
