"""What a record's chain is made of, read in one go; and the work that is late or about to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from ctiserver.clock import Clock
from ctiserver.model.ids import RecordId, UserId
from ctiserver.model.work.chain import Chain, Known, chain
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.store.database import Database
from ctiserver.store.repositories.processes import ProcessRow

#: What is due so soon is about to be late.
SOON = timedelta(hours=4)
_ASKS = frozenset({"follow_up", "survey"})


class Chains:
    """Questions about the way of records; nothing here changes anything."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def of_record(self, record_id: RecordId) -> tuple[Record, Chain]:
        """A record's whole way. Raises NotFound."""
        async with self._database.reading() as uow:
            record = await uow.records.get(record_id)
            calls = [call for key in await uow.records.calls(record_id) if (call := await uow.calls.find(key))]
            processes = await uow.processes.of_record(record_id)
            known = Known(
                record=record,
                calls=calls,
                paths={call.id: await uow.calls.path(call.id) for call in calls},
                recordings=[recording for call in calls for recording in await uow.recordings.of_call(call.id)],
                orders=await uow.work_orders.of_record(record_id),
                expenses=await uow.expenses.of_record(record_id),
                timeline=await uow.records.timeline(record_id),
                follows_up=any(_follows_up(process) for process in processes),
                in_process=any(process.status == "running" for process in processes),
            )
        return record, chain(known, self._clock.now())

    async def late(self) -> list[tuple[WorkOrder, Record, str, bool]]:
        """Open orders that are late or due within :data:`SOON`, due first: each with its record, the name of who has
        it (a role where nobody does), and whether it is late already."""
        now = self._clock.now()
        async with self._database.reading() as uow:
            found = await uow.work_orders.due_before(now + SOON)
            people = {user.id: user.name for user in await uow.users.everybody()}
            records = {order.record_id: await uow.records.get(order.record_id) for order in found}
        return [
            (order, records[order.record_id], _owner(order, people), order.late or _deadline(order, now) <= now)
            for order in found
        ]


def _owner(order: WorkOrder, people: Mapping[UserId, str]) -> str:
    return order.role if order.assignee is None else people.get(order.assignee, order.assignee)


def _deadline(order: WorkOrder, otherwise: datetime) -> datetime:
    """What is to happen next to an order: somebody takes it, or it is done."""
    if order.state == "offered" and order.accept_by is not None:
        return order.accept_by
    return order.due_at or otherwise + SOON


def _follows_up(process: ProcessRow) -> bool:
    """Whether a definition asks the customer afterwards; an order's kind may stand in a step or in a part of one."""

    def asks(written: object) -> bool:
        if isinstance(written, Mapping):
            return written.get("order") in _ASKS or any(asks(value) for value in written.values())
        return isinstance(written, Sequence) and not isinstance(written, str) and any(asks(value) for value in written)

    return asks(process.definition)
