"""A server to be killed: dispatch with its engine, and people who do each order at once.

Run as ``python -m tests.chaos.server DATABASE WORKFLOW [--executor ID] [--hold]``. With ``--hold`` the relay never
hands anything on, so that a kill falls between commit and relay. It prints ``ready`` once it runs.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence

from ctiserver.clock import SystemClock
from ctiserver.features.dispatch import workflow as dispatch_workflow
from ctiserver.features.dispatch.engine import WorkflowEngine
from ctiserver.features.dispatch.service import Dispatch
from ctiserver.features.dispatch.workflow import Workflow
from ctiserver.model.ids import UserId
from ctiserver.model.work.work_order import IllegalAct, WorkOrder
from ctiserver.settings import WorkflowSettings
from ctiserver.store.database import Database
from ctiserver.store.faults import Conflict, StoreUnavailable
from ctiserver.store.repositories.outbox import OutboxRow
from ctiserver.supervise import Supervisor
from tests.support.dispatch import advance_on

#: A repair whose every wait is over in no time.
QUICK = """
schema: process/1
process: repair
version: 1
for: {type: repair}
start: visit
steps:
  visit:
    order: dispatch
    to: {role: technician}
    accept_within: 1 hour
    complete_within: 1 day
    on:
      done: follow_up
      declined: {go: visit, max: 3, then: dispatcher}
      late: {escalate: supervisor, stay: true}
  follow_up:
    order: follow_up
    to: {role: agent, choose: anybody}
    after: 0.3 seconds
    complete_within: 1 day
    attempts: 2
    retry_after: 0.3 seconds
    on:
      satisfied: close_resolved
      dissatisfied: {go: visit, raise_priority: 1, max: 1, then: supervisor}
      unreachable: close_unconfirmed
      late: {escalate: supervisor, stay: true}
  close_resolved: {close: resolved}
  close_unconfirmed: {close: unconfirmed}
"""


def answer(subject: str, order: WorkOrder) -> str:
    """How the people of this test answer: by what the record is about, and which order of its slot this is."""
    again = not order.key.endswith("/1")
    if order.kind == "dispatch":
        return "declined" if subject == "declined once" and not again else "done"
    if subject == "unhappy once" and not again:
        return "dissatisfied"
    return "unreachable" if subject == "never reached" else "satisfied"


async def work(database: Database, dispatch: Dispatch, people: Mapping[str, UserId]) -> None:
    """Do every order that is offered; others may do so at the same time, and one of us is too late."""
    while True:
        try:
            async with database.reading() as uow:
                orders = [order for role in people for order in await uow.work_orders.inbox(people[role], role)]
                subjects = {order.id: (await uow.records.get(order.record_id)).subject for order in orders}
        except StoreUnavailable:
            continue
        for order in orders:
            who = order.assignee or people[order.role]
            try:
                if order.state == "offered":
                    outcome = answer(subjects[order.id], order)
                    if outcome == "declined":
                        await dispatch.decline(order.id, who, "busy")
                        continue
                    await dispatch.accept(order.id, who)
                if order.state in ("offered", "accepted"):
                    await dispatch.complete(order.id, who, answer(subjects[order.id], order), {"done_by": who})
            except (IllegalAct, Conflict, StoreUnavailable):
                continue
        await asyncio.sleep(0.05)


async def held(engine: WorkflowEngine, rows: Sequence[OutboxRow]) -> None:
    print(f"holding {len(rows)}", flush=True)  # noqa: T201 - the test reads it
    await asyncio.Event().wait()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("workflow")
    parser.add_argument("--executor", default="local")
    parser.add_argument("--hold", action="store_true")
    arguments = parser.parse_args()
    if arguments.hold:
        dispatch_workflow._receive = held
    async with Database.open(arguments.database) as database:
        async with database.reading() as uow:
            people: dict[str, UserId] = {user.role: user.id for user in await uow.users.everybody()}
        settings = WorkflowSettings(polling_s=0.05, executor=arguments.executor)
        workflow = Workflow(database, advance_on(database, QUICK), SystemClock(), arguments.workflow, settings)
        async with asyncio.TaskGroup() as group:
            Supervisor(group).start("workflow", workflow.run)
            await workflow.ready.wait()
            print("ready", flush=True)  # noqa: T201 - the test reads it
            group.create_task(work(database, Dispatch(database, SystemClock()), people))


if __name__ == "__main__":
    asyncio.run(main())
