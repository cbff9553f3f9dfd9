"""Who may do what: every route and every topic, for every role and for nobody. The tables here are the promise."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack

import pytest

from ctiserver.model.ids import RecordId, WorkOrderId, new_ulid
from ctiserver.model.person import PEOPLES_ROLES, ROLES
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.web.access import PUBLIC, Access
from ctiserver.web.routes import Route, nothing
from ctiserver.web.server import WebServer
from tests.support.desk import Browser, Desk

EVERYBODY = set(PEOPLES_ROLES)
DESK = {"agent", "supervisor", "admin"}
LEAD = {"supervisor", "admin"}
ANYBODY = {*ROLES, "nobody"}

#: Each route and who may use it. A route that is missing here fails the test, and so does one that is gone.
ROUTES: dict[str, set[str]] = {
    "GET /": ANYBODY,
    "GET /ws": ANYBODY,  # a ticket opens it
    "GET /phone/ws": DESK,
    "GET /api/v1/phone": DESK,
    "GET /api/v1/phone/book": DESK,
    "POST /api/v1/phone/line": DESK,
    "POST /api/v1/phone/registered": DESK,
    "POST /api/v1/phone/resume": DESK,
    "POST /api/v1/phone/calls": DESK,
    "POST /api/v1/phone/hangup": DESK,
    "POST /api/v1/phone/hold": DESK,
    "POST /api/v1/phone/unhold": DESK,
    "POST /api/v1/phone/mute": DESK,
    "POST /api/v1/phone/unmute": DESK,
    "POST /api/v1/phone/transfer": DESK,
    "POST /api/v1/phone/consult": DESK,
    "POST /api/v1/phone/consult/complete": DESK,
    "POST /api/v1/phone/consult/cancel": DESK,
    "POST /api/v1/phone/consult/join": DESK,
    "GET /api/v1/openapi.json": ANYBODY,
    "GET /healthz": ANYBODY,
    "GET /readyz": ANYBODY,
    "GET /metrics": ANYBODY,  # from the networks of web.metrics_allow
    "POST /api/v1/tickets": EVERYBODY,
    "GET /api/v1/session": ANYBODY,
    "POST /api/v1/session": ANYBODY,
    "DELETE /api/v1/session": EVERYBODY,
    "GET /api/v1/me": EVERYBODY,
    "PATCH /api/v1/me": EVERYBODY,
    "POST /api/v1/me/password": EVERYBODY,
    "GET /api/v1/users": {"admin"},
    "POST /api/v1/users": {"admin"},
    "PATCH /api/v1/users/{login}": {"admin"},
    "POST /api/v1/users/{login}/password": {"admin"},
    "GET /api/v1/audit": LEAD,
    "GET /api/v1/set-aside": {"admin"},
    "POST /api/v1/set-aside/{aside_id}/again": {"admin"},
    "POST /api/v1/set-aside/{aside_id}/drop": {"admin"},
    "GET /api/v1/board": LEAD,
    "GET /api/v1/missed-calls": LEAD,
    "GET /api/v1/missed-calls/figures": LEAD,
    "GET /api/v1/queues/{queue}/counted": LEAD,
    "POST /api/v1/agents/{agent_id}/monitor": LEAD,
    "POST /api/v1/agents/{agent_id}/state": LEAD,
    "PUT /api/v1/queues/{queue}/members/{agent_id}": LEAD,
    "DELETE /api/v1/queues/{queue}/members/{agent_id}": LEAD,
    "GET /api/v1/agents": LEAD,
    "GET /api/v1/agents/me": DESK,
    "POST /api/v1/agents/me/login": DESK,
    "POST /api/v1/agents/me/logout": DESK,
    "POST /api/v1/agents/me/pause": DESK,
    "POST /api/v1/agents/me/unpause": DESK,
    "POST /api/v1/agents/me/extend": DESK,
    "GET /api/v1/pause-reasons": DESK,
    "GET /api/v1/queues": DESK,
    "GET /api/v1/calls": DESK,
    "GET /api/v1/calls/{call_id}": DESK,
    "POST /api/v1/calls/{call_id}/reason": DESK,
    "GET /api/v1/calls/{call_id}/pops": DESK,
    "GET /api/v1/calls/{call_id}/recordings": DESK,
    "POST /api/v1/calls/{call_id}/recording": DESK,
    "GET /api/v1/recordings/{recording_id}/audio": DESK,
    "GET /api/v1/contacts": DESK,
    "GET /api/v1/contacts/{contact_id}": DESK,
    "PATCH /api/v1/contacts/{contact_id}": DESK,
    "POST /api/v1/contacts/{contact_id}/sites": DESK,
    "PUT /api/v1/sites/{site_id}": DESK,
    "POST /api/v1/contacts/{contact_id}/devices": DESK,
    "PUT /api/v1/devices/{device_id}": DESK,
    "GET /api/v1/records": DESK,
    "POST /api/v1/records": {"machine", *DESK},
    "GET /api/v1/records/{record_id}": EVERYBODY,
    "GET /api/v1/records/{record_id}/chain": {"dispatcher", *DESK},
    "GET /api/v1/late": LEAD,
    "GET /api/v1/messages": LEAD,
    "POST /api/v1/messages/{message_id}/again": LEAD,
    "POST /api/v1/messages/{message_id}/receipt": {"machine"},
    "POST /api/v1/sms-answers": {"machine"},
    "GET /api/v1/parts": EVERYBODY,
    "GET /api/v1/stock": EVERYBODY,
    "GET /api/v1/stock/moves": {"storekeeper", *LEAD},
    "POST /api/v1/stock/moves": {"storekeeper", *LEAD},
    "POST /api/v1/stock/sent": {"storekeeper", *LEAD},
    "POST /api/v1/work-orders/{order_id}/parts": EVERYBODY,
    "POST /api/v1/work-orders/{order_id}/expenses": EVERYBODY,
    "GET /api/v1/records/{record_id}/expenses": EVERYBODY,
    "GET /api/v1/expenses/waiting": LEAD,
    "POST /api/v1/expenses/{expense_id}/decision": LEAD,
    "GET /api/v1/settlements": {"cashier", *LEAD},
    "POST /api/v1/settlements": {"cashier", *LEAD},
    "PATCH /api/v1/records/{record_id}": DESK,
    "POST /api/v1/records/{record_id}/disposition": DESK,
    "POST /api/v1/records/{record_id}/events": DESK,
    "POST /api/v1/records/{record_id}/calls": DESK,
    "POST /api/v1/records/{record_id}/call-off": LEAD,
    "POST /api/v1/work-orders/{order_id}/photos": EVERYBODY,
    "GET /api/v1/records/{record_id}/photos": EVERYBODY,
    "GET /api/v1/photos/{photo_id}": EVERYBODY,
    "GET /api/v1/record-types": EVERYBODY,
    "GET /api/v1/dispositions": EVERYBODY,
    "GET /api/v1/pops/mine": DESK,
    "POST /api/v1/pops/mine/refresh": DESK,
    "POST /api/v1/pops/mine/dismiss": DESK,
    "POST /api/v1/pops/{pop_id}/painted": DESK,
    "GET /api/v1/work-orders": EVERYBODY,
    "GET /api/v1/work-orders/{order_id}": EVERYBODY,
    "POST /api/v1/work-orders/{order_id}/accept": EVERYBODY,
    "POST /api/v1/work-orders/{order_id}/set-out": EVERYBODY,
    "POST /api/v1/work-orders/{order_id}/start": EVERYBODY,
    "POST /api/v1/work-orders/{order_id}/decline": EVERYBODY,
    "POST /api/v1/work-orders/{order_id}/hold": EVERYBODY,
    "POST /api/v1/work-orders/{order_id}/resume": EVERYBODY,
    "POST /api/v1/work-orders/{order_id}/complete": EVERYBODY,
    "POST /api/v1/work-orders/{order_id}/assign": {"dispatcher", *LEAD},
    "POST /api/v1/work-orders/{order_id}/place": {"dispatcher", *LEAD},
    "GET /api/v1/day": {"dispatcher", *LEAD},
    "POST /api/v1/handovers": {"dispatcher", *LEAD},
    "POST /api/v1/absences": {"dispatcher", *LEAD},
}

#: Each topic and who may follow it, with agent1 as the key where a key is an agent.
TOPICS: dict[str, set[str]] = {
    "presence:agent1": {"agent1", "supervisor", "admin"},
    "team:all": {"supervisor", "admin"},
    "missed:all": {"supervisor", "admin"},
    "board:all": {"supervisor", "admin"},
    "queues:all": {"agent1", "agent2", "supervisor", "admin"},
    "pop:agent1": {"agent1"},
    "phone:agent1": {"agent1"},
    "inbox:role-technician": {"technician"},
    "day:all": {"dispatcher", *LEAD},
    "record:01ARZ3NDEKTSV4RRFFQ69G5FAV": {"agent1", "agent2", "supervisor", "admin"},
}

PEOPLE = ("agent1", "agent2", *(role for role in ROLES if role != "agent"))
UNKNOWN_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def _named(route: Route) -> str:
    return f"{route.method} {route.path}"


def test_every_route_stands_in_the_table(running: Desk) -> None:
    routes = [route for route in running.server.routes if not route.path.startswith("/static/")]
    assert {_named(route) for route in routes} == set(ROUTES)
    assert len(routes) == len(ROUTES)


def test_the_application_serves_nothing_else(running: Desk) -> None:
    served = {(route.method, route.resource.canonical) for route in running.server.application().router.routes()}
    declared = {(route.method, route.path) for route in running.server.routes}
    assert {pair for pair in served if pair[0] != "HEAD"} == declared


async def test_every_route_answers_each_role_as_the_table_says(running: Desk) -> None:
    wrong: list[str] = []
    for who in ("nobody", *(name for name in PEOPLE if name != "agent2")):
        async with Browser(running.url) as browser:
            if who != "nobody":
                await browser.log_in(who)
            role = "agent" if who == "agent1" else who
            for name, roles in ROUTES.items():
                method, path = name.split()
                if name in ("DELETE /api/v1/session", "GET /ws"):
                    continue  # the one would end the session; the other is asked in the hub's own tests
                response = await browser.ask(method, re.sub(r"{\w+}", UNKNOWN_ID, path), {})
                code = (await response.json()).get("code") if "json" in response.content_type else ""
                if role in roles:
                    right = code not in ("not_allowed", "not_logged_in")
                else:
                    right = code == ("not_logged_in" if who == "nobody" else "not_allowed")
                if not right:
                    wrong.append(f"{who}: {name}: {response.status} {code}")
    assert wrong == []


async def test_every_writing_route_refuses_foreign_origins(running: Desk) -> None:
    writing = [name for name in ROUTES if not name.startswith("GET")]
    wrong: list[str] = []
    for origin in ("https://evil.example", "null", "", running.url + ".evil.example", running.url[:-1]):
        async with Browser(running.url) as browser:
            await browser.log_in("admin")
            browser._origin = origin
            for name in writing:
                method, path = name.split()
                response = await browser.ask(method, re.sub(r"{\w+}", UNKNOWN_ID, path), {})
                if response.status != 403 or (await response.json())["code"] != "foreign_origin":
                    wrong.append(f"{origin}: {name}: {response.status}")
    assert wrong == []


async def test_every_topic_is_followed_by_those_in_the_table(running: Desk) -> None:
    assert {topic.partition(":")[0] for topic in TOPICS} == running.hub.kinds
    wrong: list[str] = []
    for who in PEOPLE:
        if who == "machine":
            continue  # it gets no ticket, and so no socket: see ROUTES
        async with AsyncExitStack() as stack:
            browser = await stack.enter_async_context(Browser(running.url))
            await browser.log_in(who)
            socket = await stack.enter_async_context(browser.socket())
            for topic, allowed in TOPICS.items():
                await socket.send_json({"op": "subscribe", "topic": topic})
                answer = await socket.receive_json(timeout=5)
                assert answer["topic"] == topic
                if answer["kind"] != ("snapshot" if who in allowed else "refused"):
                    wrong.append(f"{who}: {topic}: {answer['kind']}")
    assert wrong == []


@pytest.mark.parametrize("topic", ["", "pop", "pop:", "pop:agent2", "presence:agent9", "team:", "nothing:x", "record"])
async def test_a_topic_that_is_nobodys_is_refused(agent: Browser, topic: str) -> None:
    async with agent.socket() as socket:
        await socket.send_json({"op": "subscribe", "topic": topic})
        assert (await socket.receive_json(timeout=5))["kind"] == "refused"


async def test_an_unknown_object_and_another_ones_look_alike(running: Desk) -> None:
    async with Browser(running.url) as theirs, Browser(running.url) as mine:
        await theirs.log_in("agent2")
        await mine.log_in("agent1")
        line = running.line()
        line.start()
        await running.features.agents.load()
        phone = next(a.interface for a, _ in running.features.agents.everybody() if a.id == "agent1")
        async with mine.socket() as socket:
            await socket.send_json({"op": "subscribe", "topic": "pop:agent1"})
            await socket.receive_json(timeout=5)
            line.ring(phone)
            pop = (await socket.receive_json(timeout=5))["data"]
        path = f"/api/v1/pops/{pop['pop_id']}/painted"
        other = await theirs.json("POST", path, status=404)
        unknown = await theirs.json("POST", f"/api/v1/pops/{UNKNOWN_ID}/painted", status=404)
        assert {**other, "request_id": ""} == {**unknown, "request_id": ""}
        await mine.json("POST", path, status=204)


async def test_the_field_reaches_only_records_it_has_an_order_for(running: Desk) -> None:
    opened = await running.features.records.open("repair", actor="user:test")
    other = await running.features.records.open("enquiry", actor="user:test")
    record_id = opened.record.id
    async with running.database.unit_of_work() as uow:
        technician = await uow.users.by_login("technician")
        assert technician is not None
        now = opened.record.opened_at
        await uow.work_orders.add(
            WorkOrder(
                id=WorkOrderId(new_ulid(now)),
                number="D1",
                key="k1",
                kind="dispatch",
                record_id=RecordId(record_id),
                process_id=None,
                step="visit",
                state="offered",
                assignee=technician.id,
                created_at=now,
                updated_at=now,
            )
        )
    async with Browser(running.url) as browser:
        await browser.log_in("technician")
        await browser.json("GET", f"/api/v1/records/{record_id}", status=200)
        await browser.json("GET", f"/api/v1/records/{other.record.id}", status=404)
        await browser.json("PATCH", f"/api/v1/records/{record_id}", {}, status=403)
    async with Browser(running.url) as browser:
        await browser.log_in("storekeeper")
        await browser.json("GET", f"/api/v1/records/{record_id}", status=404)


async def test_a_route_whose_parameter_has_no_rule_is_refused_when_the_server_is_built(running: Desk) -> None:
    async def handler(request: object) -> object:
        return nothing()

    route = Route(method="GET", path="/api/v1/things/{thing_id}", handler=handler, roles=PUBLIC)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"GET /api/v1/things/\{thing_id\}: no access rule for thing_id"):
        WebServer(
            running.server._settings,
            sessions=running.server._sessions,
            access=Access({}),
            hub=running.hub,
            routes=[route],
            refusals={},
        )
