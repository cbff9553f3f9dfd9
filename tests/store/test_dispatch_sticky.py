"""Who was there before goes again (``sticky: record``), as the shipped repair says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ctiserver.clock import SystemClock
from ctiserver.model.ids import UserId, WorkOrderId, new_ulid
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.store.database import Database
from tests.support.dispatch import running, shipped_repair, until
from tests.support.rows import a_record, a_user

CLOCK = SystemClock()


async def _busy(database: Database, who: UserId, orders: int) -> None:
    """Give somebody so many accepted visits elsewhere."""
    now = CLOCK.now()
    async with database.unit_of_work() as uow:
        for number in range(orders):
            record = a_record()
            await uow.records.add(record)
            order = WorkOrder(
                id=WorkOrderId(new_ulid(now)),
                number=f"D20261122-9{number:03d}",
                key=f"none/{record.id}",
                kind="dispatch",
                record_id=record.id,
                process_id=None,
                step="visit",
                assignee=who,
                role="technician",
                created_at=now,
                updated_at=now,
            )
            await uow.work_orders.add(replace(order, state="accepted"))


@pytest.mark.parametrize(
    ("outcome", "sticky", "goes", "reasons"),
    [
        ("not_home", True, "ann", {"ann": "sticky", "bob": "somebody_did_it_before"}),
        ("rescheduled", True, "ann", {"ann": "sticky", "bob": "somebody_did_it_before"}),
        ("declined", True, "bob", {"ann": "declined_before", "bob": "chosen"}),
        ("not_home", False, "bob", {"ann": "has_more_orders", "bob": "chosen"}),
    ],
)
async def test_the_second_visit_is_theirs_who_made_the_first_unless_they_declined_it(
    database: Database, workflow_url: str, outcome: str, goes: str, *, sticky: bool, reasons: dict[str, str]
) -> None:
    ann, bob = a_user("ann", role="technician"), a_user("bob", role="technician")
    record = a_record()
    async with database.unit_of_work() as uow:
        await uow.users.add(ann)
        await uow.users.add(bob)
        await uow.records.add(record)
    text = shipped_repair()
    assert "sticky: record, " in text
    async with running(database, workflow_url, text if sticky else text.replace("sticky: record, ", "")) as run:
        await run.start(record)
        first = await run.order(record.id, "dispatch", "offered")
        assert first.assignee == ann.id  # by the rule: neither has anything, and it takes the first by name
        await _busy(database, ann.id, 3)  # by load it would be bob from now on
        await run.dispatch.accept(first.id, ann.id)
        if outcome == "declined":
            await run.dispatch.decline(first.id, ann.id, "no ladder")
        else:
            await run.dispatch.complete(first.id, ann.id, outcome)

        async def second() -> bool:
            return len(await run.orders(record.id)) == 2

        await until(second, "a second visit is ordered")
        again = (await run.orders(record.id))[-1]
    assert (again.kind, again.state) == ("dispatch", "offered")
    assert again.assignee == {"ann": ann.id, "bob": bob.id}[goes]
    payload: dict[str, Any] = dict(again.payload)
    assert {one["login"]: one["reason"] for one in payload["considered"]} == reasons
    assert payload["assigned"]["how"] == ("sticky" if reasons[goes] == "sticky" else "rule")
