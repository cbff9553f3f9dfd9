"""What agents do over HTTP, and what the bus makes of it: seats, pauses, wrap-up, pops, records, contacts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ctiserver.errors import PeerLost
from ctiserver.features.calls.service import Mark
from ctiserver.features.records.service import Change
from ctiserver.model.calls.call_entry import Pop
from ctiserver.model.contact import Device, Premises
from ctiserver.model.events import RingOutcome
from ctiserver.model.ids import CallId, ContactId, DeviceId, Interface, QueueName, RecordId, SiteId, new_ulid
from ctiserver.site.files import NoAnswer
from tests.support.desk import Browser, Desk, PhoneLine
from tests.support.eventually import eventually
from tests.support.shaky import Shaky

ME = "/api/v1/agents/me"


@pytest.fixture
def phone(running: Desk) -> str:
    return next(agent.interface for agent, _ in running.features.agents.everybody() if agent.id == "agent1")


async def _state(running: Desk, state: str) -> None:
    async def look() -> str:
        return running.features.agents.presence(running.features.agents.everybody()[0][0].id).state

    await eventually(look, lambda seen: seen == state)


@pytest.fixture
async def line(running: Desk) -> PhoneLine:
    it = running.line()
    it.start("张先生")
    return it


async def _kept(running: Desk, call_id: CallId) -> list[Pop]:
    async def look() -> list[Pop]:
        return await running.features.pops.of_call(call_id)

    return await eventually(look)


# Agents


async def test_logging_in_takes_a_seat_in_each_fitting_queue(running: Desk, agent: Browser, phone: str) -> None:
    presence = await agent.json("POST", f"{ME}/login")
    assert presence["state"] == "available"
    assert running.pbx.told == [f"add repair {phone} 0"]
    assert (await agent.json("GET", ME))["queues"] == ["repair"]
    assert (await agent.json("POST", f"{ME}/logout"))["state"] == "logged_out"
    assert running.pbx.told[-1] == f"remove repair {phone}"


async def test_the_desk_hears_of_each_queue(running: Desk, agent: Browser, phone: str) -> None:
    async with agent.socket() as socket:
        await socket.send_json({"op": "subscribe", "topic": "presence:agent1"})
        assert (await socket.receive_json(timeout=5))["data"]["queues"] == []
        await agent.json("POST", f"{ME}/login")
        while (await socket.receive_json(timeout=5))["data"]["queues"] != ["repair"]:
            pass
        await running.pbx.queue_add(QueueName("operators"), Interface(phone), name="x", penalty=0)
        assert (await socket.receive_json(timeout=5))["data"]["queues"] == ["operators", "repair"]


async def test_an_agent_whom_no_queue_asks_for_is_told_so(running: Desk) -> None:
    await running.add_user("agent3", "agent", skills=("juggling",))
    async with Browser(running.url) as browser:
        await browser.log_in("agent3")
        problem = await browser.json("POST", f"{ME}/login", status=400)
    assert problem["title"].startswith("queues.yaml: no queue asks for agent3 or any of the skills juggling")


async def test_pausing_needs_a_known_reason_and_a_seat(running: Desk, agent: Browser, phone: str) -> None:
    await agent.json("POST", f"{ME}/pause", {"reason": "lunch"}, status=400)
    await agent.json("POST", f"{ME}/login")
    await agent.json("POST", f"{ME}/pause", {"reason": "siesta"}, status=400)
    paused = await agent.json("POST", f"{ME}/pause", {"reason": "lunch"})
    assert (paused["state"], paused["pause_reason"]) == ("paused", "lunch")
    assert running.pbx.told[-1] == f"pause {phone} lunch"
    assert (await agent.json("POST", f"{ME}/unpause"))["state"] == "available"
    assert running.pbx.told[-1] == f"unpause {phone}"


async def test_a_pbx_that_is_away_is_said_and_changes_nothing(running: Desk, agent: Browser) -> None:
    running.pbx.broken = PeerLost("the link is down")
    assert (await agent.json("POST", f"{ME}/login", status=503))["code"] == "away"
    assert (await agent.json("GET", ME))["state"] == "logged_out"


async def test_presence_follows_the_call_and_wrap_up_is_a_pause_in_app_queue(
    running: Desk, agent: Browser, phone: str, line: PhoneLine
) -> None:
    await agent.json("POST", f"{ME}/login")
    line.ring(phone)
    await _state(running, "ringing")
    line.answer(phone)
    await _state(running, "talking")
    line.hang_up(phone)
    await _state(running, "wrap_up")
    await eventually(lambda: _told(running), lambda told: told[-1] == f"pause {phone} wrap_up")
    presence = await agent.json("GET", ME)
    assert presence["pause_reason"] is None
    left = datetime.fromisoformat(presence["wrap_up_until"]) - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)
    assert presence["extension_s"] == 120
    extended = await agent.json("POST", f"{ME}/extend")
    assert extended["extension_s"] == 0
    await agent.json("POST", f"{ME}/extend", status=400)
    assert (await agent.json("POST", f"{ME}/unpause"))["state"] == "available"
    assert running.pbx.told[-1] == f"unpause {phone}"


async def _told(running: Desk) -> list[str]:
    return running.pbx.told


async def test_who_lets_calls_ring_out_is_paused_and_comes_back_by_ready(
    running: Desk, agent: Browser, phone: str
) -> None:
    running.site.queues["repair"] = running.site.queues["repair"].model_copy(
        update={"no_answer": NoAnswer(pause_after=2)}
    )
    await agent.json("POST", f"{ME}/login")

    async def rings(outcome: RingOutcome) -> None:
        line = running.line()
        line.ring(phone)
        await _state(running, "ringing")
        line.ring_ended(phone, outcome)

    for outcome in ("no_answer", "answered", "no_answer", "busy"):
        await rings(outcome)
        await _state(running, "available")
    await rings("no_answer")
    await _state(running, "paused")
    assert (await agent.json("GET", ME))["pause_reason"] == "no_answer"
    await eventually(lambda: _told(running), lambda told: told[-1] == f"pause {phone} no_answer")
    assert (await agent.json("POST", f"{ME}/unpause"))["state"] == "available"
    await rings("no_answer")
    await _state(running, "available")


async def test_wrap_up_ends_by_itself(running: Desk, agent: Browser, phone: str, line: PhoneLine) -> None:
    running.site.queues["repair"] = running.site.queues["repair"].model_copy(
        update={"wrap_up": running.site.queues["repair"].wrap_up.model_copy(update={"limit": timedelta(seconds=0.15)})}
    )
    await agent.json("POST", f"{ME}/login")
    line.ring(phone)
    line.answer(phone)
    line.hang_up(phone)
    await _state(running, "wrap_up")
    await _state(running, "available")
    await eventually(lambda: _told(running), lambda told: told[-1] == f"unpause {phone}")


async def test_wrap_up_may_end_in_a_pause(running: Desk, agent: Browser, phone: str, line: PhoneLine) -> None:
    queue = running.site.queues["repair"]
    policy = queue.wrap_up.model_copy(update={"limit": timedelta(seconds=0.1), "then": "paused"})
    running.site.queues["repair"] = queue.model_copy(update={"wrap_up": policy})
    await agent.json("POST", f"{ME}/login")
    line.ring(phone)
    line.answer(phone)
    line.hang_up(phone)
    await _state(running, "wrap_up")
    await _state(running, "paused")
    await eventually(lambda: _told(running), lambda told: told[-1] == f"pause {phone} after_wrap_up")


async def test_a_server_that_starts_in_mid_wrap_up_finds_it_in_app_queue(
    running: Desk, agent: Browser, phone: str
) -> None:
    await agent.json("POST", f"{ME}/login")
    await running.pbx.queue_pause(Interface(phone), paused=True, reason="wrap_up")
    await _state(running, "wrap_up")
    await running.pbx.queue_pause(Interface(phone), paused=False, reason="")
    await _state(running, "available")


async def test_a_pause_by_another_hand_is_seen(running: Desk, agent: Browser, phone: str) -> None:
    await agent.json("POST", f"{ME}/login")
    await running.pbx.queue_pause(Interface(phone), paused=True, reason="lunch")
    await _state(running, "paused")
    await running.pbx.queue_remove(QueueName("repair"), Interface(phone))
    await _state(running, "logged_out")


async def test_ready_before_the_pause_order_is_given_leaves_nobody_paused(
    running: Desk, agent: Browser, phone: str, line: PhoneLine
) -> None:
    await agent.json("POST", f"{ME}/login")
    line.ring(phone)
    line.answer(phone)
    line.hang_up(phone)
    await _state(running, "wrap_up")
    await agent.json("POST", f"{ME}/unpause")
    await agent.json("GET", ME)
    assert [order for order in running.pbx.told if order.startswith(("pause", "unpause"))][-1] == f"unpause {phone}"
    assert running.features.agents.presence(running.features.agents.everybody()[0][0].id).state == "available"


# Pops


@pytest.fixture
async def popping(running: Desk, agent: Browser) -> AsyncIterator[Any]:
    async with agent.socket() as socket:
        await socket.send_json({"op": "subscribe", "topic": "pop:agent1"})
        assert (await socket.receive_json(timeout=5))["data"] is None
        yield socket


@pytest.fixture
def shaky(running: Desk, monkeypatch: pytest.MonkeyPatch) -> Shaky:
    """The database that pops are looked up in."""
    shaky = Shaky(running.database)
    monkeypatch.setattr(running.features.pops, "_database", shaky)
    return shaky


async def test_the_pop_holds_what_is_known_before_the_call_is_answered(
    running: Desk, agent: Browser, phone: str, line: PhoneLine, popping: Any
) -> None:
    [contact] = await running.features.contacts.find_or_create(line.ani, "张伟")
    opened = await running.features.records.open("repair", actor="call", call_id=line.id, contact_id=contact.id)
    line.ring(phone)
    shown = (await popping.receive_json(timeout=5))["data"]
    assert shown["phase"] == "ringing"
    assert [it["name"] for it in shown["contacts"]] == ["张伟"]
    assert [it["number"] for it in shown["records"]] == [opened.record.number]
    assert (shown["ani"], shown["queue"], shown["caller_name"]) == (line.ani, "repair", "张先生")
    await agent.json("POST", f"/api/v1/pops/{shown['pop_id']}/painted", status=204)
    [pop] = await _kept(running, line.id)
    assert pop.contact_id == contact.id
    assert pop.record_id == opened.record.id
    assert pop.reason is None

    async def painted() -> datetime | None:
        return (await running.features.pops.of_call(line.id))[0].painted_at

    painted_at = await eventually(painted)
    assert painted_at is not None
    assert painted_at >= pop.sent_at - timedelta(seconds=1)


async def test_a_browser_that_paints_before_the_pop_is_on_disk_is_believed(
    running: Desk, agent: Browser, phone: str, line: PhoneLine, popping: Any
) -> None:
    async with running.database.unit_of_work():  # the one writer is busy, so the pop's row must wait
        line.ring(phone)
        shown = (await popping.receive_json(timeout=5))["data"]
        await agent.json("POST", f"/api/v1/pops/{shown['pop_id']}/painted", status=204)

    async def painted() -> bool:
        return any(pop.painted_at for pop in await running.features.pops.of_call(line.id))

    assert await eventually(painted)


async def test_the_pop_follows_its_call(
    running: Desk, agent: Browser, phone: str, line: PhoneLine, popping: Any
) -> None:
    async def phases(count: int) -> list[str | None]:
        frames = [await popping.receive_json(timeout=5) for _ in range(count)]
        return [frame["data"] and frame["data"]["phase"] for frame in frames]

    line.ring(phone)
    line.ring_ended(phone)
    assert await phases(2) == ["ringing", None]
    line.ring(phone)
    line.answer(phone)
    line.hang_up(phone)
    line.end()
    assert await phases(3) == ["ringing", "talking", "ended"]
    await agent.json("POST", "/api/v1/pops/mine/dismiss", status=204)
    assert await phases(1) == [None]
    assert len(await running.features.pops.of_call(line.id)) == 2


async def test_a_second_call_does_not_make_the_desk_forget_the_first(
    running: Desk, agent: Browser, phone: str, line: PhoneLine, popping: Any
) -> None:
    async def next_shown() -> tuple[str, str] | None:
        data = (await popping.receive_json(timeout=5))["data"]
        return data and (data["call_id"], data["phase"])

    second, third = running.line(ani="13900000002"), running.line(ani="13900000003")
    line.ring(phone)
    line.answer(phone)
    assert [await next_shown(), await next_shown()] == [(line.id, "ringing"), (line.id, "talking")]
    second.ring(phone)
    second.ring_ended(phone)
    assert [await next_shown(), await next_shown()] == [(second.id, "ringing"), (line.id, "talking")]
    # The first ends while another rings: then there is nothing to go back to.
    third.ring(phone)
    line.hang_up(phone)
    line.end()
    third.end()
    assert [await next_shown(), await next_shown()] == [(third.id, "ringing"), None]


async def test_a_caller_who_gives_up_while_it_rings_clears_the_desk(
    running: Desk, phone: str, line: PhoneLine, popping: Any
) -> None:
    line.ring(phone)
    await popping.receive_json(timeout=5)
    line.end()
    assert (await popping.receive_json(timeout=5))["data"] is None


async def test_a_call_that_was_picked_up_shows_all_the_same(
    running: Desk, phone: str, line: PhoneLine, popping: Any
) -> None:
    line.answer(phone)
    frames = [await popping.receive_json(timeout=5) for _ in range(2)]
    assert [frame["data"]["phase"] for frame in frames] == ["ringing", "talking"]


@pytest.mark.parametrize(
    ("ani", "reason"), [("anonymous", "withheld"), ("", "withheld"), ("13900000009", "unknown_number")]
)
async def test_why_a_pop_holds_nobody_is_kept(running: Desk, phone: str, popping: Any, ani: str, reason: str) -> None:
    line = running.line(ani=ani)
    line.start()
    line.ring(phone)
    assert (await popping.receive_json(timeout=5))["data"]["contacts"] == []
    [pop] = await _kept(running, line.id)
    assert pop.reason == reason


async def test_it_rings_and_shows_who_as_far_as_is_known_while_the_database_is_away(
    running: Desk, agent: Browser, phone: str, popping: Any, shaky: Shaky
) -> None:
    line = running.line()
    line.start()
    await running.features.contacts.find_or_create(line.ani, "张伟")

    async def shown() -> tuple[str, bool, str, str, list[str]]:
        data = (await popping.receive_json(timeout=5))["data"]
        return data["phase"], data["looked_up"], data["ani"], data["queue"], [it["name"] for it in data["contacts"]]

    shaky.reading_away = True
    line.ring(phone)
    assert await shown() == ("ringing", False, line.ani, "repair", [])
    line.answer(phone)
    assert await shown() == ("talking", False, line.ani, "repair", [])
    await agent.json("POST", "/api/v1/pops/mine/refresh", status=503)
    shaky.reading_away = False
    [pop] = await _kept(running, line.id)
    assert pop.reason == "database_away"
    await agent.json("POST", "/api/v1/pops/mine/refresh")
    assert await shown() == ("talking", True, line.ani, "repair", ["张伟"])


async def test_an_answered_call_is_looked_up_again_if_the_database_was_away_while_it_rang(
    running: Desk, phone: str, line: PhoneLine, popping: Any, shaky: Shaky
) -> None:
    await running.features.contacts.find_or_create(line.ani, "张伟")
    shaky.reading_away = True
    line.ring(phone)
    assert (await popping.receive_json(timeout=5))["data"]["contacts"] == []
    shaky.reading_away = False
    line.answer(phone)
    assert [it["name"] for it in (await popping.receive_json(timeout=5))["data"]["contacts"]] == ["张伟"]


async def test_phones_ring_on_while_a_database_hangs(
    running: Desk, phone: str, popping: Any, shaky: Shaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctiserver.features.screenpop.service._GATHERED_WITHIN_S", 0.05)
    shaky.hangs = True
    lines = [running.line(ani=f"1380000000{number}") for number in range(3)]
    for line in lines:
        line.start()
        line.ring(phone)
    shown = [(await popping.receive_json(timeout=5))["data"] for _ in lines]
    assert [(data["ani"], data["looked_up"]) for data in shown] == [(line.ani, False) for line in lines]
    assert shaky.looks == 1, "the others were not kept waiting by the first"


async def test_an_agent_without_a_browser_is_the_reason(running: Desk, phone: str, line: PhoneLine) -> None:
    line.ring(phone)
    [pop] = await _kept(running, line.id)
    assert pop.reason == "no_browser"
    assert pop.painted_at is None


async def test_several_contacts_of_one_number_are_all_shown(
    running: Desk, agent: Browser, phone: str, line: PhoneLine, popping: Any
) -> None:
    [first] = await running.features.contacts.find_or_create(line.ani, "张伟")
    async with running.database.unit_of_work() as uow:
        await uow.contacts.add(replace(first, id=ContactId(new_ulid(datetime.now(UTC))), name="李娜"))
    opened = await running.features.records.open("repair", actor="call", call_id=line.id)
    line.ring(phone)
    shown = (await popping.receive_json(timeout=5))["data"]
    assert {it["name"] for it in shown["contacts"]} == {"张伟", "李娜"}
    chosen = next(it["id"] for it in shown["contacts"] if it["name"] == "李娜")
    await agent.json(
        "PATCH", f"/api/v1/records/{opened.record.id}", {"contact_id": {"was": "", "now": chosen}}, status=200
    )
    await agent.json("POST", "/api/v1/pops/mine/refresh")
    assert [it["name"] for it in (await popping.receive_json(timeout=5))["data"]["contacts"]] == ["李娜"]


async def test_pops_of_a_call_are_explained(running: Desk, phone: str, line: PhoneLine) -> None:
    line.ring(phone)
    await _kept(running, line.id)
    async with Browser(running.url) as lead:
        await lead.log_in("supervisor")
        answer = await lead.json("GET", f"/api/v1/calls/{line.id}/pops")
    assert [(pop["agent_id"], pop["reason"]) for pop in answer["pops"]] == [("agent1", "no_browser")]


async def test_who_asks_a_moment_after_a_call_is_not_refused_it(
    running: Desk, agent: Browser, phone: str, line: PhoneLine
) -> None:
    """The log is written a moment later than it is seen on the screen."""
    with running.bus.subscribe(Mark) as waits:
        async with running.database.unit_of_work():  # nobody else writes meanwhile
            line.ring(phone)
            line.answer(phone)
            line.hang_up(phone)
            line.end()
            looked = asyncio.create_task(agent.json("GET", f"/api/v1/calls/{line.id}"))
            await anext(waits)
        assert (await looked)["outcome"] == "abandoned"
    second = running.line()
    with running.bus.subscribe(Mark) as waits:
        async with running.database.unit_of_work():
            second.start()
            second.ring(phone)
            second.answer(phone)
            path = f"/api/v1/calls/{second.id}/reason"
            stated = asyncio.create_task(agent.json("POST", path, {"reason": "wrong_number"}, status=204))
            await anext(waits)
        await stated
    async with running.database.reading() as uow:
        assert (await uow.calls.get(second.id)).no_record_reason == "wrong_number"


# Records


async def test_notes_are_written_down_and_overwrite_nobody(running: Desk, agent: Browser) -> None:
    record = (await running.features.records.open("repair", actor="user:x")).record
    path = f"/api/v1/records/{record.id}"
    await agent.json("PATCH", path, {"notes": {"was": "", "now": "噪音大"}})
    # The answer got lost, and the browser asks again.
    await agent.json("PATCH", path, {"notes": {"was": "", "now": "噪音大"}})
    problem = await agent.json("PATCH", path, {"notes": {"was": "", "now": "另外的话"}}, status=409)
    assert problem["code"] == "conflict"
    await agent.json("PATCH", path, {"fields": {"fault": {"was": "", "now": "E4"}}})
    whole = await agent.json("GET", path)
    assert (whole["notes"], whole["fields"]) == ("噪音大", {"fault": "E4"})


@pytest.mark.parametrize(
    "body",
    [
        {"fields": {"colour": {"was": "", "now": "red"}}},
        {"payer": {"was": "", "now": "grandmother"}},
        {"status": {"was": "open", "now": "closed"}},
        {"notes": "all of it"},
    ],
)
async def test_what_a_record_does_not_have_is_not_written(running: Desk, agent: Browser, body: Any) -> None:
    record = (await running.features.records.open("repair", actor="user:x")).record
    response = await agent.ask("PATCH", f"/api/v1/records/{record.id}", body)
    assert response.status in (400, 422)


async def test_fifty_writers_of_different_fields_lose_nothing(running: Desk) -> None:
    record = (await running.features.records.open("repair", actor="user:x")).record

    async def write(number: int) -> None:
        was = ""
        for step in range(5):
            now = f"{number}.{step}"
            fields = {} if number % 2 else {"fault": Change(was, now)}
            changes = {"notes": Change(was, now)} if number % 2 else {}
            await running.features.records.write(record.id, changes, fields, actor="user:x")
            was = now

    async with asyncio.TaskGroup() as group:
        for number in (0, 1):
            group.create_task(write(number))
    async with running.database.reading() as uow:
        kept = await uow.records.get(record.id)
    assert (kept.fields["fault"], kept.notes) == ("0.4", "1.4")
    assert kept.revision == record.revision + 10


async def test_a_result_commits_record_timeline_and_process_start_together(running: Desk, agent: Browser) -> None:
    record = (await running.features.records.open("repair", actor="user:x")).record
    path = f"/api/v1/records/{record.id}"
    problem = await agent.json("POST", f"{path}/disposition", {"code": "visit_needed"}, status=422)
    assert problem["fields"] == {"fault": "required"}
    await agent.json("PATCH", path, {"fields": {"fault": {"was": "", "now": "E4"}}})
    for _ in range(2):  # asked again after a lost answer, it does nothing more
        answer = await agent.json("POST", f"{path}/disposition", {"code": "visit_needed"})
        assert (answer["disposition"], answer["status"]) == ("visit_needed", "open")
    async with running.database.reading() as uow:
        rows = await uow.outbox.waiting(["process_start"])
        timeline = await uow.records.timeline(record.id)
    assert [row.payload for row in rows] == [{"record_id": record.id, "process": "repair"}]
    assert [(entry.kind, entry.actor) for entry in timeline] == [("opened", "user:x"), ("disposed", "user:agent1")]


async def test_a_closing_result_closes_and_a_second_one_conflicts(running: Desk, agent: Browser) -> None:
    record = (await running.features.records.open("enquiry", actor="user:x")).record
    path = f"/api/v1/records/{record.id}/disposition"
    assert (await agent.json("POST", path, {"code": "solved_by_phone"}))["status"] == "closed"
    await agent.json("POST", path, {"code": "wrong_number"}, status=409)
    await agent.json("POST", path, {"code": "solved_by_phone"})
    await agent.json("POST", path, {"code": "moon"}, status=400)


async def test_a_result_is_only_for_its_record_types(running: Desk, agent: Browser) -> None:
    record = (await running.features.records.open("enquiry", actor="user:x")).record
    path = f"/api/v1/records/{record.id}/disposition"
    problem = await agent.json("POST", path, {"code": "visit_needed"}, status=400)
    assert "visit_needed is not for records of type enquiry" in problem["title"]


async def test_who_talks_first_owns_the_record(running: Desk, agent: Browser, phone: str, line: PhoneLine) -> None:
    record = (await running.features.records.open("repair", actor="call", call_id=line.id)).record
    line.answer(phone)

    async def owner() -> str | None:
        return str((await agent.json("GET", f"/api/v1/records/{record.id}"))["owner_name"])

    await eventually(owner, lambda name: name == "王芳")
    assert [it["id"] for it in (await agent.json("GET", "/api/v1/records?owner=me"))["records"]] == [record.id]


async def test_a_repeat_call_raises_the_open_record(running: Desk) -> None:
    [contact] = await running.features.contacts.find_or_create("13800000001", "张伟")
    first, second = running.line(), running.line()
    opened = await running.features.records.open("repair", actor="call", call_id=first.id, contact_id=contact.id)
    again = await running.features.records.open("repair", actor="call", call_id=first.id, contact_id=contact.id)
    assert (again.new, again.record.priority) == (False, opened.record.priority)
    raised = await running.features.records.open("repair", actor="call", call_id=second.id, contact_id=contact.id)
    assert (raised.new, raised.record.id) == (False, opened.record.id)
    assert raised.record.priority == opened.record.priority + 1
    other = await running.features.records.open("enquiry", actor="call", call_id=second.id, contact_id=contact.id)
    assert other.new
    async with running.database.reading() as uow:
        assert await uow.records.calls(opened.record.id) == [first.id, second.id]
        # No process is under way that would say by how much: the record was raised by one, and nobody is asked.
        assert await uow.outbox.waiting(["process_signal"]) == []


async def test_numbers_count_up_within_the_sites_day(running: Desk) -> None:
    numbers = [(await running.features.records.open("enquiry", actor="user:x")).record.number for _ in range(3)]
    assert [number[-4:] for number in numbers] == ["0001", "0002", "0003"]
    assert all(number.startswith("R20") and len(number) == len("R20261121-0001") for number in numbers)


async def test_a_record_is_opened_for_ones_own_call_only(
    running: Desk, agent: Browser, phone: str, line: PhoneLine, popping: Any
) -> None:
    body = {"type": "enquiry", "call_id": line.id, "caller_number": line.ani}
    await agent.json("POST", "/api/v1/records", body, status=404)
    line.ring(phone)
    await _kept(running, line.id)
    opened = await agent.json("POST", "/api/v1/records", body, status=201)
    assert opened["owner"] == "agent1"
    assert (await agent.json("POST", "/api/v1/records", body, status=200))["id"] == opened["id"]
    async with running.database.reading() as uow:
        assert await uow.records.calls(RecordId(opened["id"])) == [line.id]


# Contacts


async def test_a_new_number_makes_one_contact_and_a_withheld_one_none(running: Desk) -> None:
    async with asyncio.TaskGroup() as group:
        found = [
            group.create_task(running.features.contacts.find_or_create(ani))
            for ani in ("13800000001", "+86 138 0000 0001")
        ]
    assert found[0].result() == found[1].result()
    for ani in ("", "anonymous", "000000"):
        assert await running.features.contacts.find_or_create(ani) == []
        assert await running.features.contacts.find(ani) == []


async def test_contacts_are_found_by_part_and_mended(running: Desk, agent: Browser) -> None:
    await running.features.contacts.find_or_create("13800000001", "张伟")
    for words in ("1", "", "张", "张伟", "0001", "138-0000-0001"):
        found = (await agent.json("GET", "/api/v1/contacts?q=" + words))["contacts"]
        assert len(found) == (0 if words in ("1", "") else 1), words
    contact = found[0]
    path = f"/api/v1/contacts/{contact['id']}"
    change = {"name": "张伟", "organisation": "东方物业", "revision": contact["revision"]}
    assert (await agent.json("PATCH", path, change))["organisation"] == "东方物业"
    await agent.json("PATCH", path, change, status=409)
    assert (await agent.json("GET", path))["devices"] == []


# Words of the site


async def test_the_sites_words_come_in_both_languages(agent: Browser) -> None:
    for path, key in (
        ("record-types", "record_types"),
        ("dispositions", "dispositions"),
        ("pause-reasons", "pause_reasons"),
        ("queues", "queues"),
    ):
        items = (await agent.json("GET", f"/api/v1/{path}"))[key]
        assert items
        assert all({"zh-CN", "en"} <= set(item["title"]) for item in items)


async def test_a_person_keeps_their_language(running: Desk, agent: Browser) -> None:
    await agent.json("PATCH", "/api/v1/me", {"language": "en"}, status=204)
    assert (await agent.json("GET", "/api/v1/me"))["language"] == "en"
    await agent.json("PATCH", "/api/v1/me", {"language": "tlh"}, status=400)


async def test_sites_and_devices_of_the_one_who_calls_pop_too(running: Desk, agent: Browser, phone: str) -> None:
    line = running.line()
    line.start()
    [contact] = await running.features.contacts.find_or_create(line.ani, "张伟")
    async with running.database.unit_of_work() as uow:
        await uow.contacts.add_site(
            Premises(
                id=SiteId("S" * 26), contact_id=contact.id, name="总部", address="世纪大道100号", local_person="赵工"
            )
        )
        await uow.contacts.add_device(Device(id=DeviceId("D" * 26), contact_id=contact.id, serial="S1", model="M"))
    line.ring(phone)
    shown = await eventually(lambda: agent.json("GET", "/api/v1/pops/mine"), lambda it: it["pop"] is not None)
    assert [(site["name"], site["address"]) for site in shown["pop"]["sites"]] == [("总部", "世纪大道100号")]
    assert [device["serial"] for device in shown["pop"]["devices"]] == ["S1"]
