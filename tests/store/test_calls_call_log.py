"""The call log kept from domain events, on a real database."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import ManualClock
from ctiserver.features.calls.service import CallLogService
from ctiserver.model.events import (
    AgentConnected,
    CallEnded,
    CallerEnteredQueue,
    CallsMerged,
    CallStarted,
    CallSummary,
    QueueVisit,
    Segment,
)
from ctiserver.model.ids import AgentId, CallId, Interface, Linkedid, PbxName, QueueName, RecordId, Uniqueid, call_id
from ctiserver.model.person import Agent
from ctiserver.model.work.record import Record
from ctiserver.pbx.port import Pbx
from ctiserver.store.database import Database
from ctiserver.store.unit_of_work import UnitOfWork

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
MAIN = PbxName("main")
UNIQUEID = Uniqueid("1763863200.1")
CALL = call_id(MAIN, UNIQUEID)
LINKED = Linkedid("1763863200.1")
PHONE = Interface("PJSIP/agent1")

STARTED = CallStarted(
    pbx=MAIN, at=T0, call_id=CALL, linkedid=LINKED, uniqueid=UNIQUEID, channel="PJSIP/trunk-1", direction="inbound",
    ani="13800138000", caller_name="", dnis="4001234", context="cti-inbound",
)  # fmt: skip
SUMMARY = CallSummary(
    call_id=CALL, pbx=MAIN, linkedids=(LINKED,), direction="inbound", ani="13800138000", caller_name="", dnis="s",
    started_at=T0, answered_at=T0 + timedelta(seconds=9), ended_at=T0 + timedelta(seconds=30), outcome="answered",
    answered_by=(PHONE,), queue_visits=(
        QueueVisit(queue=QueueName("repair"), entered_at=T0 + timedelta(seconds=4), left_at=T0 + timedelta(seconds=9), outcome="answered", agent=PHONE),
    ), transfers=(), hangup_cause=16, hangup_by="caller",
    segments=(Segment(party=PHONE, kind="talk", started_at=T0 + timedelta(seconds=9), ended_at=T0 + timedelta(seconds=30)),),
    reconstructed=False, complete=True,
)  # fmt: skip
ENDED = CallEnded(pbx=MAIN, at=T0 + timedelta(seconds=30), call_id=CALL, linkedid=LINKED, summary=SUMMARY)


GOING_ON: set[CallId] = set()


@pytest.fixture(autouse=True)
def nothing_goes_on() -> None:
    GOING_ON.clear()


@pytest.fixture
def service(database: Database) -> CallLogService:
    return CallLogService(database, Bus(), ManualClock(T0), going_on=lambda _: GOING_ON, pbxs={})


@pytest.mark.parametrize("together", [False, True])
async def test_a_call_becomes_one_entry_with_what_the_summary_holds(
    service: CallLogService, database: Database, together: bool
) -> None:
    async with database.unit_of_work() as uow:
        await uow.agents.add(Agent(id=AgentId("agent1"), user_id=None, name="李", extension="101", interface=PHONE))
    events = (
        STARTED,
        STARTED,
        CallerEnteredQueue(pbx=MAIN, at=T0, call_id=CALL, linkedid=LINKED, uniqueid=UNIQUEID, queue=QueueName("repair"), position=1),
        AgentConnected(pbx=MAIN, at=T0 + timedelta(seconds=9), call_id=CALL, linkedid=LINKED, interface=PHONE, queue=QueueName("repair")),
        ENDED,
        ENDED,
    )  # fmt: skip
    for part in [events] if together else [(event,) for event in events]:
        await service.record(*part)
    async with database.reading() as uow:
        (entry,) = await uow.calls.page()
    assert (entry.queue, entry.agent_id, entry.wait_ms, entry.talk_ms) == ("repair", "agent1", 5000, 21000)
    assert (entry.outcome, entry.hangup_by, entry.complete, entry.no_record_reason) == (
        "answered",
        "caller",
        True,
        None,
    )
    assert entry.dnis == "4001234"  # what was dialled, not where the dialplan went on
    assert entry.detail["answered_by"] == ["PJSIP/agent1"]


async def test_one_odd_caller_keeps_nobody_else_out_of_the_log(database: Database) -> None:
    """PostgreSQL keeps no NUL; SQLite does."""
    bus = Bus()
    service = CallLogService(database, bus, ManualClock(T0), going_on=lambda _: GOING_ON, pbxs={})
    running = asyncio.ensure_future(service.run())
    await asyncio.sleep(0)
    calls = [CallId(f"{number:026d}") for number in range(3)]
    for call in calls:
        bus.publish(replace(STARTED, call_id=call, ani="a\0b" if call == calls[1] else "13800138000"))
    bus.close()
    await running
    async with database.reading() as uow:
        kept = sorted(entry.id for entry in await uow.calls.page(100))
    assert kept == (calls if database.dialect == "sqlite" else [calls[0], calls[2]])


async def test_who_fell_too_far_behind_looks_what_is_left(database: Database) -> None:
    bus, clock = Bus(limit=2), ManualClock(T0)
    settled: list[tuple[PbxName, datetime]] = []
    service = CallLogService(
        database,
        bus,
        clock,
        going_on=lambda _: GOING_ON,
        pbxs={MAIN: cast(Pbx, SimpleNamespace(up=True, current_events=list))},
        settled=lambda pbx, since, ended: settled.append((pbx, since)),
    )
    running = asyncio.ensure_future(service.run())
    await asyncio.sleep(0)
    await service.record(STARTED)
    clock.advance(60)
    for number in range(3):  # the end of the call is among them
        bus.publish(
            replace(ENDED if number == 1 else STARTED, call_id=CALL if number == 1 else CallId(f"{number:026d}"))
        )
    bus.close()
    await running
    async with database.reading() as uow:
        assert (await uow.calls.get(CALL)).complete
    assert settled == [(MAIN, T0)]


async def test_what_waits_is_written_together(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone who fell behind catches up: a transaction for each event would come in turn with every other writer's."""
    bus, begun = Bus(), 0
    real = database.unit_of_work

    def counted() -> AbstractAsyncContextManager[UnitOfWork]:
        nonlocal begun
        begun += 1
        return real()

    monkeypatch.setattr(database, "unit_of_work", counted)
    service = CallLogService(database, bus, ManualClock(T0), going_on=lambda _: GOING_ON, pbxs={})
    calls = [CallId(f"{number:026d}") for number in range(60)]
    running = asyncio.ensure_future(service.run())
    await asyncio.sleep(0)
    for call in calls:
        bus.publish(replace(STARTED, call_id=call))
        bus.publish(replace(ENDED, call_id=call))
    bus.close()
    await running
    async with database.reading() as uow:
        assert sorted(entry.id for entry in await uow.calls.page(100) if entry.complete) == calls
    assert begun <= 2


async def test_an_end_without_a_beginning_is_an_entry_all_the_same(service: CallLogService, database: Database) -> None:
    await service.record(replace(ENDED, summary=replace(SUMMARY, outcome="ivr", answered_by=(), queue_visits=())))
    async with database.reading() as uow:
        entry = await uow.calls.get(CALL)
    assert entry.no_record_reason == "hung_up_in_menu"
    assert entry.wait_ms is None


@pytest.mark.parametrize(
    ("change", "reason", "expected"),
    [
        ({"outcome": "abandoned"}, "hangup", "left_unserved"),
        ({"outcome": "answered", "direction": "internal"}, "hangup", "internal"),
        ({"outcome": "answered"}, "pbx_restarted", "pbx_restarted"),
        ({"outcome": "voicemail"}, "hangup", None),
    ],
)
async def test_reason_for_no_record(
    service: CallLogService, database: Database, change: dict[str, str], reason: str, expected: str | None
) -> None:
    await service.record(replace(ENDED, summary=replace(SUMMARY, **change), reason=reason))  # type: ignore[arg-type]
    async with database.reading() as uow:
        assert (await uow.calls.get(CALL)).no_record_reason == expected


async def test_a_call_with_a_record_needs_no_reason(service: CallLogService, database: Database) -> None:
    await service.record(STARTED)
    async with database.unit_of_work() as uow:
        record = Record(id=RecordId("R" * 26), number="R1", type="repair", opened_at=T0, updated_at=T0)
        await uow.records.add(record)
        await uow.records.link_call(record.id, CALL)
    await service.record(replace(ENDED, summary=replace(SUMMARY, outcome="abandoned")))
    async with database.reading() as uow:
        assert (await uow.calls.get(CALL)).no_record_reason is None


async def test_a_merged_call_points_to_the_one_that_stays_and_gives_it_its_records(
    service: CallLogService, database: Database
) -> None:
    other = call_id(MAIN, Uniqueid("1763863201.5"))
    await service.record(STARTED)
    await service.record(replace(STARTED, call_id=other, uniqueid=Uniqueid("1763863201.5")))
    async with database.unit_of_work() as uow:
        record = Record(id=RecordId("R" * 26), number="R1", type="repair", opened_at=T0, updated_at=T0)
        await uow.records.add(record)
        await uow.records.link_call(record.id, other)
    await service.record(CallsMerged(pbx=MAIN, at=T0, call_id=CALL, linkedid=LINKED, absorbed=other))
    async with database.reading() as uow:
        assert [record.number for record in await uow.records.of_call(CALL)] == ["R1"]
        assert (await uow.calls.get(other)).no_record_reason == f"merged:{CALL}"


async def test_what_ended_while_nobody_looked_is_closed_and_says_so(
    service: CallLogService, database: Database
) -> None:
    other = call_id(MAIN, Uniqueid("1763863201.5"))
    elsewhere = call_id(PbxName("other"), UNIQUEID)
    await service.record(STARTED)
    await service.record(replace(STARTED, call_id=other, uniqueid=Uniqueid("1763863201.5")))
    await service.record(replace(STARTED, call_id=elsewhere, pbx=PbxName("other")))
    GOING_ON.add(other)
    await service.settle(MAIN)
    async with database.reading() as uow:
        ended = await uow.calls.get(CALL)
        assert (ended.complete, ended.no_record_reason, ended.detail["ended"]) == (True, "end_not_seen", "lost")
        assert {entry.id for entry in await uow.calls.incomplete()} == {other, elsewhere}
    await service.record(ENDED)
    async with database.reading() as uow:
        assert (await uow.calls.get(CALL)).no_record_reason is None, "its end was seen after all"


async def test_it_runs_on_the_bus(database: Database) -> None:
    bus = Bus()
    service = CallLogService(database, bus, ManualClock(T0), going_on=lambda _: GOING_ON, pbxs={})
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(service.run())
        await asyncio.sleep(0)  # let it subscribe
        bus.publish(STARTED)
        bus.publish(ENDED)
        bus.close()
        await running
    async with database.reading() as uow:
        assert (await uow.calls.get(CallId(CALL))).complete


async def test_what_several_change_in_one_entry_at_once_is_all_kept(
    service: CallLogService, database: Database
) -> None:
    """A call's end, its record and its journal are written by different people, on PostgreSQL at the same time."""
    await service.record(STARTED)

    async def add(number: int) -> None:
        async with database.unit_of_work() as uow:
            entry = await uow.calls.find_to_change(CALL)
            assert entry is not None
            await uow.calls.save(replace(entry, detail={**entry.detail, str(number): True}))

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(add(number))
    async with database.reading() as uow:
        assert set((await uow.calls.get(CALL)).detail) == {str(number) for number in range(12)}
