"""From a saved disposition to a closed record, through the durable engine, on both databases."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dbos import DBOS
from sqlalchemy import exc

from ctiserver.clock import SystemClock
from ctiserver.errors import UserFault
from ctiserver.features.dispatch import engine
from ctiserver.features.dispatch.advance import SIGNAL, Advance
from ctiserver.features.dispatch.execution import Execution
from ctiserver.features.dispatch.placing import Placing
from ctiserver.features.dispatch.service import NotYours, UnknownOutcome
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import AgentId, Interface, RecordId, UserId, new_ulid
from ctiserver.model.json_value import JsonObject
from ctiserver.model.person import Agent
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import IllegalAct, WorkOrder
from ctiserver.resources import shipped
from ctiserver.store.database import Database
from ctiserver.store.faults import StoreUnavailable
from ctiserver.store.repositories.processes import TimerRow
from ctiserver.store.unit_of_work import UnitOfWork
from tests.support.dispatch import REPAIR, Running, leave_start, running, until
from tests.support.rows import a_record, a_user

SOON = REPAIR.replace("complete_within: 1 day", "complete_within: 0.5 seconds").replace("accept_within: 1 hour", "")
CLOCK = SystemClock()


@pytest.fixture
async def dispatch(database: Database, workflow_url: str) -> AsyncIterator[Running]:
    async with running(database, workflow_url) as started:
        yield started


async def people(database: Database, *logins: str) -> list[UserId]:
    """Technicians with these log-ins."""
    users = [a_user(login, role="technician") for login in logins]
    async with database.unit_of_work() as uow:
        for user in users:
            await uow.users.add(user)
    return [user.id for user in users]


async def begun(dispatch: Running, record: Record | None = None) -> tuple[Record, WorkOrder]:
    """A record whose repair has begun, and its dispatch order."""
    record = record or a_record()
    async with dispatch.database.unit_of_work() as uow:
        await uow.records.add(record)
    await dispatch.start(record)
    return record, await dispatch.order(record.id, "dispatch", "offered")


async def timeline(database: Database, record: Record) -> list[tuple[str, object]]:
    async with database.reading() as uow:
        return [(entry.kind, entry.data) for entry in await uow.records.timeline(record.id)]


async def noted(database: Database, record: Record, kind: str, times: int = 1) -> None:
    """Wait until the timeline has so many lines of a kind."""

    async def there() -> bool:
        return [found for found, _ in await timeline(database, record)].count(kind) >= times

    await until(there, f"{kind} stands on the timeline")


async def test_a_repair_goes_from_the_desk_to_closed(dispatch: Running) -> None:
    mia, ann, record = a_user("mia", role="technician"), a_user("ann"), a_record()
    async with dispatch.database.unit_of_work() as uow:
        await uow.users.add(mia)
        await uow.users.add(ann)
        await uow.records.add(record)
    await dispatch.start(record)

    visit = await dispatch.order(record.id, "dispatch", "offered")
    assert visit.assignee == mia.id
    assert visit.due_at is not None
    assert timedelta(hours=23) < visit.due_at - CLOCK.now() < timedelta(hours=25)
    assert [order.id for order in await dispatch.dispatch.inbox(mia.id)] == [visit.id]
    await dispatch.dispatch.accept(visit.id, mia.id)
    await dispatch.dispatch.start(visit.id, mia.id)
    await dispatch.dispatch.complete(visit.id, mia.id, "done", {"labour": "120.00"})

    follow_up = await dispatch.order(record.id, "follow_up", "draft")
    assert follow_up.planned_at is not None
    assert timedelta(days=2) < follow_up.planned_at - CLOCK.now() < timedelta(days=4)
    assert follow_up.due_at == follow_up.planned_at + timedelta(days=1)
    async with dispatch.database.reading() as uow:
        (process,) = await uow.processes.of_record(record.id)
        waiting = await uow.timers.waiting(process.id)
        kinds = [entry.kind for entry in await uow.records.timeline(record.id)]
    assert [timer.key for timer in waiting] == ["follow_up/1:begin", "follow_up/1:late"]
    assert kinds == [
        "process_started",
        "order_offered",
        "order_accepted",
        "order_started",
        "order_done",
        "order_planned",
    ]


async def test_the_same_completion_a_hundred_times_completes_once(dispatch: Running) -> None:
    (mia,) = await people(dispatch.database, "mia")
    record, visit = await begun(dispatch)
    await dispatch.dispatch.accept(visit.id, mia)
    results = await asyncio.gather(
        *(dispatch.dispatch.complete(visit.id, mia, "done") for _ in range(100)), return_exceptions=True
    )
    assert [type(result) for result in results].count(IllegalAct) == 99
    follow_up = await dispatch.order(record.id, "follow_up", "draft")
    assert [order.id for order in await dispatch.orders(record.id)] == [visit.id, follow_up.id]
    kinds = [kind for kind, _ in await timeline(dispatch.database, record)]
    assert (kinds.count("order_done"), kinds.count("came_too_late")) == (1, 0)


async def test_who_declines_is_followed_by_somebody_else(dispatch: Running) -> None:
    ann, bob = await people(dispatch.database, "ann", "bob")
    record, visit = await begun(dispatch)
    assert visit.assignee == ann
    with pytest.raises(NotYours):
        await dispatch.dispatch.accept(visit.id, bob)
    await dispatch.dispatch.decline(visit.id, ann, "on leave")
    second = await dispatch.order(record.id, "dispatch", "offered")
    assert second.assignee == bob
    assert second.payload["considered"] == [
        {"login": "bob", "name": "Bob", "open_orders": 0, "reason": "chosen"},
        {"login": "ann", "name": "Ann", "open_orders": 0, "reason": "declined_before"},
    ]
    await dispatch.dispatch.decline(second.id, bob, "no tools")
    third = await dispatch.order(record.id, "dispatch", "offered")
    assert (third.assignee, third.role) == (None, "technician")


async def test_an_outcome_that_leads_nowhere_is_refused(dispatch: Running) -> None:
    (mia,) = await people(dispatch.database, "mia")
    _, visit = await begun(dispatch)
    await dispatch.dispatch.accept(visit.id, mia)
    with pytest.raises(UnknownOutcome, match="Say one of: done"):
        await dispatch.dispatch.complete(visit.id, mia, "dnoe")
    with pytest.raises(UnknownOutcome):
        await dispatch.dispatch.complete(visit.id, mia, "late")


async def test_an_order_that_nobody_has_goes_to_whoever_takes_it_first(dispatch: Running) -> None:
    record, visit = await begun(dispatch)
    assert visit.assignee is None
    ann, bob = await people(dispatch.database, "ann", "bob")
    assert [order.id for order in await dispatch.dispatch.inbox(bob)] == [visit.id]
    results = await asyncio.gather(
        dispatch.dispatch.accept(visit.id, ann), dispatch.dispatch.accept(visit.id, bob), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["NotYours", "WorkOrder"]
    (order,) = await dispatch.orders(record.id)
    assert order.assignee in (ann, bob)


async def test_an_order_is_given_to_somebody_else_by_hand(dispatch: Running) -> None:
    database = dispatch.database
    ann, bob = await people(database, "ann", "bob")
    _, visit = await begun(dispatch)
    await dispatch.dispatch.accept(visit.id, ann)
    placing = Placing(database, CLOCK, lambda: WorkingTime(ZoneInfo("UTC")))
    given = await placing.place(visit.id, ann, to=bob)
    assert (given.assignee, given.state) == (bob, "offered")
    await dispatch.dispatch.accept(visit.id, bob)
    await dispatch.dispatch.start(visit.id, bob)
    with pytest.raises(IllegalAct, match="started"):
        await placing.place(visit.id, ann, to=ann)


async def test_on_hold_the_clock_stands_still(dispatch: Running) -> None:
    (mia,) = await people(dispatch.database, "mia")
    record, visit = await begun(dispatch)
    await dispatch.dispatch.accept(visit.id, mia)
    with pytest.raises(UserFault, match="needs a reason"):
        await dispatch.dispatch.hold(visit.id, mia, " ")
    held = await dispatch.dispatch.hold(visit.id, mia, "waits for the customer")
    resumed = await dispatch.dispatch.resume(visit.id, mia)
    assert resumed.state == "accepted"
    assert visit.due_at is not None
    assert resumed.due_at == visit.due_at + (resumed.updated_at - held.updated_at)

    async def moved() -> bool:
        async with dispatch.database.reading() as uow:
            (process,) = await uow.processes.of_record(record.id)
            return resumed.due_at in [timer.due_at for timer in await uow.timers.waiting(process.id)]

    await until(moved, "the timer is moved")


async def test_a_repeat_call_raises_the_record_and_opens_no_second_dispatch(dispatch: Running) -> None:
    record, visit = await begun(dispatch)
    async with dispatch.database.unit_of_work() as uow:
        for _ in range(2):
            await uow.outbox.add(
                SIGNAL, "called_again/1", {"record_id": record.id, "event": "called_again"}, CLOCK.now()
            )
    await noted(dispatch.database, record, "priority_raised")
    assert [order.id for order in await dispatch.orders(record.id)] == [visit.id]
    async with dispatch.database.reading() as uow:
        assert (await uow.records.get(record.id)).priority == 1


async def test_what_comes_too_late_stands_on_the_timeline_and_changes_nothing(dispatch: Running) -> None:
    (mia,) = await people(dispatch.database, "mia")
    record, visit = await begun(dispatch)
    await dispatch.dispatch.accept(visit.id, mia)
    async with dispatch.database.unit_of_work() as uow:
        cancel = {"record_id": record.id, "event": "cancelled_by_customer"}
        await uow.outbox.add(SIGNAL, "cancel", cancel, CLOCK.now())
    closed = await dispatch.closed(record.id)
    assert closed.resolution == "cancelled"
    (order,) = await dispatch.orders(record.id)
    assert (order.state, order.result) == ("cancelled", {"reason": "cancelled_by_customer"})
    for _ in range(2):
        with pytest.raises(IllegalAct, match="cancelled"):
            await dispatch.dispatch.complete(visit.id, mia, "done", {"labour": "90.00"})
    assert ("came_too_late", {"order": order.number, "kind": "dispatch", "what": "done", "labour": "90.00"}) in (
        await timeline(dispatch.database, record)
    )
    with pytest.raises(IllegalAct, match="called_again"):
        await dispatch.dispatch.report(record.id, "called_again", mia)
    before = [kind for kind, _ in await timeline(dispatch.database, record)].count("came_too_late")
    async with dispatch.database.unit_of_work() as uow:
        (process,) = await uow.processes.of_record(record.id)
        late = {"process_id": process.id, "event": "called_again"}
        await uow.outbox.add(SIGNAL, "late", late, CLOCK.now())
    await noted(dispatch.database, record, "came_too_late", before + 1)
    assert (await dispatch.closed(record.id)).revision == closed.revision


async def test_an_order_carries_what_the_definition_computes_of_earlier_ones(
    database: Database, workflow_url: str
) -> None:
    """The shipped installation's bill: exact decimals, and what was not reported counts nothing."""
    (mia,) = await people(database, "mia")
    source = shipped("config", "processes", "installation.yaml").read_text()
    text = (
        source.replace("calendar: service_desk\n", "")
        .replace("{calendar: service_desk}", "{calendar: desk}")
        .replace("working ", "")
    )
    text = text.replace("for: {type: installation}", "for: {type: repair}")
    async with running(database, workflow_url, text) as dispatch:
        record = a_record(payer="maker")
        async with database.unit_of_work() as uow:
            await uow.records.add(record)
            await uow.users.add(a_user("stan", role="storekeeper"))
            await uow.users.add(a_user("dora", role="dispatcher"))
            helpers = {user.role: user.id for user in await uow.users.everybody()}
        await dispatch.start(record, "installation")
        for kind, role in (("parts", "storekeeper"), ("appointment", "dispatcher")):
            order = await dispatch.order(record.id, kind, "offered")
            await dispatch.dispatch.accept(order.id, helpers[role])
            await dispatch.dispatch.complete(order.id, helpers[role], "done")
        visit = await dispatch.order(record.id, "dispatch", "offered")
        await dispatch.dispatch.accept(visit.id, mia)
        await dispatch.dispatch.complete(visit.id, mia, "done", {"labour": "120.10", "checked": ["fixed", "tried_out"]})
        bill = await dispatch.order(record.id, "expense", "offered")
    assert (bill.payload["amount"], bill.payload["payer"], bill.role) == ("120.10", "maker", "cashier")


async def test_the_desk_reports_what_may_happen_at_any_time(dispatch: Running) -> None:
    (mia,) = await people(dispatch.database, "mia")
    record, _ = await begun(dispatch)
    with pytest.raises(IllegalAct, match="handles 'nonsense'"):
        await dispatch.dispatch.report(record.id, "nonsense", mia)
    await dispatch.dispatch.report(record.id, "cancelled_by_customer", mia)
    assert (await dispatch.closed(record.id)).resolution == "cancelled"
    with pytest.raises(IllegalAct, match="in progress"):
        await dispatch.dispatch.report(record.id, "cancelled_by_customer", mia)


async def test_a_supervisor_calls_a_process_off_and_says_why(dispatch: Running) -> None:
    (mia,) = await people(dispatch.database, "mia")
    record, _ = await begun(dispatch)
    with pytest.raises(UserFault, match="needs a reason"):
        await dispatch.dispatch.call_off(record.id, mia, " ")
    await dispatch.dispatch.call_off(record.id, mia, "opened by mistake")
    assert (await dispatch.closed(record.id)).resolution == "cancelled"
    (order,) = await dispatch.orders(record.id)
    assert (order.state, order.result) == ("cancelled", {"reason": "opened by mistake"})
    with pytest.raises(IllegalAct, match="in progress"):
        await dispatch.dispatch.call_off(record.id, mia, "again")


async def test_a_timer_that_the_engine_lost_is_handed_on_again(dispatch: Running) -> None:
    record, _ = await begun(dispatch)
    async with dispatch.database.unit_of_work() as uow:
        (process,) = await uow.processes.of_record(record.id)
        due_at = CLOCK.now() - timedelta(hours=1)
        await uow.timers.add(
            [
                TimerRow(
                    id=new_ulid(due_at), process_id=process.id, key="visit/1:late@lost", due_at=due_at, state="waiting"
                )
            ]
        )
    assert engine._current.engine is not None
    await dispatch.workflow.sweep(engine._current.engine)
    await noted(dispatch.database, record, "order_late")
    await dispatch.workflow.sweep(engine._current.engine)
    assert [kind for kind, _ in await timeline(dispatch.database, record)].count("order_late") == 1


async def test_a_process_that_is_not_known_is_told_of(dispatch: Running) -> None:
    record = a_record()
    async with dispatch.database.unit_of_work() as uow:
        await uow.records.add(record)
    await dispatch.start(record, "no_such_process")
    await noted(dispatch.database, record, "process_not_started")


async def test_an_owner_gets_what_is_the_owners(database: Database, workflow_url: str) -> None:
    text = REPAIR.replace("max: 2, then: dispatcher", "max: 1, then: owner")
    owner = Agent(id=AgentId("a1"), user_id=None, name="A", extension="1", interface=Interface("PJSIP/a1"))
    account = a_user("anna")
    async with database.unit_of_work() as uow:
        await uow.users.add(account)
        await uow.agents.add(Agent(id=owner.id, user_id=account.id, name="A", extension="1", interface=owner.interface))
    (mia, tom) = await people(database, "mia", "tom")
    async with running(database, workflow_url, text) as dispatch:
        record, visit = await begun(dispatch, a_record(owner=owner.id))
        await dispatch.dispatch.decline(visit.id, visit.assignee or mia, "no")
        second = await dispatch.order(record.id, "dispatch", "offered")
        await dispatch.dispatch.decline(second.id, second.assignee or tom, "no")
        third = await dispatch.order(record.id, "dispatch", "offered")
        assert (third.assignee, third.role) == (account.id, "agent")


async def test_a_deadline_that_passes_is_told_once(database: Database, workflow_url: str) -> None:
    async with running(database, workflow_url, SOON) as dispatch:
        record, visit = await begun(dispatch)
        await noted(database, record, "notified")
        (order,) = await dispatch.orders(record.id)
        assert (order.id, order.state, order.late) == (visit.id, "offered", True)
    found = await timeline(database, record)
    assert [kind for kind, _ in found].count("order_late") == 1
    assert ("notified", {"whom": "supervisor", "what": "late", "order": "visit/1"}) in found


async def test_a_deadline_that_passes_while_the_server_is_down_is_told_when_it_is_back(
    database: Database, workflow_url: str
) -> None:
    async with running(database, workflow_url, SOON) as dispatch:
        record, visit = await begun(dispatch)
    assert visit.due_at is not None

    async def past() -> bool:
        return CLOCK.now() > visit.due_at + timedelta(seconds=0.2)  # type: ignore[operator]

    await until(past, "the deadline has passed")
    async with running(database, workflow_url, SOON):
        await noted(database, record, "order_late")
    assert [kind for kind, _ in await timeline(database, record)].count("order_late") == 1


async def test_an_edited_definition_does_not_change_what_is_under_way(database: Database, workflow_url: str) -> None:
    (mia,) = await people(database, "mia")
    async with running(database, workflow_url) as dispatch:
        record, visit = await begun(dispatch)
    edited = REPAIR.replace("done: follow_up", "done: close_resolved").replace("version: 1", "version: 2")
    edited = edited.replace("max: 1, then: supervisor}", "max: 1, then: supervisor}", 1)
    shorter = edited[: edited.index("  follow_up:")] + "  close_resolved: {close: resolved}\n"
    async with running(database, workflow_url, shorter) as dispatch:
        await dispatch.dispatch.accept(visit.id, mia)
        await dispatch.dispatch.complete(visit.id, mia, "done")
        await dispatch.order(record.id, "follow_up", "draft")
        _, new = await begun(dispatch)
        await dispatch.dispatch.accept(new.id, mia)
        await dispatch.dispatch.complete(new.id, mia, "done")
        await dispatch.closed(RecordId(new.record_id))


async def test_an_advance_that_fails_is_tried_again_and_holds_up_nobody(
    database: Database, workflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctiserver.features.dispatch.engine._FAILED_AGAIN", (timedelta(seconds=0.2),))
    failing = a_record(subject="hard")
    failures: list[str] = []
    started = Advance._start

    async def start(self: Advance, uow: UnitOfWork, row_id: str, payload: JsonObject) -> list[Execution]:
        done = await started(self, uow, row_id, payload)
        if payload["record_id"] == failing.id and len(failures) < 3:
            failures.append(row_id)
            raise ZeroDivisionError  # with its process written, and those that share the commit
        return done

    monkeypatch.setattr(Advance, "_start", start)
    async with running(database, workflow_url) as dispatch:
        beside = [a_record() for _ in range(3)]
        async with database.unit_of_work() as uow:
            for record in (beside[0], failing, *beside[1:]):
                await uow.records.add(record)
                await leave_start(uow, record.id)
        for record in (*beside, failing):
            await dispatch.order(record.id, "dispatch", "offered")
        async with database.reading() as uow:
            for record in (*beside, failing):
                assert len(await uow.processes.of_record(record.id)) == 1
                assert len(await uow.work_orders.of_record(record.id)) == 1
    assert len(failures) == 3
    assert len(set(failures)) == 1


async def test_nothing_is_left_behind(database: Database, workflow_url: str) -> None:
    before = engine_threads()
    async with running(database, workflow_url) as dispatch:
        await begun(dispatch)
        assert engine_threads() > before
        tasks = len(asyncio.all_tasks())
    assert tasks > len(asyncio.all_tasks())

    async def gone() -> bool:
        return engine_threads() <= before

    await until(gone, "the engine's threads are gone")


def engine_threads() -> set[str]:
    """Every thread but those of database connections, whose pool grows with use."""
    return {thread.name for thread in threading.enumerate() if "_connection_worker" not in thread.name}


async def test_a_broken_engine_file_is_one_sentence(database: Database, tmp_path: Path) -> None:
    broken = tmp_path / "workflow.sqlite"
    broken.write_text("this is a letter to my mother\n" * 100)
    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.TaskGroup() as group:
            group.create_task(_run(database, f"sqlite:///{broken}"))
    (fault,) = raised.value.exceptions
    assert isinstance(fault, UserFault)
    assert fault.where == "workflow.url"
    assert "\n" not in str(fault)
    assert broken.read_text().startswith("this is a letter")


async def test_a_full_disk_under_the_engine_is_waited_out(
    database: Database, workflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, tries = DBOS.enqueue_workflow_with_options, 0

    def full(*arguments: Any) -> object:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise exc.OperationalError("INSERT", None, sqlite3.OperationalError("database or disk is full"))
        return whole(*arguments)

    monkeypatch.setattr(DBOS, "enqueue_workflow_with_options", full)
    async with running(database, workflow_url) as dispatch:
        await begun(dispatch)
    assert tries > 3


async def test_an_engine_that_has_run_is_away_and_not_wrong(
    database: Database, workflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full when the engine is restarted must not end a server that leads calls."""
    async with running(database, workflow_url) as dispatch:
        workflow = dispatch.workflow

    def refused(*_: object) -> None:
        raise UserFault("the workflow engine's database can't be used", where="workflow.url", fix="")

    monkeypatch.setattr(engine, "_launch", refused)
    with pytest.raises(StoreUnavailable):
        await workflow.run()
    with pytest.raises(UserFault):
        await _run(database, workflow_url)


async def _run(database: Database, url: str) -> None:
    async with running(database, url):
        raise AssertionError("never entered")
