"""The record that a call's message is put on: the call's own, the contact's open one, or a new one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ctiserver.app.flow_ports import StoreFlowPorts
from ctiserver.bus import Bus
from ctiserver.clock import ManualClock
from ctiserver.features.callbacks.promises import Promises
from ctiserver.features.callbacks.service import Callbacks
from ctiserver.features.contacts.lookups import ContactLookups
from ctiserver.features.contacts.service import Contacts
from ctiserver.features.records.of_calls import CallRecords
from ctiserver.features.records.service import Records
from ctiserver.ivr.runtime.ports import PortFailed
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.ids import CallId, PbxName, new_ulid
from ctiserver.model.work.record import Record
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from ctiserver.store.database import Database
from tests.support.rows import a_contact

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


class Desk:
    def __init__(self, database: Database) -> None:
        self.database = database
        clock = ManualClock(T0)
        site = load_site(shipped("config"))
        self.told: list[Record] = []
        self.records = Records(
            database, Bus(), clock, site, time_zone="Asia/Shanghai", pbxs={}, changed=self.told.append
        )
        contacts = Contacts(database, clock, region="CN")
        self.call_records = CallRecords(
            database, clock, site, records=self.records, contacts_of=contacts.find_or_create_within
        )

    def promises(self) -> Promises:
        clock = ManualClock(T0)
        callbacks = Callbacks(self.database, Bus(), clock, load_site(shipped("config")), pbxs={}, region="CN")
        return Promises(
            self.database,
            clock,
            callbacks,
            record_of_call=self.call_records.for_call,
            changed=self.records.tell,
        )

    async def call(self, ani: str = "13800138000", after_s: int = 0) -> CallEntry:
        at = T0 + timedelta(seconds=after_s)
        entry = CallEntry(
            id=CallId(new_ulid(at)), pbx=PbxName("main"), direction="inbound", ani=ani, dnis="4001234", started_at=at
        )
        async with self.database.unit_of_work() as uow:
            await uow.calls.begin(entry)
        return entry

    async def for_call(self, entry: CallEntry) -> tuple[Record, bool]:
        async with self.database.unit_of_work() as uow:
            return await self.call_records.for_call(uow, entry)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


async def test_a_call_without_a_record_has_one_opened_for_its_only_contact(desk: Desk) -> None:
    record, opened = await desk.for_call(await desk.call())
    async with desk.database.reading() as uow:
        (contact,) = await uow.contacts.by_number("+8613800138000")
    assert (opened, record.contact_id, record.caller_number) == (True, contact.id, "13800138000")
    assert desk.told == []  # it is told by who commits


async def test_a_call_keeps_its_record_even_of_another_type(desk: Desk) -> None:
    entry = await desk.call()
    own = (await desk.records.open("repair", actor="user:x", call_id=entry.id)).record
    assert await desk.for_call(entry) == (own, False)


async def test_asking_twice_for_a_call_opens_one_record(desk: Desk) -> None:
    entry = await desk.call()
    first, _ = await desk.for_call(entry)
    again, opened = await desk.for_call(entry)
    assert (again.id, opened) == (first.id, False)


async def test_a_number_that_several_share_is_nobodys_in_particular(desk: Desk) -> None:
    async with desk.database.unit_of_work() as uow:
        for _ in range(2):
            await uow.contacts.add(a_contact(numbers=("+8613800138000",)))
    record, _ = await desk.for_call(await desk.call())
    assert record.contact_id is None


async def test_a_flow_puts_a_message_and_its_callback_on_the_call_s_new_record(desk: Desk) -> None:
    entry = await desk.call()
    unused: Any = None
    others = dict.fromkeys(
        ("agents", "calls", "paths", "lookups", "dialling", "queues", "followups", "recordings", "http"), unused
    )
    ports = StoreFlowPorts(
        ManualClock(T0),
        pbx=PbxName("main"),
        call_records=desk.call_records,
        promises=desk.promises(),
        **others,
    )
    await ports.voicemail(entry.id, "message.wav", "en")
    await ports.request_callback(entry.id, "13900139000", "repair", None)
    async with desk.database.reading() as uow:
        (record,) = await uow.records.of_call(entry.id)
        lines = [(line.kind, line.data) for line in await uow.records.timeline(record.id)]
        assert [dict(row.payload)["record_id"] for row in await uow.outbox.waiting(["process_start"])].count(record.id)
    assert [kind for kind, _ in lines][-3:] == ["message_left", "callback_requested", "callback_requested"]
    assert [(data["reason"], data["number"]) for kind, data in lines if kind == "callback_requested"] == [
        ("message", "13800138000"),
        ("promised", "13900139000"),
    ]
    assert [told.id for told in desk.told] == [record.id]  # once: it was known the second time


async def test_a_flow_s_callback_of_an_unknown_call_fails(desk: Desk) -> None:
    unused: Any = None
    others = dict.fromkeys(
        ("agents", "calls", "paths", "lookups", "dialling", "queues", "followups", "recordings", "http"), unused
    )
    ports = StoreFlowPorts(
        ManualClock(T0),
        pbx=PbxName("main"),
        call_records=desk.call_records,
        promises=desk.promises(),
        **others,
    )
    with pytest.raises(PortFailed):
        await ports.request_callback(CallId("NOBODY"), "13900139000", "", None)


async def test_a_contact_that_a_flow_looks_up_has_their_open_records(desk: Desk) -> None:
    async with desk.database.unit_of_work() as uow:
        await uow.contacts.add(a_contact(numbers=("+8613800138000",)))
    await desk.for_call(await desk.call())
    contacts = Contacts(desk.database, ManualClock(T0), region="CN")
    unused: Any = None
    others = dict.fromkeys(
        ("agents", "calls", "paths", "dialling", "queues", "call_records", "followups", "recordings", "promises"),
        unused,
    )
    ports = StoreFlowPorts(
        ManualClock(T0),
        pbx=PbxName("main"),
        lookups=ContactLookups(desk.database, contacts),
        http=unused,
        **others,
    )
    (by_number,) = await ports.find("contact", {"number": "13800138000"})
    (by_id,) = await ports.find("contact", {"id": by_number["id"]})
    assert (by_number["open_records"], by_id["open_records"]) == (1, 1)
