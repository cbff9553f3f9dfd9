"""Missed calls: one callback a number and open period, which ends by itself when the caller gets through."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ctiserver.clock import SystemClock
from ctiserver.features.dispatch.advance import Advance
from ctiserver.features.dispatch.definitions import Definition
from ctiserver.model.calendar.opening_hours import Calendar, CalendarFile
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.calls.missed import MissedCall, MissedFigures, missed_figures
from ctiserver.model.process import check as process_check
from ctiserver.resources import shipped
from ctiserver.strict_yaml import load
from tests.support.desk import PBX, Browser, Desk, PhoneLine
from tests.support.eventually import eventually
from tests.support.shaky import Shaky

ANI = "13800000001"
NUMBER = "+8613800000001"


def _callback() -> Mapping[str, Definition]:
    """The shipped process that calls back."""
    document = load(shipped("config", "processes", "callback.yaml"))
    file = process_check.read(document, calendars=("service_desk",), record_types=("enquiry",))
    return {"callback": Definition(file, process_check.source(document))}


class Relay:
    """Carries out what lies in the outbox, as the workflow engine would."""

    def __init__(self, running: Desk) -> None:
        self._database = running.database
        always = Calendar(
            CalendarFile.model_validate(
                {"schema": "calendar/1", "calendar": "service_desk", "weekly": {"mon-sun": ("00:00-24:00",)}}
            ),
            ZoneInfo("UTC"),
        )
        definitions = _callback()
        self._advance = Advance(
            running.database,
            lambda: definitions,
            SystemClock(),
            WorkingTime(ZoneInfo("UTC"), {"service_desk": always}),
        )
        self._done: set[str] = set()

    async def __call__(self) -> None:
        async with self._database.reading() as uow:
            rows = await uow.outbox.waiting(["process_start", "process_signal"], due_by=datetime.now(UTC))
        for row in rows:
            if row.id not in self._done:
                self._done.add(row.id)
                await self._advance(row.topic, row.id, row.payload)


@pytest.fixture
async def lead(running: Desk, browser: Browser) -> Browser:
    await browser.log_in("supervisor")
    return browser


async def _in_vain(running: Desk, lead: Browser, ani: str = ANI) -> PhoneLine:
    line = running.line(ani=ani)
    line.start()
    line.end("abandoned")

    async def seen() -> list[Any]:
        found: list[Any] = (await lead.json("GET", "/api/v1/missed-calls"))["missed_calls"]
        return [missed for missed in found if missed["call_id"] == line.id]

    await eventually(seen)
    return line


async def _missed(lead: Browser, state: str = "") -> list[Any]:
    found: list[Any] = (await lead.json("GET", f"/api/v1/missed-calls?state={state}"))["missed_calls"]
    return found


async def _callbacks(running: Desk) -> list[tuple[str, str, Any]]:
    async with running.database.reading() as uow:
        records = await uow.records.recent(50)
        orders = [order for record in records for order in await uow.work_orders.of_record(record.id)]
    return [(order.kind, order.state, order.payload.get("number")) for order in orders]


async def test_a_caller_in_vain_is_owed_one_callback_however_often_they_try(running: Desk, lead: Browser) -> None:
    relay = Relay(running)
    first = await _in_vain(running, lead)
    await relay()
    second = await _in_vain(running, lead)
    await relay()
    [missed] = await _missed(lead)
    assert (missed["number"], missed["calls"], missed["state"]) == (NUMBER, 2, "open")
    assert missed["call_id"] == second.id
    assert await _callbacks(running) == [("callback", "offered", NUMBER)]
    assert (missed["callback"]["state"], missed["callback"]["attempt"]) == ("offered", 1)
    record = await lead.json("GET", f"/api/v1/records/{missed['record_id']}")
    assert set(record["calls"]) == {first.id, second.id}
    assert record["type"] == running.site.message_type


async def test_it_stands_in_the_agents_inbox_with_number_and_reason(
    running: Desk, lead: Browser, agent: Browser
) -> None:
    await _in_vain(running, lead)
    await Relay(running)()
    [order] = (await agent.json("GET", "/api/v1/work-orders?assignee=me"))["work_orders"]
    assert order["kind"] == "callback"
    assert (order["call_back"]["number"], order["call_back"]["reason"], order["attempt"]) == (NUMBER, "missed", 1)


async def test_it_closes_by_itself_when_they_get_through(running: Desk, lead: Browser) -> None:
    relay = Relay(running)
    await _in_vain(running, lead)
    await relay()
    phone = next(a.interface for a, _ in running.features.agents.everybody() if a.id == "agent1")
    again = running.line(ani=ANI)
    again.start()
    again.answer(phone)
    await eventually(lambda: _missed(lead, "recovered"))
    await relay()
    assert await _callbacks(running) == [("callback", "cancelled", NUMBER)]
    [missed] = await _missed(lead)
    assert missed["ended_by"] == f"call:{again.id}"
    figures = await lead.json("GET", "/api/v1/missed-calls/figures")
    assert (figures["missed"], figures["recovered"]) == (1, 1)
    assert figures["minutes_to_recover"] < 1


async def test_missed_again_after_that_is_owed_again(running: Desk, lead: Browser) -> None:
    relay = Relay(running)
    await _in_vain(running, lead)
    await relay()
    phone = next(a.interface for a, _ in running.features.agents.everybody() if a.id == "agent1")
    through = running.line(ani=ANI)
    through.start()
    through.answer(phone)
    await eventually(lambda: _missed(lead, "recovered"))
    await relay()
    await _in_vain(running, lead)
    await relay()
    [missed] = await _missed(lead, "open")
    assert missed["calls"] == 2
    assert [state for _, state, _ in await _callbacks(running)] == ["cancelled", "offered"]


async def test_a_callback_that_reached_them_recovers_and_one_in_vain_does_not(running: Desk, lead: Browser) -> None:
    relay = Relay(running)
    for ani in ("13800000001", "13800000002"):
        await _in_vain(running, lead, ani)
    await relay()
    await running.features.missed.settle_now()
    assert len(await _missed(lead, "open")) == 2
    async with running.database.unit_of_work() as uow:
        for missed in await uow.missed_calls.still_open():
            [process] = await uow.processes.of_record(missed.record_id)
            how = "called_back" if missed.number == NUMBER else "unreachable"
            now = datetime.now(UTC)
            await uow.processes.keep(process, {**process.state, "closed": how}, now, closed_at=now)
    await running.features.missed.settle_now()
    states = {missed["number"]: (missed["state"], missed["ended_by"]) for missed in await _missed(lead)}
    assert states == {NUMBER: ("recovered", "called_back"), "+8613800000002": ("closed", "unreachable")}


async def test_the_flows_own_record_is_the_one_to_call_back_about(running: Desk, lead: Browser) -> None:
    line = running.line(ani=ANI)
    line.start()
    opened = await running.features.records.open("repair", actor="flow", call_id=line.id)
    line.end("timeout")
    [missed] = await eventually(lambda: _missed(lead))
    assert missed["record_id"] == opened.record.id


@pytest.mark.parametrize(
    ("ani", "outcome"), [("anonymous", "abandoned"), (ANI, "ivr"), (ANI, "voicemail"), (ANI, "answered")]
)
async def test_who_was_served_or_can_not_be_called_is_owed_nothing(
    running: Desk, lead: Browser, ani: str, outcome: Any
) -> None:
    line = running.line(ani=ani)
    line.start()
    line.end(outcome)
    await _in_vain(running, lead, "13900000009")  # what comes after it has been dealt with, so it has
    assert [missed["number"] for missed in await _missed(lead)] == ["+8613900000009"]


def _logged(running: Desk, ani: str, minutes_ago: float, **changes: Any) -> CallEntry:
    """An entry that the call log has, of a call that was heard of by nobody else."""
    line = running.line(ani=ani)
    began_at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    common = {"direction": "inbound", "outcome": "abandoned", "dnis": line.dnis, "complete": True}
    return CallEntry(
        id=line.id,
        pbx=PBX,
        ani=ani,
        caller_name="",
        started_at=began_at,
        ended_at=began_at + timedelta(seconds=20),
        **{**common, **changes},
    )


async def test_a_call_that_was_logged_and_not_heard_of_is_owed_as_well(running: Desk, lead: Browser) -> None:
    """Killed in between, or too far behind."""
    heard = await _in_vain(running, lead)
    again = await _in_vain(running, lead)
    through = datetime.now(UTC) - timedelta(minutes=2)
    entries = [
        _logged(running, "13800000011", 30),
        _logged(running, "13800000012", 30),  # has got through since
        _logged(running, "13800000012", 3, outcome="answered", answered_at=through),
        _logged(running, "13800000013", 30),  # has been called since
        _logged(running, "400", 3, dnis="13800000013", direction="outbound", outcome="answered", answered_at=through),
        _logged(running, "13800000014", 30, outcome="ivr"),
        _logged(running, "13800000015", 30, complete=False),
        _logged(running, "anonymous", 30),
        _logged(running, "13800000016", 180),  # long before the last that was heard
    ]
    async with running.database.unit_of_work() as uow:
        await uow.calls.save(*entries)
    assert heard.id != again.id
    expected = {NUMBER: (2, again.id), "+8613800000011": (1, entries[0].id)}

    async def missed() -> dict[str, tuple[int, str]]:
        return {one["number"]: (one["calls"], one["call_id"]) for one in await _missed(lead)}

    begun_anew = asyncio.create_task(running.features.missed.run())
    await eventually(missed, lambda found: len(found) == len(expected))
    begun_anew.cancel()
    assert await missed() == expected
    await running.features.missed.catch_up()
    assert await missed() == expected


async def test_a_missed_call_waits_for_a_database_that_is_away(
    running: Desk, lead: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    shaky = Shaky(running.database)
    shaky.away = True
    monkeypatch.setattr(running.features.missed, "_database", shaky)
    line = running.line(ani=ANI)
    line.start()
    line.end("abandoned")

    async def tried() -> bool:
        return shaky.tries > 1

    await eventually(tried)
    assert await _missed(lead) == []
    shaky.away = False
    [missed] = await eventually(lambda: _missed(lead))
    assert (missed["call_id"], missed["calls"]) == (line.id, 1)


async def test_figures_are_asked_from_an_instant(lead: Browser) -> None:
    assert (await lead.json("GET", "/api/v1/missed-calls/figures?since=2026-01-01T00:00:00%2B08:00"))["missed"] == 0
    for wrong in ("yesterday", "2026-01-01T00:00:00"):
        await lead.json("GET", f"/api/v1/missed-calls/figures?since={wrong}", status=422)
    await lead.json("GET", "/api/v1/missed-calls?state=nonsense", status=422)


def test_minutes_to_recover_are_a_median_of_those_reached() -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)

    def one(minutes: int | None) -> MissedCall:
        return MissedCall(
            id="x",
            number=NUMBER,
            period_began_at=at,
            queue="",
            record_id=None,  # type: ignore[arg-type]
            call_id=None,  # type: ignore[arg-type]
            missed_at=at,
            last_at=at,
            state="open" if minutes is None else "recovered",
            ended_at=None if minutes is None else at + timedelta(minutes=minutes),
        )

    assert missed_figures([one(3), one(None), one(50), one(10)]) == MissedFigures(4, 3, 10)
    assert missed_figures([one(None)]) == MissedFigures(1, 0, None)
