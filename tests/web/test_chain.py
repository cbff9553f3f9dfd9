"""A record's chain over HTTP, and the list of what is late."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ctiserver.model.ids import RecordId, UserId, WorkOrderId, new_ulid
from ctiserver.model.work.work_order import WorkOrder
from tests.support.desk import Browser, Desk
from tests.support.eventually import eventually


async def _record(running: Desk) -> RecordId:
    """A call that was answered, and its record."""
    line = running.line()
    line.start()
    opened = await running.features.records.open("repair", actor=f"call:{line.id}", call_id=line.id)
    line.end("answered")

    async def complete() -> bool:
        async with running.database.reading() as uow:
            entry = await uow.calls.find(line.id)
        return entry is not None and entry.complete

    await eventually(complete, bool)
    return opened.record.id


async def _order(running: Desk, record: RecordId, *, due_in: timedelta, assignee: UserId | None) -> WorkOrder:
    now = datetime.now(UTC)
    order = WorkOrder(
        id=WorkOrderId(new_ulid(now)), number=f"D-{new_ulid(now)[-6:]}", key=new_ulid(now), kind="dispatch",
        record_id=record, process_id=None, step="visit", state="accepted" if assignee else "offered",
        assignee=assignee, role="technician", due_at=now + due_in, created_at=now, updated_at=now,
    )  # fmt: skip
    async with running.database.unit_of_work() as uow:
        await uow.work_orders.add(order)
    return order


async def test_the_way_of_a_record_is_told_from_the_ring_on(running: Desk, agent: Browser) -> None:
    record = await _record(running)
    said = await agent.json("GET", f"/api/v1/records/{record}/chain")
    assert {"ring", "opened"} <= {link["kind"] for link in said["links"]}
    assert said["whole"] is True  # it has an hour to get its result


async def test_a_late_order_breaks_the_chain_and_stands_on_the_list_of_its_owner(running: Desk, agent: Browser) -> None:
    record = await _record(running)
    async with running.database.reading() as uow:
        technician = await uow.users.by_login("technician")
    assert technician is not None
    late = await _order(running, record, due_in=timedelta(hours=-1), assignee=technician.id)
    async with running.database.unit_of_work() as uow:
        await uow.work_orders.update(replace(late, late=True))
    soon = await _order(running, record, due_in=timedelta(hours=1), assignee=None)
    await _order(running, record, due_in=timedelta(days=2), assignee=None)

    said = await agent.json("GET", f"/api/v1/records/{record}/chain")
    assert [(gap["kind"], gap["number"]) for gap in said["breaks"]] == [("order_late", late.number)]
    async with Browser(running.url) as supervisor:
        await supervisor.log_in("supervisor")
        listed = (await supervisor.json("GET", "/api/v1/late"))["orders"]
    assert [(order["number"], order["owner"], order["late"]) for order in listed] == [
        (late.number, technician.name, True),
        (soon.number, "technician", False),
    ]
