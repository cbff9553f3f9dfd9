"""Pops are kept without anybody waiting for the disk, and none is lost to a database that is away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ctiserver.features.screenpop import book
from ctiserver.features.screenpop.book import PopBook
from ctiserver.model.calls.call_entry import Pop
from ctiserver.model.ids import AgentId, CallId, ContactId, Interface, new_ulid
from ctiserver.model.person import Agent
from ctiserver.store.database import Database
from tests.support.eventually import eventually
from tests.support.shaky import Shaky

AGENT = AgentId("agent1")
CALL = CallId("C" * 26)
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


@pytest.fixture
async def shaky(tmp_path: Path) -> AsyncIterator[Shaky]:
    async with Database.open(f"sqlite:///{tmp_path}/pops.sqlite", upgrade=True) as database:
        async with database.unit_of_work() as uow:
            await uow.agents.add(
                Agent(id=AGENT, user_id=None, name="A", extension="101", interface=Interface("PJSIP/agent1"))
            )
        yield Shaky(database)


def _pop(**changes: object) -> Pop:
    pop = Pop(id=new_ulid(NOW), call_id=CALL, agent_id=AGENT, contact_id=None, record_id=None, sent_at=NOW)
    return replace(pop, **changes)  # type: ignore[arg-type]


async def test_it_is_there_at_once_and_written_soon(shaky: Shaky) -> None:
    kept = PopBook(shaky)  # type: ignore[arg-type]
    first, second = _pop(), _pop()
    kept.take(first)
    kept.take(second)
    assert await kept.of_call(CALL) == [first, second]
    assert await kept.find(first.id) == first
    assert await kept.painted(first.id, AgentId("agent2"), NOW) is False
    assert await kept.painted(first.id, AGENT, NOW) is True
    assert await kept.painted(first.id, AGENT, NOW) is False
    kept.close()
    await kept.run()
    written = PopBook(shaky)  # type: ignore[arg-type]
    assert await written.of_call(CALL) == [replace(first, painted_at=NOW), second]
    assert shaky.tries == 1  # both in one transaction
    assert await written.painted(second.id, AGENT, NOW) is True


async def test_a_database_that_is_away_delays_them(shaky: Shaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "_AGAIN_AFTER_S", 0.01)
    kept = PopBook(shaky)  # type: ignore[arg-type]
    shaky.away = True
    async with asyncio.TaskGroup() as group:
        group.create_task(kept.run())
        pops = [_pop() for _ in range(3)]
        for pop in pops:
            kept.take(pop)

        async def tries() -> int:
            return shaky.tries

        await eventually(tries, lambda count: count >= 2)
        assert await kept.of_call(CALL) == pops
        shaky.away = False
        kept.close()
    assert await PopBook(shaky).of_call(CALL) == pops  # type: ignore[arg-type]


async def test_one_that_refers_to_what_is_gone_keeps_no_other_from_being_written(shaky: Shaky) -> None:
    kept = PopBook(shaky)  # type: ignore[arg-type]
    good = [_pop(), _pop()]
    for pop in (good[0], _pop(contact_id=ContactId("X" * 26)), good[1]):
        kept.take(pop)
    kept.close()
    await kept.run()
    assert await PopBook(shaky).of_call(CALL) == good  # type: ignore[arg-type]


async def test_memory_has_an_end(shaky: Shaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "_MOST", 2)
    kept = PopBook(shaky)  # type: ignore[arg-type]
    pops = [_pop() for _ in range(3)]
    for pop in pops:
        kept.take(pop)
    assert await kept.of_call(CALL) == pops[1:]
