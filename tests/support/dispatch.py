"""Dispatch, engine and all, on a test's databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from ctiserver.clock import SystemClock
from ctiserver.features.dispatch.advance import Advance
from ctiserver.features.dispatch.definitions import Definition
from ctiserver.features.dispatch.service import Dispatch
from ctiserver.features.dispatch.workflow import Workflow
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import RecordId
from ctiserver.model.process import check as process_check
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.resources import shipped
from ctiserver.settings import WorkflowSettings
from ctiserver.store.database import Database
from ctiserver.strict_yaml import load

DEADLINE_S = 20.0

#: A repair with short deadlines and no calendar.
REPAIR = """
schema: process/1
process: repair
version: 1
for: {type: repair}
start: visit
any_time:
  called_again: {notify: owner, raise_priority: 1}
  cancelled_by_customer: {close: cancelled}
steps:
  visit:
    order: dispatch
    to: {role: technician}
    accept_within: 1 hour
    complete_within: 1 day
    on:
      done: follow_up
      declined: {go: visit, max: 2, then: dispatcher}
      late: {escalate: supervisor, stay: true}
  follow_up:
    order: follow_up
    to: {role: agent, choose: anybody}
    after: 3 days
    complete_within: 1 day
    on:
      satisfied: close_resolved
      dissatisfied: {go: visit, raise_priority: 1, max: 1, then: supervisor}
      unreachable: close_unconfirmed
      late: {escalate: supervisor, stay: true}
  close_resolved: {close: resolved}
  close_unconfirmed: {close: unconfirmed}
"""


def shipped_repair() -> str:
    """The repair that is shipped, where every hour is a working hour."""
    text = shipped("config", "processes", "repair.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("calendar:")]
    return "\n".join(lines).replace("working ", "").replace("calendar: service_desk", "calendar: desk") + "\n"


def definitions(*texts: str) -> Mapping[str, Definition]:
    """Definitions from their texts, by name."""
    found = {}
    for text in texts or (REPAIR,):
        document = load(text, file="test.yaml")
        file = process_check.read(document, calendars=("desk",), record_types=("repair",))
        found[file.process] = Definition(file, process_check.source(document))
    return found


def advance_on(database: Database, *texts: str) -> Advance:
    """What moves processes on, with the machine's clock."""
    found = definitions(*texts)
    return Advance(database, lambda: found, SystemClock(), WorkingTime(ZoneInfo("UTC")))


@dataclass(frozen=True)
class Running:
    """Dispatch with its durable engine running."""

    database: Database
    dispatch: Dispatch
    workflow: Workflow

    async def start(self, record: Record, process: str = "repair") -> None:
        """Leave the row that starts a process, as saving a disposition does."""
        async with self.database.unit_of_work() as uow:
            await leave_start(uow, record.id, process)

    async def orders(self, record: RecordId) -> list[WorkOrder]:
        async with self.database.reading() as uow:
            return await uow.work_orders.of_record(record)

    async def order(self, record: RecordId, kind: str, state: str) -> WorkOrder:
        """Wait until the record has an order of this kind in this state."""
        found: list[WorkOrder] = []

        async def there() -> bool:
            found[:] = [one for one in await self.orders(record) if (one.kind, one.state) == (kind, state)]
            return bool(found)

        await until(there, f"a {kind} order is {state}")
        return found[-1]

    async def closed(self, record: RecordId) -> Record:
        """Wait until the record is closed."""

        async def there() -> bool:
            async with self.database.reading() as uow:
                return (await uow.records.get(record)).status == "closed"

        await until(there, "the record is closed")
        async with self.database.reading() as uow:
            return await uow.records.get(record)


async def leave_start(uow: object, record: RecordId, process: str = "repair") -> None:
    """The outbox row that saving a disposition leaves."""
    await uow.outbox.add(  # type: ignore[attr-defined]
        "process_start",
        f"process_start/{record}/{process}",
        {"record_id": record, "process": process},
        SystemClock().now(),
    )


@asynccontextmanager
async def running(
    database: Database, workflow_url: str, *texts: str, polling_s: float = 0.02
) -> AsyncIterator[Running]:
    """Dispatch with its engine on ``workflow_url``, until the block ends."""
    workflow = Workflow(
        database, advance_on(database, *texts), SystemClock(), workflow_url, WorkflowSettings(polling_s=polling_s)
    )
    service = asyncio.ensure_future(workflow.run())
    ready = asyncio.ensure_future(workflow.ready.wait())
    try:
        await asyncio.wait([service, ready], return_when=asyncio.FIRST_COMPLETED)
        if service.done():
            service.result()
        yield Running(database, Dispatch(database, SystemClock()), workflow)
        assert not service.done(), service.exception()
    finally:
        ready.cancel()
        service.cancel()
        await asyncio.wait([service])


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, *, every_s: float = 0.02, deadline_s: float = DEADLINE_S
) -> None:
    """Wait until ``condition`` holds; it fails after a deadline, saying what was waited for."""
    try:
        async with asyncio.timeout(deadline_s):
            while not await condition():  # noqa: ASYNC110 - what is waited for lies in a database
                await asyncio.sleep(every_s)
    except TimeoutError:
        raise AssertionError(f"waited {deadline_s:g} s in vain until {what}") from None
