"""Each repository gives back what it was given, in the order it promises."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from ctiserver.model.calls.call_entry import CallEntry, PathStep, Pop
from ctiserver.model.contact import Device, Premises
from ctiserver.model.ids import (
    AgentId,
    CallId,
    DeviceId,
    Interface,
    PbxName,
    RecordId,
    SiteId,
    UserId,
    WorkOrderId,
    new_ulid,
)
from ctiserver.model.person import Agent, Session
from ctiserver.model.work.record import TimelineEntry
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.store.database import Database
from ctiserver.store.repositories.processes import ProcessRow, TimerRow
from tests.support.rows import NOW, a_contact, a_record, a_user

LATER = NOW + timedelta(hours=1)


def an_order(record: RecordId, key: str, **changes: object) -> WorkOrder:
    order = WorkOrder(
        id=WorkOrderId(new_ulid(NOW)),
        number=key,
        key=key,
        kind="dispatch",
        record_id=record,
        process_id=None,
        step="visit",
        state="offered",
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(order, **changes)  # type: ignore[arg-type]


async def test_contacts_have_many_numbers_and_numbers_many_contacts(database: Database) -> None:
    older = a_contact(name="Li", numbers=("+8613800138000", "+862188886666"))
    newer = a_contact(name="Wang_50%", organisation="ACME", numbers=("+8613800138000",), updated_at=LATER)
    async with database.unit_of_work() as uow:
        await uow.contacts.add(older)
        await uow.contacts.add(newer)
    async with database.reading() as uow:
        assert await uow.contacts.by_number("+8613800138000") == [newer, older]
        assert await uow.contacts.by_number("+86138") == []
        assert await uow.contacts.search("50%") == [newer]
        assert await uow.contacts.search("acme") == [newer]
        assert await uow.contacts.search("88886666") == [older]
        assert await uow.contacts.search("5_%") == []


async def test_a_contact_is_rewritten_with_its_numbers(database: Database) -> None:
    contact = a_contact(numbers=("1", "2", "1"))
    async with database.unit_of_work() as uow:
        await uow.contacts.add(contact)
        await uow.contacts.update(replace(contact, name="Neu", numbers=("3", "2")))
    async with database.reading() as uow:
        assert await uow.contacts.get(contact.id) == replace(contact, name="Neu", numbers=("3", "2"), revision=2)


async def test_sites_and_devices(database: Database) -> None:
    contact = a_contact()
    site = Premises(id=SiteId(new_ulid(NOW)), contact_id=contact.id, name="Works", address="1 Road", region="north")
    device = Device(
        id=DeviceId(new_ulid(NOW)),
        contact_id=contact.id,
        site_id=site.id,
        serial="SN0012345678",
        model="B-7",
        warranty_until=date(2027, 1, 1),
    )
    async with database.unit_of_work() as uow:
        await uow.contacts.add(contact)
        await uow.contacts.add_site(site)
        await uow.contacts.add_device(device)
    async with database.reading() as uow:
        assert await uow.contacts.sites(contact.id) == [site] == [await uow.contacts.site(site.id)]
        assert await uow.contacts.devices(contact.id) == [device] == [await uow.contacts.device(device.id)]
        assert await uow.contacts.devices_by_serial("12345678") == [device]
        assert await uow.contacts.devices_by_serial("_2345678") == []


async def test_people(database: Database) -> None:
    user = a_user("mia", role="technician", skills=("boiler", "锅炉"))
    agent = Agent(
        id=AgentId("agent1"), user_id=user.id, name="Mia", extension="101", interface=Interface("PJSIP/agent1")
    )
    async with database.unit_of_work() as uow:
        await uow.users.add(user)
        await uow.users.add(a_user("ann"))
        await uow.agents.add(agent)
    async with database.reading() as uow:
        assert await uow.users.by_login("mia") == user
        assert await uow.users.by_login("MIA") is None
        assert [found.login for found in await uow.users.everybody()] == ["ann", "mia"]
        assert [found.login for found in await uow.users.everybody("technician")] == ["mia"]
        assert agent == await uow.agents.by_user(user.id) == await uow.agents.by_interface(agent.interface)
        assert await uow.agents.by_extension("101") == agent
        assert await uow.agents.everybody() == [agent]


async def test_sessions_end(database: Database) -> None:
    user = a_user("mia")
    session = Session(token_hash="a" * 64, user_id=user.id, created_at=NOW, seen_at=NOW, expires_at=LATER)
    async with database.unit_of_work() as uow:
        await uow.users.add(user)
        await uow.sessions.add(session)
        await uow.sessions.add(replace(session, token_hash="b" * 64))
        await uow.sessions.touch("b" * 64, LATER, LATER + timedelta(hours=1))
        assert await uow.sessions.remove_expired(LATER) == 1
        assert await uow.sessions.find("a" * 64) is None
        assert (await uow.sessions.find("b" * 64)).seen_at == LATER  # type: ignore[union-attr]
        await uow.sessions.remove_of(user.id)
        assert await uow.sessions.find("b" * 64) is None


async def test_record_numbers_have_no_gap_and_no_double(database: Database) -> None:
    day = date(2026, 11, 21)

    async def open_record() -> None:
        async with database.unit_of_work() as uow:
            await uow.records.add(a_record(number=await uow.records.next_number(day)))

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(open_record())
    async with database.reading() as uow:
        found = sorted(record.number for record in await uow.records.recent())
    assert found == [f"R20261121-{number:04d}" for number in range(1, 21)]
    async with database.unit_of_work() as uow:
        assert await uow.records.next_number(date(2026, 11, 22)) == "R20261122-0001"


async def test_records_by_whom_and_what(database: Database) -> None:
    contact = a_contact()
    agent = Agent(id=AgentId("a"), user_id=None, name="A", extension="1", interface=Interface("PJSIP/a"))
    repair = a_record(contact_id=contact.id, owner=agent.id, fields={"serial": "SN1", "price": "12.50"})
    urgent = a_record(contact_id=contact.id, type="complaint", owner=agent.id, priority=2, opened_at=LATER)
    closed = a_record(contact_id=contact.id, status="closed", closed_at=LATER)
    async with database.unit_of_work() as uow:
        await uow.contacts.add(contact)
        await uow.agents.add(agent)
        for record in (repair, urgent, closed):
            await uow.records.add(record)
        assert await uow.records.link_call(repair.id, CallId("C" * 26)) is True
        assert await uow.records.link_call(repair.id, CallId("C" * 26)) is False
        assert await uow.records.link_call(urgent.id, CallId("C" * 26)) is True
    async with database.reading() as uow:
        assert await uow.records.get(repair.id) == repair
        assert await uow.records.by_number(repair.number) == repair
        assert await uow.records.open_of_contact(contact.id) == [urgent, repair]
        assert await uow.records.open_of_contact(contact.id, "repair") == [repair]
        assert await uow.records.open_of_owner(agent.id) == [urgent, repair]
        assert {record.id for record in await uow.records.of_call(CallId("C" * 26))} == {repair.id, urgent.id}
        assert await uow.records.calls(repair.id) == [CallId("C" * 26)]


async def test_a_timeline_is_in_order(database: Database) -> None:
    record = a_record()
    entries = [
        TimelineEntry(
            id=new_ulid(NOW), record_id=record.id, at=NOW + timedelta(seconds=s), actor="user:mia", kind=f"k{s}"
        )
        for s in (2, 0, 1)
    ]
    async with database.unit_of_work() as uow:
        await uow.records.add(record)
        for entry in entries:
            await uow.records.note(entry)
    async with database.reading() as uow:
        assert [entry.kind for entry in await uow.records.timeline(record.id)] == ["k0", "k1", "k2"]


async def test_the_call_log(database: Database) -> None:
    entry = CallEntry(id=CallId("A" * 26), pbx=PbxName("main"), direction="inbound", ani="138", started_at=NOW)
    ended = replace(
        entry, ended_at=LATER, complete=True, outcome="answered", detail={"segments": [{"party": "caller"}]}
    )
    silent = replace(ended, id=CallId("B" * 26), started_at=LATER, no_record_reason="silent")
    record = a_record()
    async with database.unit_of_work() as uow:
        await uow.calls.save(entry)
        assert await uow.calls.incomplete() == [entry]
        await uow.calls.save(ended)
        await uow.calls.save(silent)
        for seq, outcome in ((2, "ok"), (1, ""), (1, "ok")):
            await uow.calls.add_step(
                PathStep(call_id=entry.id, seq=seq, at=NOW, flow="f", version="1", node=f"n{seq}", outcome=outcome)
            )
        await uow.records.add(record)
    async with database.reading() as uow:
        assert await uow.calls.page() == [silent, ended]
        assert await uow.calls.page(before=silent.id) == [ended]
        assert await uow.calls.incomplete() == []
        assert await uow.calls.unaccounted() == [ended]
        assert await uow.calls.count_from("138", NOW) == 2
        assert [(step.node, step.outcome) for step in await uow.calls.path(entry.id)] == [("n1", "ok"), ("n2", "ok")]
    async with database.unit_of_work() as uow:
        await uow.records.link_call(record.id, ended.id)
        assert await uow.calls.unaccounted() == []


async def test_of_two_that_resume_a_flow_one_gets_it(database: Database) -> None:
    call = CallId("A" * 26)
    async with database.unit_of_work() as uow:
        await uow.flow_states.save(call, {"node": "a"}, NOW)
        await uow.flow_states.save(call, {"node": "b", "vars": {"x": [1, None, "二"]}}, LATER)
    taken = []

    async def resume() -> None:
        async with database.unit_of_work() as uow:
            state = await uow.flow_states.load(call)
            if await uow.flow_states.remove(call):
                taken.append(state)

    async with asyncio.TaskGroup() as group:
        group.create_task(resume())
        group.create_task(resume())
    assert taken == [{"node": "b", "vars": {"x": [1, None, "二"]}}]


async def test_a_pop_is_painted_once_and_only_by_its_agent(database: Database) -> None:
    agent = Agent(id=AgentId("a"), user_id=None, name="A", extension="1", interface=Interface("PJSIP/a"))
    pop = Pop(
        id=new_ulid(NOW), call_id=CallId("A" * 26), agent_id=agent.id, contact_id=None, record_id=None, sent_at=NOW
    )
    async with database.unit_of_work() as uow:
        await uow.agents.add(agent)
        await uow.pops.add(pop)
        assert await uow.pops.painted(pop.id, AgentId("b"), LATER) is False
        assert await uow.pops.painted(pop.id, agent.id, LATER) is True
        assert await uow.pops.painted(pop.id, agent.id, LATER + timedelta(1)) is False
        assert await uow.pops.of_call(pop.call_id) == [replace(pop, painted_at=LATER)]


async def test_an_inbox_holds_mine_and_my_roles_due_first(database: Database) -> None:
    me, other, record = a_user("me", role="technician"), a_user("other", role="technician"), a_record()
    orders = {
        "undated": {"assignee": me.id},
        "late": {"assignee": me.id, "due_at": NOW},
        "soon": {"role": "technician", "due_at": LATER},
        "theirs": {"assignee": other.id},
        "cashier's": {"role": "cashier"},
        "done": {"assignee": me.id, "state": "done"},
    }
    async with database.unit_of_work() as uow:
        for user in (me, other):
            await uow.users.add(user)
        await uow.records.add(record)
        for key, changes in orders.items():
            await uow.work_orders.add(an_order(record.id, key, **changes))
    async with database.reading() as uow:
        assert [order.key for order in await uow.work_orders.inbox(me.id, "technician")] == ["late", "soon", "undated"]
        everything = await uow.work_orders.inbox(me.id, "technician", open_only=False)
        assert {order.key for order in everything} == {"late", "soon", "undated", "done"}
        assert await uow.work_orders.load([me.id, other.id, UserId("none")]) == {me.id: 2, other.id: 1, "none": 0}
        assert len(await uow.work_orders.of_record(record.id)) == 6


async def test_the_outbox_keeps_one_row_a_key_until_handed(database: Database) -> None:
    async with database.unit_of_work() as uow:
        assert await uow.outbox.add("a", "k1", {"n": 1}, NOW, due_at=LATER) is True
        assert await uow.outbox.add("a", "k1", {"n": 2}, NOW) is False
        assert await uow.outbox.add("b", "k2", {}, LATER) is True
    async with database.unit_of_work() as uow:
        (row,) = await uow.outbox.waiting(["a"])
        assert (row.payload, row.due_at) == ({"n": 1}, LATER)
        assert await uow.outbox.waiting(["a"], due_by=NOW) == []
        assert await uow.outbox.waiting(["a"], due_by=LATER) == [row]
        await uow.outbox.handed([row.id], LATER)
        assert await uow.outbox.waiting(["a"]) == []
        assert await uow.outbox.add("a", "k1", {}, LATER) is False
        assert len(await uow.outbox.waiting(["a", "b"])) == 1
        assert await uow.outbox.purge(LATER + timedelta(seconds=1)) == 1
        assert await uow.outbox.by_key("k1") is None


async def test_processes_are_told_once_and_timers_end_once(database: Database) -> None:
    record = a_record()
    process = ProcessRow(
        id=new_ulid(NOW),
        record_id=record.id,
        name="repair",
        version=1,
        status="running",
        definition={"steps": {}},
        started_at=NOW,
        updated_at=NOW,
    )
    async with database.unit_of_work() as uow:
        await uow.records.add(record)
        await uow.processes.add(process)
        assert await uow.processes.told(process.id, "e1", "signal", {}, NOW) is True
        assert await uow.processes.told(process.id, "e1", "signal", {}, NOW) is False
        timer = TimerRow(id=new_ulid(NOW), process_id=process.id, key="late", due_at=LATER, state="waiting")
        await uow.timers.add([timer])
        await uow.timers.add([replace(timer, id=new_ulid(NOW), due_at=NOW)])
        assert await uow.timers.waiting(process.id) == [timer]
        assert await uow.timers.overdue(LATER) == []
        assert await uow.timers.overdue(LATER + timedelta(seconds=1)) == [timer]
        assert await uow.timers.end(process.id, "late", "fired", LATER) is True
        assert await uow.timers.end(process.id, "late", "cancelled", LATER) is False
        keys = ("visit/1:late", "visit/10:late")
        await uow.timers.add([replace(timer, id=new_ulid(NOW), key=key) for key in keys])
        for timer in await uow.timers.waiting(process.id):
            await uow.outbox.add("t", timer.key, {}, NOW, row_id=timer.id)
        await uow.timers.cancel(process.id, "visit/1:", LATER)
        assert [row.key for row in await uow.outbox.waiting(["t"])] == ["visit/10:late"]
        assert [timer.key for timer in await uow.timers.waiting(process.id)] == ["visit/10:late"]
        await uow.processes.keep(process, {"step": "x"}, LATER, closed_at=LATER)
        (kept,) = await uow.processes.of_record(record.id)
        assert (kept.state, kept.status, kept.closed_at, kept.revision) == ({"step": "x"}, "closed", LATER, 2)


async def test_times_come_back_in_utc_to_the_microsecond(database: Database) -> None:
    at = datetime.fromisoformat("2026-11-21T16:00:00.000001+08:00")
    record = a_record(opened_at=at)
    async with database.unit_of_work() as uow:
        await uow.records.add(record)
    async with database.reading() as uow:
        found = (await uow.records.get(record.id)).opened_at
    assert (found, found.tzinfo) == (at, UTC)
