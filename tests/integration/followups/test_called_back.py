"""After the visit the customer is called, and what they press decides what happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from ctiserver.app.composition import App, running
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.ids import UserId
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder
from tests.support.customers import CUSTOMER, CustomerSite, answers
from tests.support.dispatch import leave_start, until
from tests.support.rows import a_record, a_user

pytestmark = pytest.mark.pbx


@dataclass
class Centre:
    """A running server, its technician, and the customer's telephone."""

    app: App
    phone: SipPhone
    technician: UserId

    async def begin(self) -> Record:
        """A record whose repair begins."""
        record = a_record(caller_number=CUSTOMER)
        async with self.app.database.unit_of_work() as uow:
            await uow.records.add(record)
            await leave_start(uow, record.id)
        return record

    async def order(self, record: Record, kind: str, state: str, after: int = 0) -> WorkOrder:
        """Wait until the record has an order of this kind in this state, not counting the first ``after`` of the kind."""
        found: list[WorkOrder] = []

        async def there() -> bool:
            async with self.app.database.reading() as uow:
                orders = [one for one in await uow.work_orders.of_record(record.id) if one.kind == kind][after:]
            found[:] = [one for one in orders if one.state == state]
            return bool(found)

        await until(there, f"a {kind} order is {state}")
        return found[0]

    async def visited(self, record: Record, after: int = 0) -> None:
        """The technician does the visit."""
        visit = await self.order(record, "dispatch", "offered", after)
        await self.app.features.dispatch.accept(visit.id, self.technician)
        await self.app.features.dispatch.complete(visit.id, self.technician, "done")

    async def now(self, record: Record) -> Record:
        async with self.app.database.reading() as uow:
            return await uow.records.get(record.id)

    async def kinds(self, record: Record) -> list[str]:
        async with self.app.database.reading() as uow:
            return [entry.kind for entry in await uow.records.timeline(record.id)]


@pytest.fixture
async def centre(customers: CustomerSite, programs: Programs) -> AsyncIterator[Centre]:
    async with AsyncExitStack() as stack:
        pbx = await stack.enter_async_context(customers.pbx(programs))
        phone = await stack.enter_async_context(customers.phone(programs, pbx))
        app = await stack.enter_async_context(running(customers.settings(pbx.ami_port, pbx.ami_secret)))
        await app.ready(20)
        mia = a_user("mia", role="technician")
        async with app.database.unit_of_work() as uow:
            await uow.users.add(mia)
        yield Centre(app, phone, mia.id)


async def test_an_unhappy_customer_is_visited_again_and_then_happy(centre: Centre) -> None:
    record = await centre.begin()
    await centre.visited(record)
    assert await centre.phone.ringing() == "4008001234"
    await answers(centre.phone, "1", "2")  # not satisfied at all, and wants to talk with nobody now
    await centre.phone.ended(20)

    await centre.visited(record, after=1)
    reopened = await centre.now(record)
    assert (reopened.status, reopened.priority) == ("open", record.priority + 1)
    assert reopened.fields["satisfaction"] == 1
    kinds = await centre.kinds(record)
    assert kinds.count("customer_called") == 1
    assert "notified" in kinds

    await centre.phone.ringing()
    await answers(centre.phone, "5")
    await centre.phone.ended(20)

    async def closed() -> bool:
        return (await centre.now(record)).status == "closed"

    await until(closed, "the record is closed")
    record = await centre.now(record)
    assert (record.resolution, record.fields["satisfaction"]) == ("resolved", 5)
    assert centre.phone.rung == 2
    async with centre.app.database.reading() as uow:
        orders = await uow.work_orders.of_record(record.id)
        calls = await uow.outbound_calls.of_record(record.id)
        log = [await uow.calls.get(call) for call in await uow.records.calls(record.id)]
    assert [(order.kind, order.state, order.outcome) for order in orders] == [
        ("dispatch", "done", "done"),
        ("follow_up", "done", "dissatisfied"),
        ("dispatch", "done", "done"),
        ("follow_up", "done", "satisfied"),
    ]
    assert [(call.state, call.told, call.minutes) for call in calls] == [
        ("over", "dissatisfied", 1),
        ("over", "answered", 1),
    ]
    assert [entry.direction for entry in log] == ["outbound", "outbound"]


async def test_who_is_not_reached_is_called_again_and_then_a_person_tries(centre: Centre) -> None:
    record = await centre.begin()
    await centre.visited(record)
    for _ in range(2):
        await centre.phone.ringing()
        await centre.phone.decline()
        await centre.phone.ended()
    person = await centre.order(record, "follow_up", "offered", after=2)
    assert person.role == "supervisor"  # the record has no owner
    assert centre.phone.rung == 2
    async with centre.app.database.reading() as uow:
        calls = await uow.outbound_calls.of_record(record.id)
    assert [(call.outcome, call.reason, call.answered_at) for call in calls] == [
        ("unreachable", "no_answer", None),
        ("unreachable", "no_answer", None),
    ]
