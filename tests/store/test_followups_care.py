"""Records raised by data: for the days that the rules mean, and once each."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ctiserver.clock import ManualClock
from ctiserver.errors import FileFault
from ctiserver.features.followups.care import Care
from ctiserver.model.contact import Device
from ctiserver.model.ids import DeviceId, new_ulid
from ctiserver.model.work.care_rule import CareRule, CareRulesFile
from ctiserver.model.work.record import Record
from ctiserver.model.work.stock import StockMove
from ctiserver.site.files import RecordType
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.strict_yaml import load, parse
from tests.support.rows import NOW, a_contact, a_record

TODAY = datetime(2026, 11, 23, 9, tzinfo=UTC)
TYPES = {"care": RecordType(title={}, process="care", priority=4), "enquiry": RecordType(title={})}


def rules(text: str) -> dict[str, CareRule]:
    return parse(load("rules:\n" + text, file="care_rules.yaml"), CareRulesFile).rules


WARRANTY = """\
  warranty_ends:
    of: device
    date: warranty_until
    before: 30 days
    where: "=device.contract == ''"
    raises: {type: care, subject: "Warranty of {{device.model}} {{device.serial}} ends, {{contact.name}}"}
"""


def care(database: Database, text: str, clock: ManualClock) -> Care:
    site = Site(Path(), record_types=TYPES, care_rules=rules(text))
    return Care(database, clock, site, zone=ZoneInfo("Asia/Shanghai"))


async def a_device(database: Database, **fields: object) -> Device:
    """A device of a new contact."""
    contact = a_contact()
    device = Device(id=DeviceId(new_ulid(NOW)), contact_id=contact.id, serial="S-1", model="K9", **fields)  # type: ignore[arg-type]
    async with database.unit_of_work() as uow:
        await uow.contacts.add(contact)
        await uow.contacts.add_device(device)
    return device


async def raised(database: Database) -> list[Record]:
    """Every record that stands, the oldest first."""
    async with database.reading() as uow:
        return list(reversed(await uow.records.recent(1000)))


async def test_a_warranty_that_ends_raises_a_record_once(database: Database) -> None:
    clock = ManualClock(TODAY)
    device = await a_device(database, warranty_until=date(2026, 12, 23))
    await a_device(database, warranty_until=date(2026, 12, 23), contract="gold")
    await a_device(database, warranty_until=date(2026, 12, 24))
    await a_device(database)
    assert await care(database, WARRANTY, clock).look() == 1
    (record,) = await raised(database)
    assert (record.type, record.subject, record.priority) == ("care", "Warranty of K9 S-1 ends, 测试客户", 4)
    assert (record.device_id, record.contact_id) == (device.id, device.contact_id)
    assert await care(database, WARRANTY, clock).look() == 0, "nor after a restart"
    async with database.reading() as uow:
        (start,) = await uow.outbox.waiting(["process_start"])
        (note,) = await uow.records.timeline(record.id)
    assert start.payload == {"record_id": record.id, "process": "care"}
    assert (note.kind, note.data) == (
        "raised_by_rule",
        {"rule": "warranty_ends", "due_on": "2026-11-23", "type": "care"},
    )
    clock.advance(timedelta(days=1).total_seconds())
    assert await care(database, WARRANTY, clock).look() == 1, "the other one's day has come"


async def test_several_servers_at_once_raise_it_once(database: Database) -> None:
    clock = ManualClock(TODAY)
    for _ in range(5):
        await a_device(database, warranty_until=date(2026, 12, 20))
    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(care(database, WARRANTY, clock).look()) for _ in range(4)]
    assert sum(look.result() for look in looks) == 5
    assert len(await raised(database)) == 5


async def test_a_day_that_nobody_looked_is_made_up_for_and_an_old_one_is_not(database: Database) -> None:
    clock = ManualClock(TODAY)
    await a_device(database, warranty_until=date(2026, 12, 13))
    await a_device(database, warranty_until=date(2026, 12, 1))
    assert await care(database, WARRANTY, clock).look() == 1


SERVICE = """\
  service_due:
    of: device
    date: bought_on
    every_months: 12
    raises: {type: care, subject: "Service of {{device.serial}}", priority: 2}
"""


async def test_a_service_is_due_every_year(database: Database) -> None:
    await a_device(database, bought_on=date(2024, 2, 29))
    clock = ManualClock(datetime(2025, 2, 1, tzinfo=UTC))
    made = []
    for _ in range(60):
        made.append(await care(database, SERVICE, clock).look())
        clock.advance(timedelta(days=14).total_seconds())
    assert sum(made) == 3  # 28 Feb 2025, 28 Feb 2026, 28 Feb 2027
    assert {record.priority for record in await raised(database)} == {2}


async def test_a_care_call_follows_a_record_that_was_closed(database: Database) -> None:
    text = """\
  after_installation:
    of: record
    date: closed_at
    after: 2 weeks
    where: "=record.type == 'installation'"
    raises: {type: care, subject: "How is it, {{contact.name}}? {{record.number}}"}
"""
    contact = a_contact()
    closed = datetime(2026, 11, 8, 17, tzinfo=UTC)  # the 9th in Shanghai
    done = a_record(type="installation", status="closed", closed_at=closed, contact_id=contact.id)
    async with database.unit_of_work() as uow:
        await uow.contacts.add(contact)
        await uow.records.add(done)
        await uow.records.add(a_record(type="repair", status="closed", closed_at=closed))
        await uow.records.add(a_record(type="installation"))
    assert await care(database, text, ManualClock(TODAY)).look() == 1
    record = next(one for one in await raised(database) if one.type == "care")
    assert record.subject == f"How is it, 测试客户? {done.number}"
    assert record.contact_id == contact.id


async def test_parts_that_came_are_told_to_whom_they_are_for(database: Database) -> None:
    text = """\
  parts_arrived:
    of: delivery
    date: at
    raises: {type: enquiry, subject: "{{delivery.quantity}} {{delivery.part}} came for {{record.number}}"}
"""
    contact = a_contact()
    waiting = a_record(contact_id=contact.id)
    came = StockMove(
        id=new_ulid(TODAY), key="k1", kind="receive", place="store", part="fan", quantity=2, record_id=waiting.id,
        actor="user:sam", at=TODAY,
    )  # fmt: skip
    async with database.unit_of_work() as uow:
        await uow.contacts.add(contact)
        await uow.records.add(waiting)
        for move in (
            came,
            replace(came, id=new_ulid(TODAY), key="k2", kind="issue"),
            replace(came, id=new_ulid(TODAY), key="k3", record_id=None),
        ):
            await uow.stock.add(move)
    assert await care(database, text, ManualClock(TODAY)).look() == 1
    record = next(one for one in await raised(database) if one.type == "enquiry")
    assert record.subject == f"2 fan came for {waiting.number}"
    assert record.contact_id == contact.id


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("date: warranty_until", "date: warranty_til", "3:5"),
        ("before: 30 days", "before: 30 das", "5:13"),
        ("before: 30 days", "before: 1 day\n    after: 1 day", "3:5"),
        ("device.contract", "device.contrct", "3:5"),
        ("{{contact.name}}", "{{contact.nam}}", "3:5"),
    ],
)
def test_a_rule_that_can_not_be_is_refused_with_its_place(old: str, new: str, place: str) -> None:
    assert old in WARRANTY
    with pytest.raises(FileFault) as refused:
        rules(WARRANTY.replace(old, new, 1))
    assert str(refused.value).startswith(f"care_rules.yaml:{place}: ")
