"""催单: somebody rings again about an open record. It is raised, its owner told, and nothing is begun a second time."""

from __future__ import annotations

import asyncio

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import SystemClock
from ctiserver.features.dispatch.advance import TOPICS, Advance
from ctiserver.features.records.service import Records
from ctiserver.model.ids import CallId, ContactId, new_ulid
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from ctiserver.store.database import Database
from tests.support.dispatch import REPAIR, advance_on
from tests.support.rows import a_contact, a_user

CLOCK = SystemClock()


def records_on(database: Database) -> Records:
    return Records(
        database,
        Bus(),
        CLOCK,
        load_site(shipped("config")),
        time_zone="Asia/Shanghai",
        pbxs={},
        changed=lambda record: None,
    )


def a_call() -> CallId:
    return CallId(new_ulid(CLOCK.now()))


async def carried_out(database: Database, advance: Advance) -> None:
    """Everything that waits for processes now is told to them, as the engine would."""
    async with database.reading() as uow:
        rows = [row for row in await uow.outbox.waiting(TOPICS) if row.due_at <= CLOCK.now()]
    for row in rows:
        await advance(row.topic, row.id, dict(row.payload))


async def looked_at(database: Database, record: Record) -> tuple[Record, list[WorkOrder], list[str]]:
    async with database.reading() as uow:
        return (
            await uow.records.get(record.id),
            await uow.work_orders.of_record(record.id),
            [line.kind for line in await uow.records.timeline(record.id)],
        )


@pytest.fixture
async def contact(database: Database) -> ContactId:
    contact = a_contact()
    async with database.unit_of_work() as uow:
        await uow.contacts.add(contact)
        await uow.users.add(a_user("mia", role="technician"))
    return contact.id


async def test_its_process_raises_it_and_no_second_visit_is_begun(database: Database, contact: ContactId) -> None:
    records, advance = records_on(database), advance_on(database, REPAIR)
    first = (await records.open("repair", actor="call", call_id=a_call(), contact_id=contact)).record
    async with database.unit_of_work() as uow:
        await uow.outbox.start_process(first.id, "repair", CLOCK.now())
    await carried_out(database, advance)
    again = a_call()
    for _ in range(2):  # the flow opens it, and the agent's form once more
        opened = await records.open("repair", actor=f"call:{again}", call_id=again, contact_id=contact)
        assert (opened.new, opened.record.id, opened.record.repeat_calls) == (False, first.id, 1)
    await carried_out(database, advance)
    record, orders, kinds = await looked_at(database, first)
    assert (record.priority, record.repeat_calls) == (first.priority + 1, 1)
    assert [order.kind for order in orders] == ["dispatch"]
    assert [kind for kind in kinds if kind in ("called_again", "notified", "priority_raised")] == [
        "called_again",
        "notified",
        "priority_raised",
    ]


async def test_without_a_process_it_is_raised_by_one(database: Database, contact: ContactId) -> None:
    records = records_on(database)
    first = (await records.open("repair", actor="call", call_id=a_call(), contact_id=contact)).record
    raised = (await records.open("repair", actor="call", call_id=a_call(), contact_id=contact)).record
    assert (raised.id, raised.priority, raised.repeat_calls) == (first.id, first.priority + 1, 1)
    async with database.reading() as uow:
        assert await uow.outbox.waiting(["process_signal"]) == []


async def test_an_agent_says_that_a_call_is_about_it_whatever_the_caller_pressed(
    database: Database, contact: ContactId
) -> None:
    records = records_on(database)
    repair = (await records.open("repair", actor="call", call_id=a_call(), contact_id=contact)).record
    call = a_call()
    await records.open("enquiry", actor="call", call_id=call, contact_id=contact)
    for _ in range(2):
        urged = await records.urge(repair.id, call, actor="user:ann")
        assert (urged.priority, urged.repeat_calls) == (repair.priority + 1, 1)
    _, _, kinds = await looked_at(database, repair)
    assert kinds == ["opened", "called_again"]


async def test_of_two_calls_at_once_the_second_finds_what_the_first_opened(
    database: Database, contact: ContactId
) -> None:
    records = records_on(database)
    opened = await asyncio.gather(
        *(records.open("repair", actor="call", call_id=a_call(), contact_id=contact) for _ in range(8))
    )
    assert len({one.record.id for one in opened}) == 1
    assert sorted(one.record.repeat_calls for one in opened) == list(range(8))
