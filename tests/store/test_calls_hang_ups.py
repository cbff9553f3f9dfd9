"""Flows learn of the end of each call that the dialplan had, heard or not, once: on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import SystemClock
from ctiserver.features.calls.hang_ups import HangUps
from ctiserver.ivr.language.state import PathStep
from ctiserver.ivr.runtime.ports import MemoryPorts
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.events import CallEnded, CallOutcome, CallSummary
from ctiserver.model.ids import CallId, Linkedid, PbxName
from ctiserver.store.database import Database
from ctiserver.store.setting_aside import SettingAside
from tests.support.call_ends import an_end
from tests.support.eventually import eventually
from tests.support.fake_asterisk import FakeAsterisk
from tests.support.flow_server import PBX, FlowServer, flow_server
from tests.support.shaky import Shaky

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
CALL = FlowServer.call_id()
ENTRY = CallEntry(id=CALL, pbx=PBX, direction="inbound", ani="13800138000", dnis="4008001234", started_at=T0)
LEFT = ["call.left_unserved"]


@dataclass(slots=True)
class Stored(MemoryPorts):
    """Ports whose states are in the database."""

    database: Database = field(kw_only=True)

    async def save_state(self, call_id: CallId, state: str, steps: Sequence[PathStep]) -> None:
        async with self.database.unit_of_work() as uow:
            await uow.flow_states.save(call_id, {"state": state}, T0)

    async def load_state(self, call_id: CallId) -> str | None:
        async with self.database.reading() as uow:
            kept = await uow.flow_states.load(call_id)
        return None if kept is None else str(kept["state"])

    async def delete_state(self, call_id: CallId, steps: Sequence[PathStep]) -> None:
        async with self.database.unit_of_work() as uow:
            await uow.flow_states.remove(call_id)


@dataclass
class Desk:
    """A caller waits in a queue; what the rest of the server says of it."""

    database: Database
    server: FlowServer
    shaky: Shaky
    bus: Bus = field(default_factory=Bus)
    going_on: set[CallId] = field(default_factory=set)
    behind: bool = False

    def __post_init__(self) -> None:
        self.hang_ups = HangUps(
            cast(Database, self.shaky),
            self.bus,
            self.server.service,
            pbxs=(PBX,),
            going_on=lambda _: self.going_on,
            behind=lambda _: self.behind,
            aside=SettingAside(cast(Database, self.shaky), SystemClock()),
        )

    async def logged(self, *entries: CallEntry) -> None:
        async with self.database.unit_of_work() as uow:
            await uow.calls.save(*entries)

    async def ended(self, outcome: CallOutcome | None = "abandoned") -> None:
        await self.logged(replace(ENTRY, complete=True, outcome=outcome, ended_at=T0 + timedelta(minutes=1)))

    async def look(self, times: int = 2) -> list[str]:
        for _ in range(times):
            await self.hang_ups.look()
        return self.events()

    def events(self) -> list[str]:
        return [event for event, _ in self.server.ports.events]

    async def state(self) -> object:
        async with self.database.reading() as uow:
            return await uow.flow_states.load(CALL)


@asynccontextmanager
async def waiting(database: Database, folder: Path) -> AsyncIterator[Desk]:
    async with flow_server(folder, ports=Stored(database=database)) as server:
        await FakeAsterisk(keys="21").call(server.port)
        desk = Desk(database, server, Shaky(database))
        await desk.logged(ENTRY)
        assert await desk.state() is not None
        yield desk


async def test_an_end_that_nobody_heard_is_found_in_the_call_log_and_on_hangup_runs_once(
    database: Database, tmp_path: Path
) -> None:
    async with waiting(database, tmp_path) as desk:
        assert await desk.look() == [], "the call goes on"
        await desk.ended()
        assert await desk.look(1) == [], "who hears of it is given time to tell"
        assert await desk.look(1) == LEFT
        assert await desk.state() is None
        assert await desk.look() == LEFT


async def test_a_caller_who_was_answered_while_nobody_looked_was_served(database: Database, tmp_path: Path) -> None:
    """The entry of a call that ended unseen says so only once queue_log was read."""
    async with waiting(database, tmp_path) as desk:
        desk.behind = True
        await desk.ended(None)
        assert await desk.look(3) == []
        assert await desk.state() is not None
        await desk.ended("answered")
        desk.behind = False
        assert await desk.look() == []
        assert await desk.state() is None


async def test_a_call_that_the_pbx_still_has_is_not_over_whatever_the_log_says(
    database: Database, tmp_path: Path
) -> None:
    async with waiting(database, tmp_path) as desk:
        desk.going_on = {CALL}
        await desk.ended()
        assert await desk.look(3) == []
        desk.going_on = set()
        assert await desk.look() == LEFT


async def test_a_call_that_became_part_of_an_older_one_ends_with_that(database: Database, tmp_path: Path) -> None:
    older = replace(ENTRY, id=CallId("0" * 26), started_at=T0 - timedelta(minutes=1))
    async with waiting(database, tmp_path) as desk:
        await desk.logged(older, replace(ENTRY, complete=True, no_record_reason=f"merged:{older.id}"))
        assert await desk.look(3) == []
        await desk.logged(replace(older, complete=True, outcome="abandoned"))
        assert await desk.look() == LEFT
        assert await desk.state() is None


async def test_event_and_look_may_meet(database: Database, tmp_path: Path) -> None:
    async with waiting(database, tmp_path) as desk:
        await desk.ended()
        await desk.look(1)
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(desk.server.service.hung_up(CALL, served=False))
                group.create_task(desk.hang_ups.look())
        assert await desk.look() == LEFT
        assert await desk.state() is None


async def test_a_state_that_nobody_can_read_is_dropped(database: Database, tmp_path: Path) -> None:
    async with waiting(database, tmp_path) as desk:
        async with database.unit_of_work() as uow:
            await uow.flow_states.save(CALL, {"state": "[]"}, T0)
        await desk.ended()
        assert await desk.look() == []
        assert await desk.state() is None


async def test_another_server_s_pbx_is_left_alone(database: Database, tmp_path: Path) -> None:
    async with waiting(database, tmp_path) as desk:
        await desk.logged(replace(ENTRY, pbx=PbxName("branch"), complete=True, outcome="abandoned"))
        assert await desk.look(3) == []
        assert await desk.state() is not None


async def looked(desk: Desk) -> int:
    return desk.shaky.looks


@pytest.mark.parametrize("outcome", ["abandoned", "answered"])
async def test_an_event_waits_for_a_database_that_is_away(
    database: Database, tmp_path: Path, outcome: CallOutcome
) -> None:
    async with waiting(database, tmp_path) as desk:
        desk.shaky.reading_away = True
        async with asyncio.TaskGroup() as group:
            following = group.create_task(desk.hang_ups.run())
            await asyncio.sleep(0)
            desk.bus.publish(_ended(outcome))
            looks = desk.shaky.looks
            await eventually(lambda: looked(desk), lambda seen: seen > looks + 1)
            assert await desk.state() is not None
            desk.shaky.reading_away = False
            await eventually(desk.state, lambda state: state is None)
            desk.bus.close()
            await following
        assert desk.events() == (LEFT if outcome == "abandoned" else [])


async def test_what_became_of_a_call_that_was_lost_with_the_link_is_told_by_the_log(
    database: Database, tmp_path: Path
) -> None:
    async with waiting(database, tmp_path) as desk:
        async with asyncio.TaskGroup() as group:
            following = group.create_task(desk.hang_ups.run())
            await asyncio.sleep(0)
            desk.bus.publish(replace(_ended(None), reason="lost"))
            desk.bus.close()
            await following
        assert desk.events() == []
        await desk.ended("answered")
        assert await desk.look() == []
        assert await desk.state() is None


def _ended(outcome: CallOutcome | None) -> CallEnded:
    linkedid = Linkedid("1795295764.0")
    summary = CallSummary(
        call_id=CALL, pbx=PBX, linkedids=(linkedid,), direction="inbound", ani="", caller_name="", dnis="",
        started_at=T0, answered_at=None, ended_at=T0, outcome=outcome, answered_by=(), queue_visits=(), transfers=(),
        hangup_cause=None, hangup_by=None, segments=(), reconstructed=outcome is None, complete=outcome is not None,
    )  # fmt: skip
    return CallEnded(pbx=PBX, at=T0, call_id=CALL, linkedid=linkedid, summary=summary)


async def test_ends_that_were_missed_are_looked_for_in_the_call_log(database: Database, tmp_path: Path) -> None:
    async with waiting(database, tmp_path) as desk:
        desk.hang_ups._bus = desk.bus = Bus(limit=1)
        await desk.ended()
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(desk.hang_ups.run())
            await asyncio.sleep(0)
            for number in range(3):
                desk.bus.publish(an_end(CallId(f"other{number}")))
            desk.bus.close()
        assert await desk.look(1) == LEFT, "the resync was the first of the two looks"
