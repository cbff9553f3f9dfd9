"""The dispatcher's day over HTTP: what it shows, orders placed and handed over, and who is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ctiserver.features.dispatch.day import windows_of
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.store.database import Database
from tests.support.desk import Browser, Desk, desk
from tests.support.field import a_visit

#: A Monday, 08:00 UTC; the tests' calendars are UTC's.
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


class Stopped:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(tmp_path, clock=Stopped()) as opened:
        for login in ("tina", "theo"):
            await opened.add_user(login, "technician")
        await opened.add_user("dora", "dispatcher")
        yield opened


@pytest.fixture
async def dora(shop: Desk) -> AsyncIterator[Browser]:
    async with Browser(shop.url) as browser:
        await browser.log_in("dora")
        yield browser


async def kinds(database: Database, order: WorkOrder) -> list[tuple[str, Any]]:
    async with database.reading() as uow:
        return [(line.kind, line.data) for line in await uow.records.timeline(order.record_id)]


async def test_a_day_shows_who_works_and_every_visit_in_its_window(shop: Desk, dora: Browser) -> None:
    nobodys = await a_visit(shop.database, NOW, repeat_calls=1, region="south")
    planned = await a_visit(shop.database, NOW, "tina", planned_at=NOW + timedelta(hours=3), state="draft")
    missed = await a_visit(shop.database, NOW, "tina", planned_at=NOW - timedelta(days=1), state="accepted")
    on_site = await a_visit(shop.database, NOW, "theo", state="started", due_at=NOW - timedelta(minutes=1))
    done = await a_visit(shop.database, NOW, "theo", state="done")
    await a_visit(shop.database, NOW, "theo", planned_at=NOW + timedelta(days=2), state="draft")
    day = await dora.json("GET", "/api/v1/day")
    assert (day["day"], day["today"], day["calendar"]) == ("2026-11-23", "2026-11-23", "")
    assert [window["begin"][11:16] for window in day["windows"]] == [
        "08:00",
        "10:00",
        "12:00",
        "14:00",
        "16:00",
        "18:00",
    ]
    assert [(row["login"], row["open_orders"], row["off"]) for row in day["rows"]] == [
        ("theo", 2, [False] * 6),
        ("tina", 2, [False] * 6),
    ]
    shown = {visit["number"]: visit for visit in day["visits"]}
    assert {
        number: (visit["assignee"], visit["window"], visit["late"], visit["movable"]) for number, visit in shown.items()
    } == {
        nobodys.number: (None, None, False, True),
        planned.number: ("tina", 1, False, True),
        missed.number: ("tina", None, True, True),
        on_site.number: ("theo", None, True, False),
        done.number: ("theo", None, False, False),
    }
    assert shown[nobodys.number]["record"]["region"] == "south"
    assert shown[nobodys.number]["record"]["repeat_calls"] == 1
    later = await dora.json("GET", "/api/v1/day?date=2026-11-25")
    assert [visit["window"] for visit in later["visits"] if visit["planned_at"]] == [0]
    assert missed.number not in {visit["number"] for visit in later["visits"]}
    await dora.json("GET", "/api/v1/day?date=monday", status=422)


async def test_an_order_is_placed_with_reasons_and_only_as_it_was_seen(shop: Desk, dora: Browser) -> None:
    order = await a_visit(shop.database, NOW, "tina", state="accepted")
    path = f"/api/v1/work-orders/{order.id}/place"
    at = (NOW + timedelta(hours=5)).isoformat()
    placed = await dora.json("POST", path, {"to": "theo", "planned_at": at, "revision": 1, "reason": "nearer"})
    assert (placed["state"], placed["planned_at"], placed["revision"]) == ("offered", at, 2)
    assert placed["assigned"] == {"how": "hand", "by": "dora", "reason": "nearer", "at": NOW.isoformat()}
    assert [(one["login"], one["reason"]) for one in placed["considered"]] == [("theo", "by_hand"), ("tina", "fits")]
    # Asked again after a lost answer it stands so already; who saw the old one and wants another is refused.
    again = {"to": "theo", "planned_at": at, "revision": 1}
    assert (await dora.json("POST", path, again))["revision"] == 2
    problem = await dora.json("POST", path, {"to": "tina", "revision": 1}, status=409)
    assert problem["code"] == "conflict"
    assert await kinds(shop.database, order) == [
        (
            kind,
            {
                "order": order.number,
                "kind": "dispatch",
                "from": "tina",
                "assignee": "theo",
                "reason": "nearer",
                "planned_at": at,
            },
        )
        for kind in ("order_assigned", "order_rescheduled")
    ]
    await dora.json("POST", path, {"to": "nobody"}, status=422)
    under_way = await a_visit(shop.database, NOW, "tina", state="en_route")
    await dora.json("POST", f"/api/v1/work-orders/{under_way.id}/place", {"to": "theo"}, status=409)


async def test_what_speaks_against_a_choice_by_hand_is_kept(shop: Desk, dora: Browser) -> None:
    order = await a_visit(shop.database, NOW)
    until = (NOW + timedelta(hours=3)).isoformat()
    assert await dora.json("POST", "/api/v1/absences", {"login": "tina", "until": until}) == {
        "login": "tina",
        "until": until,
    }
    placed = await dora.json("POST", f"/api/v1/work-orders/{order.id}/place", {"to": "tina"})
    assert placed["considered"][0] == {
        "login": "tina",
        "name": "Tina",
        "open_orders": 0,
        "reason": "by_hand",
        "against": "away",
    }
    day = await dora.json("GET", "/api/v1/day")
    assert [row["off"] for row in day["rows"] if row["login"] == "tina"] == [[True, True, False, False, False, False]]
    await dora.json("POST", "/api/v1/absences", {"login": "tina", "until": None})
    day = await dora.json("GET", "/api/v1/day")
    assert not any(any(row["off"]) for row in day["rows"])


async def test_all_of_somebodys_orders_go_to_others_once_each_explained(shop: Desk, dora: Browser) -> None:
    await shop.add_user("tess", "technician")
    orders = [
        await a_visit(shop.database, NOW, "tina", state="offered"),
        await a_visit(shop.database, NOW, "tina", state="accepted"),
        await a_visit(shop.database, NOW, "tina", state="en_route"),
        await a_visit(shop.database, NOW, "tina", state="draft", planned_at=NOW + timedelta(days=1)),
        await a_visit(shop.database, NOW, "tina", state="on_hold", held_from="started"),
    ]
    over = await a_visit(shop.database, NOW, "tina", state="done")
    body = {"whose": "tina", "reason": "ill", "away_until": (NOW + timedelta(days=2)).isoformat()}
    done = await dora.json("POST", "/api/v1/handovers", body)
    # The least loaded of the others each time: they take turns.
    assert [one["to"] for one in done["orders"]] == ["tess", "theo", "tess", "theo", "tess"]
    for one in done["orders"]:
        assert {it["login"]: it["reason"] for it in one["considered"]}["tina"] in ("away", "declined_before")
    async with shop.database.reading() as uow:
        now = [await uow.work_orders.get(order.id) for order in orders]
        assert await uow.work_orders.get(over.id) == over
    assert [order.state for order in now] == ["offered", "offered", "offered", "draft", "on_hold"]
    assert [order.held_from for order in now] == [None, None, None, None, "offered"]
    assert {str(order.payload["assigned"]["how"]) for order in now} == {"bulk"}  # type: ignore[index, call-overload]
    for order in orders:
        [(kind, data)] = await kinds(shop.database, order)
        assert (kind, data["from"], data["reason"]) == ("order_reassigned", "tina", "ill")
    assert await dora.json("POST", "/api/v1/handovers", body) == {"orders": []}


async def test_one_days_orders_go_to_one_person(shop: Desk, dora: Browser) -> None:
    today = await a_visit(shop.database, NOW, "tina", planned_at=NOW + timedelta(hours=1))
    no_time = await a_visit(shop.database, NOW, "tina")
    tomorrow = await a_visit(shop.database, NOW, "tina", planned_at=NOW + timedelta(days=1))
    body = {"whose": "tina", "to": "theo", "day": "2026-11-23", "reason": "car broken"}
    done = await dora.json("POST", "/api/v1/handovers", body)
    moved = {(one["number"], one["to"]) for one in done["orders"]}
    assert moved == {(today.number, "theo"), (no_time.number, "theo")}
    async with shop.database.reading() as uow:
        assert (await uow.work_orders.get(tomorrow.id)).assignee == tomorrow.assignee
    await dora.json("POST", "/api/v1/handovers", {**body, "to": "tina"}, status=400)
    await dora.json("POST", "/api/v1/handovers", {**body, "reason": ""}, status=422)


async def test_with_nobody_left_they_wait_for_whoever_takes_them(shop: Desk, dora: Browser) -> None:
    await dora.json("POST", "/api/v1/absences", {"login": "theo", "until": (NOW + timedelta(days=1)).isoformat()})
    order = await a_visit(shop.database, NOW, "tina", state="accepted")
    done = await dora.json("POST", "/api/v1/handovers", {"whose": "tina", "reason": "ill"})
    assert [(one["number"], one["to"]) for one in done["orders"]] == [(order.number, None)]
    day = await dora.json("GET", "/api/v1/day")
    assert [(visit["assignee"], visit["state"]) for visit in day["visits"]] == [(None, "offered")]


async def test_a_change_is_told_to_dispatchers_and_to_both_people(shop: Desk, dora: Browser) -> None:
    order = await a_visit(shop.database, NOW, "tina")
    async with shop.database.reading() as uow:
        people = [await uow.users.by_login(login) for login in ("dora", "tina", "theo")]
    dora_, tina, theo = (user.id for user in people if user is not None)
    async with Browser(shop.url) as hers, Browser(shop.url) as his:
        await hers.log_in("tina")
        await his.log_in("theo")
        async with dora.socket() as first, hers.socket() as second, his.socket() as third:
            followed = ((first, "day:all"), (second, f"inbox:{tina}"), (third, f"inbox:{theo}"))
            for socket, topic in followed:
                await socket.send_json({"op": "subscribe", "topic": topic})
                assert (await socket.receive_json(timeout=5))["kind"] == "snapshot"
            await shop.features.placing.place(order.id, dora_, to=theo)
            for socket, topic in followed:
                told = await socket.receive_json(timeout=5)
                assert (told["topic"], told["event"], told["data"]["order"]) == (topic, "changed", order.number)


def test_windows_hold_what_is_planned_outside_of_the_hours() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    begin = datetime(2026, 11, 23, tzinfo=zone)
    hours = (begin.replace(hour=9), begin.replace(hour=18))
    two, limits = timedelta(hours=2), (begin, begin + timedelta(days=1))

    def clock(*planned: datetime) -> list[str]:
        return [f"{window.begin.astimezone(zone):%H}" for window in windows_of(hours, planned, two, limits)]

    assert clock() == ["09", "11", "13", "15", "17"]
    assert clock(begin.replace(hour=7), begin.replace(hour=21, minute=30)) == [
        "07",
        "09",
        "11",
        "13",
        "15",
        "17",
        "19",
        "21",
    ]
    assert clock(begin)[0] == "00"
    late = begin.replace(hour=23, minute=59)
    assert late in windows_of(hours, [late], two, limits)[-1]
