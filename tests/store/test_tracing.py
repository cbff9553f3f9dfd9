"""One call and all that came of it is one connected trace, and it tells no name, no key and no whole number."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ctiserver.app.composition import running as running_server
from ctiserver.clock import ManualClock, SystemClock
from ctiserver.errors import UserFault
from ctiserver.features.tracing.collector import collector
from ctiserver.features.tracing.service import Traces
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.model.calls.call_entry import CallEntry, PathStep
from ctiserver.model.ids import AgentId, CallId, PbxName, QueueName, UserId, new_ulid
from ctiserver.model.work.record import Record
from ctiserver.resources import shipped
from ctiserver.settings import AgiSettings, PbxSettings, Settings, TracingSettings, WebSettings
from ctiserver.store.database import Database
from tests.support.dispatch import REPAIR, running
from tests.support.kept import RELEASES, kept_on_sqlite
from tests.support.rows import a_contact, a_record, a_user

NUMBER, NAME, KEYS = "13800138000", "王芳", "4711962835"


class Later(SystemClock):
    """The machine's clock, as much later as is said."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


async def a_call(database: Database, at: datetime) -> CallEntry:
    """A call through a menu and a queue to an agent, as the server keeps it once it is over."""

    def iso(seconds: float) -> str:
        return (at + timedelta(seconds=seconds)).isoformat()

    call = CallEntry(
        id=CallId(new_ulid(at)),
        pbx=PbxName("main"),
        direction="inbound",
        ani=NUMBER,
        caller_name=NAME,
        dnis="4008001234",
        started_at=at,
        answered_at=at + timedelta(seconds=2),
        ended_at=at + timedelta(seconds=3),
        outcome="answered",
        queue=QueueName("repair"),
        agent_id=AgentId("agent1"),
        complete=True,
        detail={
            "queue_visits": [{"queue": "repair", "entered_at": iso(1), "left_at": iso(2), "outcome": "answered"}],
            "segments": [
                {"party": "caller", "kind": "ivr", "from": iso(0), "to": iso(1)},
                {"party": "PJSIP/agent1", "kind": "ring", "from": iso(1.5), "to": iso(2)},
                {"party": f"PJSIP/trunk/{NUMBER}", "kind": "talk", "from": iso(2), "to": iso(3)},
                {"party": "PJSIP/agent1", "kind": "hold", "from": iso(2), "to": None},
            ],
        },
    )
    steps = [
        PathStep(call_id=call.id, seq=seq, at=at + timedelta(seconds=seq / 2), flow="front_desk", version="1.0.0",
                 node=node, outcome=outcome, data={"keys": KEYS})
        for seq, node, outcome in ((1, "language", KEYS), (2, "service", "done"))
    ]  # fmt: skip
    async with database.unit_of_work() as uow:
        await uow.calls.save(call)
        await uow.calls.add_steps(steps)
    return call


async def a_closed_record(database: Database, workflow_url: str, calls: list[CallEntry]) -> Record:
    """A record of these calls whose process was carried to its end by the real engine."""
    now = SystemClock().now()
    contact = a_contact(name=NAME)
    record = replace(
        a_record(subject=f"{NAME} {NUMBER}", notes=KEYS, fields={"address": NAME}, caller_number=NUMBER),
        contact_id=contact.id, opened_at=now, updated_at=now,
    )  # fmt: skip
    people = {role: a_user(role, role=role) for role in ("technician", "agent", "dispatcher", "supervisor")}
    async with database.unit_of_work() as uow:
        await uow.contacts.add(contact)
        for person in people.values():
            await uow.users.add(person)
        await uow.records.add(record)
        for call in calls:
            await uow.records.link_call(record.id, call.id)
    async with running(database, workflow_url, _AT_ONCE) as it:
        await it.start(record)
        for kind, role, outcome in (("dispatch", "technician", "done"), ("follow_up", "agent", "satisfied")):
            order = await it.order(record.id, kind, "offered")
            doer = UserId(people[role].id)
            await it.dispatch.accept(order.id, doer)
            await it.dispatch.complete(order.id, doer, outcome, {"said": KEYS})
        return await it.closed(record.id)


#: A repair whose follow-up is due at once.
_AT_ONCE = REPAIR.replace("    after: 3 days\n", "")


def text_of(span: ReadableSpan) -> str:
    return span.to_json()


async def test_one_call_and_all_that_came_of_it_is_one_trace(database: Database, workflow_url: str) -> None:
    clock, exporter = Later(), InMemorySpanExporter()
    traces = Traces(database, clock, exporter)
    first = await a_call(database, clock.now())
    again = await a_call(database, clock.now())
    record = await a_closed_record(database, workflow_url, [first, again])
    clock.ahead = timedelta(minutes=1)
    sent = await traces.look()
    found = exporter.get_finished_spans()
    assert len(found) == sent
    assert await traces.look() == 0  # each once

    by_trace: dict[int, list[ReadableSpan]] = {}
    for span in found:
        by_trace.setdefault(_context(span).trace_id, []).append(span)
    (whole,) = [trace for trace in by_trace.values() if any(span.name == "record repair" for span in trace)]
    assert sorted(span.name for span in whole) == [
        "agent ring", "agent talk", "call", "flow front_desk/language", "flow front_desk/service",
        "order dispatch", "order follow_up", "process repair", "queue repair", "record repair",
    ]  # fmt: skip
    by_id = {_context(span).span_id: span for span in whole}
    assert [span.name for span in whole if span.parent is None] == ["call"]
    ways = {span.name: by_id[span.parent.span_id].name for span in whole if span.parent is not None}
    assert ways["record repair"] == "call"
    assert ways["process repair"] == "record repair"
    assert ways["order dispatch"] == ways["order follow_up"] == "process repair"
    assert {ways[name] for name in ("agent ring", "queue repair", "flow front_desk/service")} == {"call"}
    assert all(span.end_time >= span.start_time for span in whole if span.end_time and span.start_time)
    (other,) = [trace for trace in by_trace.values() if trace is not whole]
    (link,) = next(span for span in whole if span.name == "record repair").links
    assert link.context.trace_id == _context(other[0]).trace_id

    told = "".join(map(text_of, found))
    for secret in (NUMBER, NAME, NAME.encode("unicode-escape").decode(), KEYS, "4008001234"):
        assert secret not in told
    assert "*******8000" in told
    assert record.number in told


async def test_real_calls_become_traces(tmp_path: Path) -> None:
    site = kept_on_sqlite(tmp_path / "kept", RELEASES[0])
    clock, exporter = ManualClock(datetime(2026, 12, 1, 2, 40, tzinfo=UTC)), InMemorySpanExporter()
    async with Database.open(f"sqlite:///{site.folder}/data/ctiserver.sqlite", upgrade=True) as database:
        traces = Traces(database, clock, exporter)
        clock.advance(240)
        await traces.look()
    spans = exporter.get_finished_spans()
    counted = Counter(span.name for span in spans)
    assert counted["call"] == 4
    assert {"flow front_desk/language", "flow front_desk/repair", "queue repair", "agent ring", "agent talk"} <= set(
        counted
    )
    node = next(span for span in spans if span.name == "flow front_desk/language")
    assert "ctiserver.outcome" not in (node.attributes or {})  # a menu's outcome is the key that was pressed
    whole = "".join(map(text_of, spans))
    for secret in ("13800138000", "13912345678", "Min Li", "王芳"):
        assert secret not in whole


def _context(span: ReadableSpan) -> Any:
    assert span.context is not None
    return span.context


async def test_a_collector_that_refuses_stops_nothing(database: Database) -> None:
    class Refusing(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            return SpanExportResult.FAILURE

    clock = Later()
    traces = Traces(database, clock, Refusing())
    await a_call(database, clock.now())
    clock.ahead = timedelta(minutes=1)
    assert await traces.look() == 6
    assert await traces.look() == 0


async def test_spans_reach_a_collector_over_http(database: Database) -> None:
    bodies: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(body=b"", content_type="application/x-protobuf")

    application = web.Application()
    application.router.add_post("/v1/traces", take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        exporter = collector(TracingSettings(endpoint=f"http://{host}:{port}/v1/traces"))
        clock = Later()
        traces = Traces(database, clock, exporter)
        await a_call(database, clock.now())
        clock.ahead = timedelta(minutes=1)
        assert await traces.look() == 6
        exporter.shutdown()
    finally:
        await runner.cleanup()
    (body,) = bodies
    request = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
    (resource,) = request.resource_spans
    assert {span.name for scope in resource.scope_spans for span in scope.spans} >= {"call", "queue repair"}


def test_nothing_of_it_is_imported_while_it_is_off() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, ctiserver.app.composition; print([n for n in sys.modules if 'opentele' in n])"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr


async def test_without_the_extra_the_server_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ctiserver.features.tracing.collector", None)  # as if it could not be imported
    settings = Settings(
        data_dir=tmp_path,
        config_dir=shipped("config"),
        pbxs={"main": PbxSettings(port=free_port())},
        web=WebSettings(port=0),
        agi=AgiSettings(port=0),
        tracing=TracingSettings(endpoint="http://127.0.0.1:4318/v1/traces"),
    )
    with pytest.raises(UserFault, match=r"tracing.endpoint: .* Run: pip install 'ctiserver\[tracing\]'"):
        async with running_server(settings):
            pass
