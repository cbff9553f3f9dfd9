"""Rows that no use case writes and a database can hold: each service deals with the one beside them."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ctiserver.app.composition import App
from ctiserver.model.calls.missed import MissedCall
from ctiserver.model.ids import CallId, PbxName, RecordId, WorkOrderId, new_ulid
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.store import tables
from tests.poison.registry import poison
from tests.support.eventually import eventually
from tests.support.rows import a_contact
from tests.support.whole_server import put, spoil, whole_server

MAIN = PbxName("main")
NOWHERE = "0" * 26
LONG = "9" * 64

#: SQL for a moment that is none of ours: SQLite keeps any text, PostgreSQL its own ends of time.
ODD_MOMENT = {"sqlite": "'the day after'", "postgresql": "'infinity'"}
ODD_JSON = ["[]", '"text"', "{}", '{"record_id": 7}', "[[[[]]]]"]


def healthy(app: App) -> bool:
    return app.supervisor.names == app.supervisor.running and app.supervisor.failing == ()


def json_sql(app: App, text: str) -> str:
    return f"'{text}'" + ("::jsonb" if app.database.dialect == "postgresql" else "")


async def aside(app: App, *kinds: str) -> list[str]:
    """The refs of what is set aside of these kinds."""
    return sorted(item.ref for item in await app.features.aside.page(500) if item.kind in kinds)


async def until_aside(app: App, kind: str, refs: list[str]) -> None:
    async def seen() -> list[str]:
        return await aside(app, kind)

    await eventually(seen, lambda found: found == sorted(refs), within_s=30.0)


async def _record(app: App, **more: Any) -> RecordId:
    return (await app.features.records.open("repair", actor="user:x", **more)).record.id


async def _order(app: App, record: RecordId, **changes: Any) -> WorkOrder:
    now = datetime.now(UTC)
    key = new_ulid(now)
    order = WorkOrder(
        **{
            "id": WorkOrderId(key), "number": key, "key": key, "kind": "follow_up", "record_id": record,
            "process_id": None, "step": "follow_up", "state": "offered", "created_at": now, "updated_at": now, **changes,
        }
    )  # fmt: skip
    async with app.database.unit_of_work() as uow:
        await uow.work_orders.add(order)
    return order


HOOK = """\
webhooks: {crm: {url: "http://127.0.0.1:9/", secret_file: crm.secret, on: [opened]}}
"""


@poison("messages")
async def test_lines_of_timelines(tmp_path: Path, database_url: str) -> None:
    files = {"messages.yaml": HOOK, "crm.secret": "s\n"}
    async with whole_server(tmp_path, database_url=database_url, files=files) as app:
        odd = []
        async with app.database.unit_of_work() as uow:
            for number in range(len(ODD_JSON) + 1):
                odd.append(await put(uow, tables.outbox, topic="timeline", key=f"odd{number}", payload={}, due_at=datetime.now(UTC)))  # fmt: skip
        for key, payload in zip(odd, [*ODD_JSON, f'{{"record_id": "{NOWHERE}", "kind": "opened"}}'], strict=True):
            await spoil(app.database, "outbox", key, payload=json_sql(app, payload))
        record = await _record(app)
        await until_aside(app, "timeline", odd)

        async def told() -> list[str | None]:
            return [message.record_id for message in await app.features.messages.page(None, None, 10)]

        await eventually(told, lambda seen: seen == [record])
        assert healthy(app)
        # What an admin mended is done: the line that pointed nowhere gets its record.
        item = next(item for item in await app.features.aside.page(500) if item.ref == odd[-1])
        mended = f'{{"record_id": "{record}", "kind": "opened", "actor": "user:x", "data": {{}}}}'
        await spoil(app.database, "outbox", odd[-1], payload=json_sql(app, mended))
        await app.features.aside.again(item.id, actor="user:boss", peer="")
        await eventually(told, lambda seen: seen == [record, record])
        await app.features.aside.drop((await app.features.aside.page(1))[0].id, actor="user:boss", peer="")
        assert len(await aside(app, "timeline")) == len(odd) - 2


@poison("messages")
async def test_messages_whose_rows_cannot_be_read(tmp_path: Path, database_url: str) -> None:
    files = {"messages.yaml": HOOK, "crm.secret": "s\n"}
    async with whole_server(tmp_path, database_url=database_url, files=files) as app:
        now = datetime.now(UTC)
        common = {"via": "webhook", "to": "gone", "state": "set_aside", "next_at": now, "text": "{}"}
        async with app.database.unit_of_work() as uow:
            odd = [await put(uow, tables.messages, key=f"odd{n}", **common) for n in range(3)]
            good = await put(uow, tables.messages, key="good", **common)
            far = await put(uow, tables.messages, key="far", **{**common, "via": "carrier pigeon", "to": "\x01" + LONG})
        await spoil(app.database, "messages", odd[0], cost="'a lot'", state="'queued'")
        await spoil(app.database, "messages", odd[1], cost="''", state="'queued'")
        await spoil(app.database, "messages", odd[2], cost="'0'", created_at=ODD_MOMENT[app.database.dialect], state="'queued'")  # fmt: skip
        for key in (good, far):
            await spoil(app.database, "messages", key, state="'queued'")

        async def states() -> dict[str, str]:
            return {message.id: message.state for message in await app.features.messages.page(None, None, 10)}

        await eventually(states, lambda seen: (seen.get(good), seen.get(far)) == ("dead", "queued"), within_s=30.0)

        async def refs() -> set[str]:
            return set(await aside(app, "message"))

        await eventually(refs, lambda seen: {odd[0], odd[1]} <= seen, within_s=30.0)
        assert healthy(app)


CARE = """\
rules:
  warranty_ends:
    of: device
    date: warranty_until
    before: 30 days
    raises: {type: enquiry, subject: "Warranty of {{device.serial}} ends"}
  old_contacts:
    of: contact
    date: created_at
    after: 1 day
    raises: {type: enquiry, subject: "{{contact.name}}"}
"""


@poison("care-rules")
async def test_objects_of_care_rules(tmp_path: Path, database_url: str) -> None:
    async with whole_server(tmp_path, database_url=database_url, files={"care_rules.yaml": CARE}) as app:
        soon, contact = datetime.now(UTC).date() + timedelta(days=30), a_contact()
        async with app.database.unit_of_work() as uow:
            await uow.contacts.add(contact)
            for number, day in enumerate((date.min, date.max, soon, soon)):
                serial = ("\x01" * 60, LONG, "good", "x")[number]
                await put(
                    uow, tables.devices, contact_id=contact.id, serial=serial, warranty_until=day, model="☃" * 9_000
                )
        for edge in ("'0001-01-01 00:00:00.000000'", "'9999-12-31 23:59:59.999999'"):
            async with app.database.unit_of_work() as uow:
                key = await put(uow, tables.contacts, name="odd", created_at=datetime.now(UTC) - timedelta(days=1))
            await spoil(app.database, "contacts", key, created_at=edge)
        await app.features.care.look()
        async with app.database.reading() as uow:
            found = await uow.records._connection.exec_driver_sql("SELECT subject FROM records WHERE type = 'enquiry'")
            raised = list(found.scalars())
        assert "Warranty of good ends" in raised
        assert healthy(app)


@poison("stock")
async def test_promises_of_parts(tmp_path: Path, database_url: str) -> None:
    async with whole_server(tmp_path, database_url=database_url) as app:
        goods = app.site.goods
        place, part = next(iter(goods.places)), next(iter(goods.parts))
        record = await _record(app)
        orders = [await _order(app, record, state="cancelled") for _ in range(4)]
        async with app.database.unit_of_work() as uow:
            for order, where, what, count in (
                (orders[0], "the moon", part, 1),
                (orders[1], place, "unobtainium", 1),
                (orders[2], place, part, 2**31 - 1),
                (orders[3], place, part, 1),
            ):
                await put(uow, tables.stock_reservations, order_id=order.id, place=where, part=what, quantity=count)
            await put(uow, tables.stock_levels, place=place, part=part, on_hand=5, reserved=1, old_due=0)
        assert await app.features.stock.tidy() == 1  # the good one
        assert await app.features.stock.tidy() == 0
        assert len(await aside(app, "stock_promise")) == 3
        [level] = [level for level in await app.features.stock.levels(place) if level.part == part]
        assert level.reserved == 0
        assert healthy(app)


@poison("recordings-found", "recordings")
async def test_recordings(tmp_path: Path, database_url: str) -> None:
    async with whole_server(tmp_path, database_url=database_url) as app:
        now, folder = datetime.now(UTC), tmp_path / "rec"
        good = folder / "20010101/1-1.wav"
        good.parent.mkdir(parents=True)
        app.features.recordings._folders = {MAIN: folder}  # type: ignore[dict-item]
        good.write_bytes(b"RIFF")
        async with app.database.unit_of_work() as uow:
            for name in ("x" * 255, ".", "..", "a\x01b", "/", "/dev/null/x", "🦜.wav", "20010101/1-1.wav"):
                await put(
                    uow, tables.recordings, pbx="main", file=name, call_id=NOWHERE, masks=[],
                    started_at=datetime(2001, 1, 1, tzinfo=UTC), stopped_at=now,
                )  # fmt: skip
            odd = await put(uow, tables.recordings, pbx="main", file="odd", masks=[], stopped_at=now)
        await spoil(
            app.database, "recordings", odd, found_at=ODD_MOMENT[app.database.dialect], masks=json_sql(app, '"x"')
        )
        await app.features.recordings.look_again()
        await app.features.recordings.take_in()
        await app.features.recordings.remove_old()
        assert not good.exists()
        assert tmp_path.exists()
        assert healthy(app)


@poison("missed-calls-settling", "missed-calls")
async def test_missed_calls(tmp_path: Path, database_url: str) -> None:
    async with whole_server(tmp_path, database_url=database_url) as app:
        now, missed = datetime.now(UTC), app.features.missed
        record, other = await _record(app), await _record(app)
        process = {"name": "callback", "version": 1, "status": "closed", "definition": {}, "closed_at": now + timedelta(seconds=1)}  # fmt: skip
        async with app.database.unit_of_work() as uow:
            odd = await put(uow, tables.processes, record_id=other, **process)
            await put(uow, tables.processes, record_id=record, state={"closed": "called_back"}, **process)
            for number, of in (("+8613800000001", record), ("+8613800000002", other)):
                await uow.missed_calls.save(
                    MissedCall(
                        id=new_ulid(now),
                        number=number,
                        period_began_at=now,
                        queue="",
                        record_id=of,
                        call_id=CallId(NOWHERE),
                        missed_at=now,
                        last_at=now,
                        calls=1,
                    )
                )
        await spoil(app.database, "processes", odd, state=json_sql(app, "[]"))
        await missed.settle_now()
        async with app.database.reading() as uow:
            states = {found.number: found.state for found in await uow.missed_calls.page()}
        assert states == {"+8613800000001": "recovered", "+8613800000002": "open"}
        assert len(await aside(app, "missed_call_settled")) == 1
        # calls of the log whose detail is of the wrong shape
        async with app.database.unit_of_work() as uow:
            calls = [
                await put(
                    uow, tables.calls, pbx="main", direction="inbound", ani=f"1380000010{n}", complete=True,
                    started_at=now, ended_at=now, outcome="abandoned",
                )
                for n in range(4)
            ]  # fmt: skip
        for key, detail in zip(calls, ('{"queue_visits": 7}', "[]", '{"segments": [[]]}', "{}"), strict=True):
            await spoil(app.database, "calls", key, detail=json_sql(app, detail))
        await missed.catch_up()
        async with app.database.reading() as uow:
            assert "+8613800000103" in {found.number for found in await uow.missed_calls.page()}
        assert healthy(app)


@poison("hang-ups-unheard", "hung-up-flows")
async def test_states_of_flows(tmp_path: Path, database_url: str) -> None:
    async with whole_server(tmp_path, database_url=database_url) as app:
        keys = []
        for state in (*ODD_JSON, '{"version": 7}', '{"flow": "' + LONG + '"}'):
            async with app.database.unit_of_work() as uow:
                key = await put(uow, tables.calls, pbx="main", direction="inbound", complete=True, ended_at=datetime.now(UTC))  # fmt: skip
                await put(uow, tables.flow_states, call_id=key, state={})
                keys.append(key)
                column = json_sql(app, state)
                await uow.outbox._connection.exec_driver_sql(f"UPDATE flow_states SET state = {column} WHERE call_id = '{key}'")  # fmt: skip
        await asyncio.sleep(0)
        await app.hang_ups.look()
        await app.hang_ups.look()
        assert healthy(app)


@poison("call-log", "board")
async def test_calls_that_never_ended(tmp_path: Path, database_url: str) -> None:
    async with whole_server(tmp_path, database_url=database_url) as app:
        now = datetime.now(UTC)
        async with app.database.unit_of_work() as uow:
            odd = await put(uow, tables.calls, pbx="main", direction="inbound", started_at=now)
            good = await put(uow, tables.calls, pbx="main", direction="inbound", started_at=now)
        await spoil(
            app.database, "calls", odd, answered_at=ODD_MOMENT[app.database.dialect], detail=json_sql(app, "[]")
        )
        async with app.database.unit_of_work() as uow:
            shapeless = await put(uow, tables.calls, pbx="main", direction="inbound", started_at=now)
        await spoil(app.database, "calls", shapeless, detail=json_sql(app, "[]"))
        await app.features.calls.settle(MAIN)
        async with app.database.reading() as uow:
            found = await uow.calls.get(CallId(good))
        assert found.complete
        assert healthy(app)
    async with whole_server(tmp_path, database_url=database_url) as app:  # the board reads the day's calls at its start

        async def read() -> bool:
            return app.features.board._figures is not None and not app.features.board._reading.locked()

        await eventually(read)
        assert healthy(app)


@poison("workflow")
async def test_rows_for_the_workflow_engine(tmp_path: Path, database_url: str) -> None:
    async with whole_server(tmp_path, database_url=database_url) as app:
        now = datetime.now(UTC)
        record = await _record(app)
        odd: list[str] = []
        async with app.database.unit_of_work() as uow:
            for topic in ("process_start", "process_signal", "process_timer"):
                for number, payload in enumerate(ODD_JSON):
                    odd.append(
                        await put(uow, tables.outbox, topic=topic, key=f"{topic}{number}", payload={}, due_at=now)
                    )
                    await uow.outbox._connection.exec_driver_sql(
                        f"UPDATE outbox SET payload = {json_sql(app, payload)} WHERE id = '{odd[-1]}'"
                    )
            lost = {"record_id": NOWHERE, "process": "repair"}
            odd.append(await put(uow, tables.outbox, topic="process_start", key="lost", payload=lost, due_at=now))
            await uow.outbox.start_process(record, "repair", now)
            process = await put(
                uow, tables.processes, record_id=record, name="x", status="running", definition={}, state={}
            )
            await put(
                uow, tables.timers, process_id=process, key="k", due_at=now - timedelta(days=900), state="waiting"
            )

        async def started() -> list[str]:
            async with app.database.reading() as uow:
                return [order.kind for order in await uow.work_orders.of_record(record)]

        await eventually(started, bool, within_s=60.0)

        async def shown() -> set[str]:
            return set(await aside(app, "process", "handed_on"))

        # A signal or timer for a record that nothing runs for, which two of them are, is done: it changes nothing.
        await eventually(shown, lambda seen: len(set(odd) - seen) == 2, within_s=60.0)
        assert healthy(app)


DIALLING = """\
outbound: {allow: ["+86138"], refuse: []}
automatic: {enabled: true, presented: "4008001234", calls_per_s: 10}
"""


@poison("automatic-calls", "follow-ups")
async def test_calls_to_customers(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with whole_server(tmp_path, database_url=database_url, files={"dialling.yaml": DIALLING}) as app:
        followups, asked = app.features.followups, list[str]()

        class Up:
            name, up = MAIN, True

            async def originate(self, channel: str, **_: object) -> None:
                asked.append(channel)

        now, contact = datetime.now(UTC), a_contact()
        async with app.database.unit_of_work() as uow:
            await uow.contacts.add(contact)
        record = await _record(app, contact_id=contact.id)
        common = {"record_id": record, "flow": "satisfaction", "state": "waiting", "cost": "0"}
        refs = []
        for spoilt in ({"hours": "'no such calendar'"}, {"answered_at": ODD_MOMENT[app.database.dialect]}, {}):
            order = await _order(app, record)
            async with app.database.unit_of_work() as uow:
                refs.append(
                    await put(uow, tables.outbound_calls, order_id=order.id, due_at=now - timedelta(hours=1), **common)
                )
            if spoilt:
                await spoil(app.database, "outbound_calls", refs[-1], **spoilt)
        monkeypatch.setattr(followups, "_pbx", Up())
        monkeypatch.setattr(followups, "_pbxs", {MAIN: Up()})

        async def called() -> list[str]:
            return asked

        await eventually(called, bool, within_s=30.0)
        assert healthy(app)
        await followups.settle_unseen()
        assert healthy(app)
