"""Which calls the server makes, when, and what it makes of what it learns; the PBX is played."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import ManualClock
from ctiserver.errors import PbxRefused, PeerLost
from ctiserver.features.dispatch.advance import Advance
from ctiserver.features.followups.service import FollowUps
from ctiserver.model.calendar.opening_hours import Calendar, CalendarFile
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import CallId, PbxName
from ctiserver.model.work.outbound_call import OutboundCall
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.pbx.port import Pbx
from ctiserver.site.files import Automatic, Outbound, Sample
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.faults import NotFound
from ctiserver.strict_yaml import load, parse
from tests.support.call_ends import an_end
from tests.support.dispatch import definitions
from tests.support.rows import a_contact, a_record

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ASK = """\
schema: process/1
process: repair
version: 1
for: {type: repair}
start: ask
steps:
  ask:
    order: follow_up
    by: [{call: satisfaction}, {person: supervisor}]
    within: {calendar: desk}
    attempts: 2
    retry_after: 1 hour
    on: {satisfied: happy, dissatisfied: unhappy, unreachable: lost}
  happy: {close: resolved}
  unhappy: {close: unresolved}
  lost: {close: unconfirmed}
"""
AUTOMATIC = Automatic(enabled=True, presented="4008001234", calls_per_s=50, at_once=100, price_a_minute="0.15")
ALLOWED = Outbound(allow=("+86",), refuse=("+8616",))


@dataclass
class PlayedPbx:
    """A PBX that calls whomever it is asked to, or refuses, or is lost on the way."""

    name: PbxName
    up: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    broken: Exception | None = None

    async def originate(self, channel: str, *, channel_id: str, **_: object) -> None:
        self.asked.append((channel, channel_id))
        if self.broken is not None:
            raise self.broken


@dataclass
class Table:
    """Everything that a test touches."""

    database: Database
    clock: ManualClock
    pbx: PlayedPbx
    advance: Advance
    others: dict[PbxName, PlayedPbx] = field(default_factory=dict)
    going_on: set[CallId] = field(default_factory=set)
    calendars: dict[str, Calendar] = field(default_factory=dict)
    site: Site = field(default_factory=lambda: Site(Path(), automatic=AUTOMATIC, outbound=ALLOWED))

    def follow_ups(self, bus: Bus | None = None) -> FollowUps:
        """The service; a second one is the server after a restart."""
        return FollowUps(
            self.database,
            bus or Bus(),
            self.clock,
            self.site,
            pbx=cast(Pbx, self.pbx),
            others=cast(dict[PbxName, Pbx], self.others),
            region="CN",
            hours=lambda: WorkingTime(ZoneInfo("UTC"), self.calendars),
            going_on=lambda _: self.going_on,
        )

    async def begin(self, **fields: Any) -> Record:
        """A record whose customer is to be called now."""
        record = a_record(**{"caller_number": "13800000001", **fields})
        async with self.database.unit_of_work() as uow:
            await uow.records.add(record)
        await self.advance("process_start", record.id, {"record_id": record.id, "process": "repair"})
        return record

    async def orders(self, record: Record) -> list[WorkOrder]:
        """All of the record's, after its process was told what there is to tell."""
        async with self.database.reading() as uow:
            rows = await uow.outbox.waiting(["process_signal", "process_timer"], 1000, due_by=self.clock.now())
        for row in rows:
            await self.advance(row.topic, row.id, row.payload)
        async with self.database.unit_of_work() as uow:
            await uow.outbox.handed([row.id for row in rows], self.clock.now())
        async with self.database.reading() as uow:
            return await uow.work_orders.of_record(record.id)

    async def calls(self, record: Record) -> list[OutboundCall]:
        async with self.database.reading() as uow:
            return await uow.outbound_calls.of_record(record.id)

    async def resolution(self, record: Record) -> str | None:
        await self.orders(record)
        async with self.database.reading() as uow:
            return (await uow.records.get(record.id)).resolution


@pytest.fixture
async def table(database: Database) -> Table:
    clock = ManualClock(NOON)
    found = definitions(ASK)
    return Table(
        database,
        clock,
        PlayedPbx(PbxName("main")),
        Advance(database, lambda: found, clock, WorkingTime(ZoneInfo("UTC"))),
    )


async def asked_first(table: Table, records: list[Record]) -> tuple[OutboundCall, Record]:
    """Of two records the call that was made, and the other record."""
    one, other = records
    (call,) = await table.calls(one)
    if call.state == "asked":
        return call, other
    (call,) = await table.calls(other)
    assert call.state == "asked"
    return call, one


async def test_a_customer_is_called_once_and_answers(table: Table) -> None:
    record = await table.begin()
    service = table.follow_ups()
    assert await service.place() == 1
    assert await service.place() == 0
    ((channel, channel_id),) = table.pbx.asked
    assert channel == "Local/+8613800000001@cti-automatic/n"
    (call,) = await table.calls(record)
    assert (call.state, call.channel_id) == ("asked", channel_id)
    assert call.call_id is not None
    table.going_on.add(call.call_id)
    assert (await service.answered(call.id, call.call_id)).flow == "satisfaction"
    await service.told(call.call_id, "survey.answered", {"score": 5})
    table.clock.advance(timedelta(seconds=61).total_seconds())
    table.going_on.clear()
    await service.settle_unseen()
    (call,) = await table.calls(record)
    assert (call.state, call.outcome, call.minutes, call.cost) == ("over", "satisfied", 2, "0.30")
    assert await table.resolution(record) == "resolved"
    assert [order.result["score"] for order in await table.orders(record)] == [5]


@pytest.mark.parametrize("told", [None, "unanswered"])
async def test_who_says_nothing_is_called_again_later_and_then_left_to_a_person(table: Table, told: str | None) -> None:
    record = await table.begin()
    for _ in range(2):
        service = table.follow_ups()
        assert await service.place() == 1
        call = (await table.calls(record))[-1]
        assert call.call_id is not None
        if told is not None:
            await service.answered(call.id, call.call_id)
            await service.told(call.call_id, f"survey.{told}", {})
        table.clock.advance(timedelta(minutes=1).total_seconds())
        await service.settle_unseen()
        orders = await table.orders(record)
        if orders[-1].role == "supervisor":
            break
        assert await service.place() == 0, "not before an hour is over"
        table.clock.advance(timedelta(minutes=59).total_seconds())
        assert await service.place() == 0
        table.clock.advance(timedelta(minutes=1, seconds=1).total_seconds())
        await table.orders(record)
    assert [(order.role, order.outcome, order.state) for order in await table.orders(record)] == [
        ("server", "unreachable", "done"),
        ("server", "unreachable", "done"),
        ("supervisor", None, "offered"),
    ]
    assert len(table.pbx.asked) == 2


async def test_what_the_pbx_was_asked_is_not_asked_again_after_a_crash(table: Table) -> None:
    record = await table.begin()
    table.pbx.broken = PeerLost("the connection broke")
    await table.follow_ups().place()
    table.pbx.broken = None
    heir = table.follow_ups()
    for _ in range(30):
        await heir.settle_unseen()
        await heir.place()
        table.clock.advance(timedelta(seconds=1).total_seconds())
    assert len(table.pbx.asked) == 1
    (call,) = await table.calls(record)
    assert (call.state, call.outcome, call.reason) == ("over", "unreachable", "not_seen")


async def test_ends_that_were_missed_are_settled_by_what_goes_on(table: Table) -> None:
    record = await table.begin()
    bus = Bus(limit=1)
    service = table.follow_ups(bus)
    await service.place()
    table.clock.advance(timedelta(minutes=1).total_seconds())
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(service.run())
        await asyncio.sleep(0)
        for number in range(3):
            bus.publish(an_end(CallId(f"other{number}")))
        bus.close()
    (call,) = await table.calls(record)
    assert (call.state, call.reason) == ("over", "not_seen")


async def test_a_call_that_goes_on_is_not_settled(table: Table) -> None:
    record = await table.begin()
    service = table.follow_ups()
    await service.place()
    (call,) = await table.calls(record)
    assert call.call_id is not None
    table.going_on.add(call.call_id)
    table.clock.advance(timedelta(minutes=10).total_seconds())
    await service.settle_unseen()
    assert (await table.calls(record))[0].state == "asked"
    table.going_on.clear()
    table.pbx.up = False
    await service.settle_unseen()
    assert (await table.calls(record))[0].state == "asked", "nobody can know while the link is down"


async def test_a_server_that_is_about_to_end_calls_nobody(table: Table) -> None:
    """It would hang up on the person who answered, and the attempt would be gone."""
    record = await table.begin()
    service = table.follow_ups()
    service.rest()
    assert await service.place() == 0
    assert table.pbx.asked == []
    (call,) = await table.calls(record)
    assert call.state != "asked"
    assert await table.follow_ups().place() == 1


async def test_a_refusal_is_an_attempt(table: Table) -> None:
    record = await table.begin()
    table.pbx.broken = PbxRefused("Extension does not exist.")
    await table.follow_ups().place()
    (call,) = await table.calls(record)
    assert (call.outcome, call.reason) == ("unreachable", "refused_by_pbx")


@pytest.mark.parametrize(
    ("number", "reason"),
    [("1600000001", "no_number"), ("", "no_number"), ("110", "no_number"), ("+4930901820", "no_number")],
)
async def test_a_number_that_may_not_be_called_goes_to_a_person(table: Table, number: str, reason: str) -> None:
    record = await table.begin(caller_number=number)
    await table.follow_ups().place()
    assert [(order.role, order.state) for order in await table.orders(record)] == [
        ("server", "done"),
        ("supervisor", "offered"),
    ]
    assert table.pbx.asked == []
    assert (await table.calls(record))[0].reason == reason


async def test_where_nothing_is_called_by_itself_a_person_does_it(table: Table) -> None:
    table.site = replace(table.site, automatic=Automatic())
    record = await table.begin()
    await table.follow_ups().place()
    assert (await table.orders(record))[-1].role == "supervisor"


async def test_who_does_not_want_to_be_called_is_called_by_nobody(table: Table) -> None:
    contact = a_contact(do_not_call=True)
    async with table.database.unit_of_work() as uow:
        await uow.contacts.add(contact)
    record = await table.begin(contact_id=contact.id)
    await table.follow_ups().place()
    assert await table.resolution(record) == "unconfirmed"
    assert table.pbx.asked == []


async def test_who_was_asked_lately_is_left_in_peace(table: Table) -> None:
    contact = a_contact()
    async with table.database.unit_of_work() as uow:
        await uow.contacts.add(contact)
    records = [await table.begin(contact_id=contact.id) for _ in range(2)]
    service = table.follow_ups()
    assert await service.place() == 1, "not twice at a time"
    (call, second) = await asked_first(table, records)
    assert call.call_id is not None
    await service.answered(call.id, call.call_id)
    await service.told(call.call_id, "survey.answered", {})
    table.clock.advance(timedelta(minutes=1).total_seconds())
    await service.settle_unseen()
    table.clock.advance(timedelta(minutes=5).total_seconds())
    assert await service.place() == 0
    assert (await table.calls(second))[0].reason == "asked_lately"
    assert await table.resolution(second) == "unconfirmed"


@pytest.mark.parametrize(
    ("limits", "called"),
    [
        ({"at_once": 2}, 2),
        ({"calls_per_s": 3}, 3),
        ({"minutes_a_day": 4}, 4),
        ({"money_a_day": "0.40"}, 2),  # at 0.15 a minute
        ({}, 6),
    ],
)
async def test_no_limit_is_passed(table: Table, limits: dict[str, object], called: int) -> None:
    table.site = replace(table.site, automatic=AUTOMATIC.model_copy(update=limits))
    for _ in range(6):
        await table.begin()
    assert await table.follow_ups().place() == called
    assert len(table.pbx.asked) == called


async def test_the_next_second_and_the_next_day_bring_more(table: Table) -> None:
    table.site = replace(table.site, automatic=AUTOMATIC.model_copy(update={"calls_per_s": 1, "minutes_a_day": 2}))
    records = [await table.begin() for _ in range(3)]
    service = table.follow_ups()
    made = []
    for _ in range(4):
        made.append(await service.place())
        for record in records:
            for call in await table.calls(record):
                if call.state == "asked" and call.call_id is not None:
                    await service.answered(call.id, call.call_id)
        table.clock.advance(timedelta(seconds=20).total_seconds())
        await service.settle_unseen()
    assert made == [1, 1, 0, 0]
    table.clock.advance(timedelta(days=1).total_seconds())
    assert await service.place() == 1


async def test_what_the_days_limit_holds_up_past_its_time_is_left_to_a_person(table: Table) -> None:
    urgent = definitions(
        ASK.replace("attempts: 2", "complete_within: 2 hours\n    attempts: 2").replace(
            "unreachable: lost}", "unreachable: lost, late: {escalate: supervisor, stay: true}}"
        )
    )
    table.advance = Advance(table.database, lambda: urgent, table.clock, WorkingTime(ZoneInfo("UTC")))
    table.site = replace(table.site, automatic=AUTOMATIC.model_copy(update={"minutes_a_day": 0}))
    record = await table.begin()
    service = table.follow_ups()
    assert await service.place() == 0
    assert [order.state for order in await table.orders(record)] == ["offered"], "it may be called yet"
    table.clock.advance(timedelta(hours=2).total_seconds())
    assert await service.place() == 0
    assert [(order.role, order.outcome, order.result.get("reason")) for order in await table.orders(record)] == [
        ("server", "unreachable", "held_up"),
        ("supervisor", None, None),
    ]
    assert table.pbx.asked == []


async def test_a_call_by_the_pbx_of_before_is_settled_when_that_one_does_not_have_it(table: Table) -> None:
    record = await table.begin()
    await table.follow_ups().place()
    before, table.pbx = table.pbx, PlayedPbx(PbxName("second"))
    table.others[before.name] = before
    table.clock.advance(timedelta(minutes=1).total_seconds())
    before.up = False
    await table.follow_ups().settle_unseen()
    assert (await table.calls(record))[0].state == "asked", "nobody knows, so nobody says"
    before.up = True
    await table.follow_ups().settle_unseen()
    assert (await table.calls(record))[0].reason == "not_seen"


async def test_a_call_by_a_pbx_that_is_gone_for_good_is_settled(table: Table) -> None:
    record = await table.begin()
    await table.follow_ups().place()
    table.pbx = PlayedPbx(PbxName("second"))
    table.clock.advance(timedelta(minutes=1).total_seconds())
    await table.follow_ups().settle_unseen()
    assert (await table.calls(record))[0].reason == "not_seen"


async def test_nobody_is_called_at_night(table: Table) -> None:
    hours = '{schema: calendar/1, calendar: desk, weekly: {mon-sun: ["08:00-20:00"]}}'
    table.calendars["desk"] = Calendar(parse(load(hours, file="desk.yaml"), CalendarFile), ZoneInfo("UTC"))
    record = await table.begin()
    table.clock.advance(timedelta(hours=9).total_seconds())  # 21:00
    service = table.follow_ups()
    assert await service.place() == 0
    (call,) = await table.calls(record)
    assert call.due_at == datetime(2026, 11, 24, 8, tzinfo=UTC)
    table.clock.advance(timedelta(hours=11, seconds=1).total_seconds())
    assert await service.place() == 1


async def test_who_is_not_in_the_sample_is_called_by_nobody(table: Table) -> None:
    nobody = {"samples": {"satisfaction": Sample(percent=0)}}
    table.site = replace(table.site, automatic=AUTOMATIC.model_copy(update=nobody))
    record = await table.begin()
    assert await table.follow_ups().place() == 0
    assert (await table.calls(record))[0].reason == "not_sampled"
    assert await table.resolution(record) == "unconfirmed"


async def test_after_so_many_answers_a_day_the_rest_waits_for_the_next(table: Table) -> None:
    table.site = replace(
        table.site,
        automatic=AUTOMATIC.model_copy(update={"at_once": 1, "samples": {"satisfaction": Sample(a_day=1)}}),
    )
    records = [await table.begin() for _ in range(2)]
    service = table.follow_ups()
    await service.place()
    (call, second) = await asked_first(table, records)
    assert call.call_id is not None
    await service.answered(call.id, call.call_id)
    await service.told(call.call_id, "survey.dissatisfied", {"score": 1})
    table.clock.advance(timedelta(minutes=1).total_seconds())
    await service.settle_unseen()
    assert await service.place() == 0
    assert (await table.calls(second))[0].due_at == datetime(2026, 11, 24, tzinfo=UTC)
    (first,) = (record for record in records if record != second)
    assert await table.resolution(first) == "unresolved"


async def test_an_order_that_is_done_by_hand_is_not_called(table: Table) -> None:
    record = await table.begin()
    async with table.database.unit_of_work() as uow:
        (order,) = await uow.work_orders.of_record(record.id)
        await uow.work_orders.update(replace(order, state="done"))
    assert await table.follow_ups().place() == 0
    assert (await table.calls(record))[0].reason == "withdrawn"


async def test_only_the_call_that_was_made_hears_the_questions(table: Table) -> None:
    record = await table.begin()
    service = table.follow_ups()
    (call,) = await table.calls(record)
    with pytest.raises(NotFound):
        await service.answered(call.id, CallId("another"))
    await service.place()
    with pytest.raises(NotFound):
        await service.answered(call.id, CallId("another"))
    await service.told(CallId("another"), "survey.answered", {})
    assert (await table.calls(record))[0].told is None
