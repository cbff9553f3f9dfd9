"""The live board: figures that say exactly which calls they count, how old they are, and a supervisor's hand on agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import ManualClock, SystemClock
from ctiserver.features.wallboard import board
from ctiserver.features.wallboard.board import Board
from ctiserver.model.calls.tracking.standing import ChannelState
from ctiserver.model.events import CallKnownLater, PbxDown, PbxUp
from ctiserver.model.ids import CallId, QueueName, Uniqueid, call_id
from tests.support.desk import PBX, REPAIR, Browser, Desk, desk
from tests.support.eventually import eventually
from tests.support.queue_caller import Caller

REASON = "a complaint about this agent"


@pytest.fixture
async def lead(running: Desk, browser: Browser) -> Browser:
    await browser.log_in("supervisor")
    return browser


@pytest.fixture
async def telling(running: Desk) -> AsyncIterator[None]:
    """The board tells of what changed, as in a server."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(running.features.board.tell())
        yield
        task.cancel()


def _now() -> datetime:
    return datetime.now(UTC)


async def _figures(lead: Browser) -> dict[str, Any]:
    board = await lead.json("GET", "/api/v1/board")
    found: dict[str, Any] = next(queue for queue in board["queues"] if queue["name"] == REPAIR)
    return found


async def test_each_figure_leads_to_exactly_the_calls_it_counts(running: Desk, lead: Browser) -> None:
    at = _now()
    callers = [Caller(running, at, f"1380000000{n}") for n in range(6)]
    for caller in callers:
        caller.enter()
    for caller, outcome, wait_s in zip(
        callers, ("answered", "answered", "abandoned", "abandoned", "timeout"), (5, 30, 2, 60, 90), strict=False
    ):
        caller.leave(outcome, wait_s)  # type: ignore[arg-type]
    callers[2].end()

    figures = await eventually(lambda: _figures(lead), lambda it: it["offered"] == 6 and it["waiting"] == 1)
    assert figures["sl_no_short"] == 1 / 3
    assert (figures["answered_within_s"], figures["short_abandon_s"]) == (20, 5)
    expected = {
        "offered": callers,
        "waiting": callers[5:],
        "answered": callers[:2],
        "answered_in_time": callers[:1],
        "abandoned": callers[2:4],
        "abandoned_short": callers[2:3],
        "left_otherwise": callers[4:5],
    }
    for figure, those in expected.items():
        counted = await lead.json("GET", f"/api/v1/queues/repair/counted?figure={figure}")
        assert {visit["call_id"] for visit in counted["visits"]} == {caller.id for caller in those}
        assert counted["count"] == figures[figure] == len(those)
    listed = (await lead.json("GET", "/api/v1/queues/repair/counted?figure=answered_in_time"))["visits"]
    assert [(it["wait_ms"], it["agent"], it["ani"]) for it in listed] == [(5000, "PJSIP/agent1", "13800000000")]
    await lead.json("GET", "/api/v1/queues/repair/counted?figure=nonsense", status=422)
    await lead.json("GET", "/api/v1/queues/nonsense/counted?figure=offered", status=404)


@pytest.mark.usefixtures("telling")
async def test_the_board_is_told_of_figures_and_of_their_age(running: Desk, lead: Browser) -> None:
    async with lead.socket() as socket:
        await socket.send_json({"op": "subscribe", "topic": "board:all"})
        snapshot = (await socket.receive_json(timeout=5))["data"]
        assert (snapshot["age_s"], [queue["offered"] for queue in snapshot["queues"]]) == (0, [0, 0])
        Caller(running, _now()).enter()
        frame = await socket.receive_json(timeout=5)
        while frame["event"] != "queue":
            frame = await socket.receive_json(timeout=5)
        assert (frame["data"]["queue"]["name"], frame["data"]["queue"]["waiting"]) == ("repair", 1)
        running.bus.publish(PbxDown(pbx=PBX, at=_now() - timedelta(seconds=40), reason="gone"))
        frame = await socket.receive_json(timeout=5)
        while frame["data"]["age_s"] == 0:
            frame = await socket.receive_json(timeout=5)
        assert 40 <= frame["data"]["age_s"] < 50
        running.bus.publish(PbxUp(pbx=PBX, at=_now(), version="22", epoch=_now()))
        while frame["data"]["age_s"] != 0:
            frame = await socket.receive_json(timeout=5)


async def test_a_restarted_server_shows_the_same_day(running: Desk) -> None:
    callers = [Caller(running, _now()) for _ in range(3)]
    for caller, outcome in zip(callers, ("answered", "abandoned", "timeout"), strict=True):
        caller.enter()
        caller.leave(outcome, 10)  # type: ignore[arg-type]
        caller.end()

    async def kept() -> list[bool]:
        async with running.database.reading() as uow:
            return [entry.complete for entry in await uow.calls.page()]

    await eventually(kept, lambda complete: complete == [True] * 3)
    bus = Bus()
    fresh = Board(
        running.database,
        bus,
        SystemClock(),
        running.site,
        pbxs={},
        time_zone="Asia/Shanghai",
        told=lambda _: None,
        aged=lambda: None,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(fresh.run())

        async def offered() -> int:
            return fresh.figures(REPAIR).figures.offered

        await eventually(offered, lambda count: count == 3)
        bus.close()
    assert fresh.everything() == running.features.board.everything()


async def test_calls_that_the_pbx_told_of_later_are_counted_once(
    running: Desk, lead: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One gave up while the link was broken, as queue_log says; of another nobody knew."""
    monkeypatch.setattr(board, "_LET_GO_EVERY_S", 0.01)
    at = _now()
    seen = Caller(running, at, "13800000001")
    seen.enter()
    seen.leave("unknown", 5)
    seen.end()

    async def logged() -> bool:
        async with running.database.reading() as uow:
            return any(entry.complete for entry in await uow.calls.page())

    await eventually(logged)
    figures = await eventually(lambda: _figures(lead), lambda it: it["offered"] == 1)
    assert (figures["left_otherwise"], figures["abandoned"]) == (1, 0)
    async with running.database.unit_of_work() as uow:
        [known] = await uow.calls.page()
        visit = {
            "queue": REPAIR,
            "entered_at": at.isoformat(),
            "left_at": (at + timedelta(seconds=5)).isoformat(),
            "outcome": "abandoned",
            "agent": None,
        }
        told = replace(known, detail={**known.detail, "queue_visits": [visit]})
        await uow.calls.save(told)
        other = call_id(PBX, Uniqueid("1.99"))
        await uow.calls.save(replace(told, id=other, ani="13800000002", detail={**told.detail, "linkedids": ["1.99"]}))
    running.bus.publish(CallKnownLater(pbx=PBX, at=_now(), call_id=other))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(running.features.board.let_go())
        figures = await eventually(lambda: _figures(lead), lambda it: it["offered"] == 2)
        assert (figures["left_otherwise"], figures["abandoned"]) == (0, 2)
        task.cancel()


async def test_at_midnight_of_the_site_the_counts_begin_anew(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 11, 21, 15, 59, tzinfo=UTC))  # 23:59 in Shanghai
    async with desk(tmp_path, clock=clock) as running:
        board = running.features.board
        early = Caller(running, clock.now())
        early.enter()

        async def offered() -> int:
            return board.figures(REPAIR).figures.offered

        await eventually(offered, lambda count: count == 1)
        clock.advance(120)
        assert [queue.figures.offered for queue in board.everything()] == [0, 0]
        early.leave("answered", 130)
        Caller(running, clock.now()).enter()
        await eventually(offered, lambda count: count == 1)
        assert await board.counted(REPAIR, "answered", 10) == []


# A supervisor's hand


def _stand(running: Desk, agent_id: str, *, talking: bool) -> str:
    interface = next(agent.interface for agent, _ in running.features.agents.everybody() if agent.id == agent_id)
    channel = f"{interface}-0000000a"
    running.pbx.stands[interface] = [
        ChannelState(
            call_id=CallId("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            channel=channel,
            uniqueid=Uniqueid("1.1"),
            talking=talking,
            others=("PJSIP/trunk-1",),
            waiting=(),
        )
    ]
    return channel


@pytest.mark.parametrize("mode", ["listen", "whisper", "barge"])
async def test_listening_in_is_audited_and_calls_the_supervisors_own_phone(
    running: Desk, lead: Browser, mode: str
) -> None:
    body = {"mode": mode, "reason": REASON}
    path = "/api/v1/agents/agent1/monitor"
    assert "is not in a call" in (await lead.json("POST", path, body, status=409))["title"]
    _stand(running, "agent1", talking=False)
    assert "is not in a call" in (await lead.json("POST", path, body, status=409))["title"]
    channel = _stand(running, "agent1", talking=True)
    assert running.pbx.told == []
    assert (await lead.json("POST", path, body, status=202))["call_id"] == "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    own = next(a.interface for a, _ in running.features.agents.everybody() if a.id == "supervisor")
    assert running.pbx.told == [f"originate {own} {mode}@cti-monitor CTI_SPY={channel}"]
    [entry] = (await lead.json("GET", "/api/v1/audit?act=call_monitored"))["entries"]
    assert (entry["actor"], entry["subject"]) == ("user:supervisor", "call:01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert entry["detail"] == {"agent": "agent1", "mode": mode, "reason": REASON}
    _stand(running, "supervisor", talking=True)
    assert "in use" in (await lead.json("POST", path, body, status=409))["title"]
    await lead.json("POST", path, {"mode": mode, "reason": ""}, status=422)


async def test_a_supervisor_without_a_phone_cannot_listen_in(running: Desk) -> None:
    _stand(running, "agent1", talking=True)
    async with Browser(running.url) as admin:
        await admin.log_in("admin")
        body = {"mode": "listen", "reason": REASON}
        assert (await admin.json("POST", "/api/v1/agents/agent1/monitor", body, status=403))["code"] == "no_agent"
    assert running.pbx.told == []


async def test_an_agents_state_is_set_and_audited(running: Desk, lead: Browser) -> None:
    path = "/api/v1/agents/agent1/state"
    for body, state in (
        ({"state": "logged_in"}, "available"),
        ({"state": "paused", "pause_reason": "training"}, "paused"),
        ({"state": "ready"}, "available"),
        ({"state": "logged_out"}, "logged_out"),
    ):
        assert (await lead.json("POST", path, {**body, "reason": REASON}))["state"] == state
    await lead.json("POST", path, {"state": "ready", "reason": REASON}, status=400)
    await lead.json("POST", path, {"state": "asleep", "reason": REASON}, status=422)
    await lead.json("POST", "/api/v1/agents/nobody/state", {"state": "ready", "reason": REASON}, status=404)
    entries = (await lead.json("GET", "/api/v1/audit?subject=agent:agent1"))["entries"]
    assert [entry["detail"]["to"] for entry in entries] == ["logged_out", "ready", "paused", "logged_in"]
    assert entries[2]["detail"] == {
        "from": "available",
        "to": "paused",
        "pause_reason": "training",
        "reason": REASON,
    }


async def test_a_moved_member_keeps_their_pause(running: Desk, lead: Browser) -> None:
    path = "/api/v1/queues/operators/members/agent1"
    await lead.json("PUT", path, {}, status=409)  # not logged in
    await running.features.agents.log_in(running.features.agents.everybody()[0][0].id)
    await lead.json(
        "POST", "/api/v1/agents/agent1/state", {"state": "paused", "pause_reason": "lunch", "reason": REASON}
    )
    await lead.json("PUT", path, {"penalty": 2}, status=204)
    phone = next(a.interface for a, _ in running.features.agents.everybody() if a.id == "agent1")
    seat = running.pbx.seats[QueueName("operators"), phone]
    assert (seat.penalty, seat.paused, seat.pause_reason) == (2, True, "lunch")

    async def state() -> tuple[str, list[str]]:
        agents = running.features.agents
        agent_id = next(a.id for a, _ in agents.everybody() if a.id == "agent1")
        return agents.presence(agent_id).state, list(agents.queues(agent_id))

    await eventually(state, lambda it: it == ("paused", ["operators", "repair"]))
    await lead.json("DELETE", path, status=204)
    await eventually(state, lambda it: it == ("paused", ["repair"]))
    await lead.json("PUT", "/api/v1/queues/nonsense/members/agent1", {}, status=404)
    moved = (await lead.json("GET", "/api/v1/audit?act=member_moved"))["entries"]
    assert [entry["detail"]["seated"] for entry in moved] == [False, True]
