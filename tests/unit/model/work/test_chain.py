"""The chain of a record: what was done in which order, how long nobody acted, and where it is broken."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ctiserver.model.calls.call_entry import CallEntry, PathStep
from ctiserver.model.calls.recording import Recording
from ctiserver.model.ids import AgentId, CallId, PbxName, RecordId, RecordingId, WorkOrderId
from ctiserver.model.work.chain import Break, Chain, Known, chain
from ctiserver.model.work.record import Record, TimelineEntry
from ctiserver.model.work.work_order import WorkOrder

RANG = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
CALL = CallId("01CALL")
RECORD = RecordId("01RECORD")


def at(minutes: float) -> datetime:
    return RANG + timedelta(minutes=minutes)


def entry(minutes: float, kind: str, actor: str, **data: str) -> TimelineEntry:
    return TimelineEntry(id=f"{minutes:08.2f}", record_id=RECORD, at=at(minutes), actor=actor, kind=kind, data=data)


def order(kind: str, number: str, begun: float, **more: object) -> WorkOrder:
    made = WorkOrder(
        id=WorkOrderId(f"id-{number}"), number=number, key=number, kind=kind, record_id=RECORD, process_id="p",  # type: ignore[arg-type]
        step="visit", state="done", created_at=at(begun), updated_at=at(begun + 30), role="technician",
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


@pytest.fixture
def known() -> Known:
    """A call of five minutes, a visit an hour later, a follow-up three days on, and the end."""
    days = 3 * 24 * 60
    call = CallEntry(
        id=CALL, pbx=PbxName("main"), direction="inbound", ani="13800000001", dnis="4008001234",
        started_at=at(0), answered_at=at(1), ended_at=at(5), agent_id=AgentId("wang.fang"), complete=True,
        detail={"queue_visits": [{"queue": "repair", "entered_at": at(0.5).isoformat(), "left_at": at(1).isoformat(), "outcome": "answered", "agent": "PJSIP/1"}]},
    )  # fmt: skip
    steps = [
        PathStep(call_id=CALL, seq=number, at=at(number / 10), flow="aftersales", version="1", node=node, outcome="ok")
        for number, node in enumerate(["language", "ask_serial"], 1)
    ]
    return Known(
        record=Record(
            id=RECORD, number="R1", type="repair", status="closed", disposition="send", resolution="resolved",
            opened_at=at(0.3), updated_at=at(days + 90), closed_at=at(days + 90),
        ),
        calls=[call],
        paths={CALL: steps},
        recordings=[
            Recording(
                id=RecordingId("01REC"), call_id=CALL, pbx=PbxName("main"), file="a.wav", channel="x", talk_only=True,
                started_at=at(1), stopped_at=at(5), found_at=at(6), seconds=240.0,
            )
        ],
        orders=[
            order("dispatch", "D1", 66),
            order("follow_up", "F1", 96, planned_at=at(days), updated_at=at(days + 10), outcome="satisfied"),
        ],
        expenses=[],
        timeline=[
            entry(0.3, "opened", "call:01CALL"),
            entry(6, "disposed", "user:wang.fang", disposition="send"),
            entry(80, "order_accepted", "user:tech", order="D1"),
        ],
        follows_up=True,
        in_process=False,
    )  # fmt: skip


def broken(found: Chain) -> list[str]:
    return [gap.kind for gap in found.breaks]


def test_the_links_stand_in_the_order_of_time_and_say_who_acted(known: Known) -> None:
    found = chain(known, at(10_000))
    assert [link.kind for link in found.links] == [
        "ring", "menu", "opened", "queue", "talk", "recording", "disposition", "order", "order", "closed",
    ]  # fmt: skip
    by_kind = {link.kind: link for link in found.links}
    assert by_kind["menu"].state == "language → ask_serial"
    assert by_kind["talk"].who == "wang.fang"
    assert by_kind["recording"].state == "found"
    visit, follow_up = (link for link in found.links if link.kind == "order")
    assert (visit.number, visit.who, visit.state) == ("D1", "user:tech", "done")
    assert (follow_up.who, follow_up.state, follow_up.at) == ("technician", "satisfied", at(3 * 24 * 60))
    assert found.whole


def test_waiting_is_time_in_which_no_link_lasted(known: Known) -> None:
    waits = {link.number or link.kind: link.waited_ms for link in chain(known, at(10_000)).links}
    assert waits["D1"] == 60 * 60_000  # from the disposition at minute 6 to the order at 66
    assert waits["F1"] == (3 * 24 * 60 - 96) * 60_000  # the visit ended at 96
    assert waits["closed"] == 80 * 60_000
    assert waits["talk"] == waits["ring"] == waits["recording"] == 0


def test_a_record_closed_as_resolved_without_asking_is_broken_if_its_process_asks(known: Known) -> None:
    unasked = replace(known, orders=known.orders[:1])
    assert chain(unasked, at(10_000)).breaks == (Break(kind="no_follow_up", since=at(3 * 24 * 60 + 90)),)
    assert chain(replace(unasked, follows_up=False), at(10_000)).whole
    cancelled = replace(unasked, orders=[order("follow_up", "F1", 96, state="cancelled")])
    assert broken(chain(cancelled, at(10_000))) == ["no_follow_up"]


def test_a_closed_record_with_an_open_order_is_broken(known: Known) -> None:
    left = replace(known, orders=[*known.orders, order("expense", "E1", 200, state="offered")])
    [gap] = chain(left, at(10_000)).breaks
    assert (gap.kind, gap.number) == ("closed_with_open_orders", "E1")


def test_an_open_record_is_whole_while_somebody_acts_and_in_time(known: Known) -> None:
    open_record = replace(known.record, status="open", closed_at=None, resolution=None)
    acting = replace(known, record=open_record, orders=[order("dispatch", "D1", 66, state="accepted")])
    assert chain(acting, at(100)).whole
    late = replace(acting, orders=[order("dispatch", "D1", 66, state="accepted", late=True, due_at=at(90))])
    [gap] = chain(late, at(100)).breaks
    assert (gap.kind, gap.since) == ("order_late", at(90))


def test_a_record_that_nobody_acts_on_is_broken(known: Known) -> None:
    idle = replace(known, record=replace(known.record, status="open", closed_at=None), orders=[])
    assert broken(chain(idle, at(10_000))) == ["nobody_acts"]
    assert chain(replace(idle, in_process=True), at(10_000)).whole


def test_a_call_without_a_result_is_forgotten_after_an_hour(known: Known) -> None:
    unsaid = replace(known, record=replace(known.record, status="open", closed_at=None, disposition=None), orders=[])
    assert chain(unsaid, at(5 + 60)).whole
    assert broken(chain(unsaid, at(5 + 61))) == ["not_disposed"]


def test_a_lost_recording_is_a_break(known: Known) -> None:
    [recording] = known.recordings
    lost = replace(known, recordings=[replace(recording, found_at=None)])
    assert broken(chain(lost, at(10_000))) == ["recording_lost"]
