"""Our account of a call against the PBX's: what agrees, and that whatever differs is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ctiserver.model.calls.queue_log import LoggedVisit, read_line, visits
from ctiserver.model.calls.reconciliation import CdrRow, Difference, reconcile
from ctiserver.model.events import CallSummary, QueueVisit, Segment
from ctiserver.model.ids import Interface, Linkedid, PbxName, QueueName, Uniqueid, call_id

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
MAIN = PbxName("main")
LINKED = f"{int(T0.timestamp())}.1"
AGENT1, AGENT2 = Interface("PJSIP/agent1"), Interface("PJSIP/agent2")
NAMES = {"李敏": [AGENT1], "Agent Two": [AGENT2]}


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def segment(party: str, kind: Any, begin: float, end: float) -> Segment:
    return Segment(party=party, kind=kind, started_at=at(begin), ended_at=at(end))


CALL = CallSummary(
    call_id=call_id(MAIN, Uniqueid(LINKED)), pbx=MAIN, linkedids=(Linkedid(LINKED),), direction="inbound",
    ani="13800138000", caller_name="", dnis="4001", started_at=at(0.3), answered_at=at(9.4), ended_at=at(30.9),
    outcome="answered", answered_by=(AGENT1,),
    queue_visits=(
        QueueVisit(queue=QueueName("repair"), entered_at=at(1.2), left_at=at(9.4), outcome="answered", agent=AGENT1),
    ),
    transfers=(), hangup_cause=16, hangup_by="caller",
    segments=(
        segment("caller", "queue", 1.2, 9.4), segment(AGENT2, "ring", 1.3, 5), segment(AGENT1, "ring", 5, 9.4),
        segment(AGENT1, "talk", 9.4, 20), segment(AGENT1, "hold", 20, 25), segment(AGENT1, "talk", 25, 30.9),
    ),
    reconstructed=False, complete=True,
)  # fmt: skip
ROWS = (
    CdrRow(
        uniqueid=LINKED, linkedid=LINKED, src="13800138000", channel="PJSIP/trunk-01", dstchannel="PJSIP/agent2-02",
        start=at(0), answer=at(0), end=at(5), disposition="NO ANSWER",
    ),
    CdrRow(
        uniqueid=LINKED, linkedid=LINKED, src="13800138000", channel="PJSIP/trunk-01", dstchannel="PJSIP/agent1-03",
        start=at(5), answer=at(9), end=at(30), disposition="ANSWERED",
    ),
)  # fmt: skip
LINES = (
    f"1|{LINKED}|repair|NONE|ENTERQUEUE||13800138000|1",
    f"5|{LINKED}|repair|Agent Two|RINGNOANSWER|4000",
    f"9|{LINKED}|repair|李敏|CONNECT|8|x.3|4",
    f"30|{LINKED}|repair|李敏|COMPLETECALLER|8|21|1",
)


def logged(*lines: str) -> list[LoggedVisit]:
    texts = (line.split("|", 1) for line in lines)
    read = [read_line(f"{int(T0.timestamp()) + int(seconds)}|{rest}") for seconds, rest in texts]
    return visits(line for line in read if line is not None)


def differences(
    call: CallSummary | None = CALL, rows: tuple[CdrRow, ...] = ROWS, lines: tuple[str, ...] = LINES
) -> list[Difference]:
    return reconcile([] if call is None else [call], rows, logged(*lines), NAMES)


def test_the_same_call_told_twice_differs_in_nothing() -> None:
    assert differences() == []


def test_what_was_not_asked_is_not_missed() -> None:
    assert reconcile([CALL], None, None, NAMES) == []
    assert reconcile([], None, None, NAMES) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ani": "1"}, [("cdr", "caller's number", "1", "13800138000")]),
        ({"started_at": at(2.1)}, [("cdr", "began", "2026-11-23 02:00:02+00:00", "2026-11-23 02:00:00+00:00")]),
        ({"ended_at": at(28.9)}, [("cdr", "ended", "2026-11-23 02:00:28+00:00", "2026-11-23 02:00:30+00:00")]),
        ({"hangup_by": "agent"}, [("queue_log", "ended by", "agent", "caller")]),
        (
            {"answered_by": (AGENT2,)},
            [("cdr", "reached", "no", "PJSIP/agent1 for 21 s"), ("cdr", "reached", "PJSIP/agent2", "no")],
        ),
        (
            {"segments": (*CALL.segments[:-1], segment(AGENT1, "talk", 25, 28))},
            [
                ("cdr", "time of PJSIP/agent1", "18.6 s", "21 s"),
                ("queue_log", "talk in repair", "18.6 s", "21 s"),
            ],
        ),
        (
            {"queue_visits": (replace(CALL.queue_visits[0], outcome="timeout"),)},
            [("queue_log", "queues", "repair timeout", "repair answered")],
        ),
        (
            {"queue_visits": (replace(CALL.queue_visits[0], entered_at=at(3.3)),)},
            [("queue_log", "wait in repair", "6.1 s", "8 s")],
        ),
        (
            {"queue_visits": (replace(CALL.queue_visits[0], agent=AGENT2),)},
            [("queue_log", "answered in repair", "PJSIP/agent2", "李敏"), ("queue_log", "talk in repair", "0.0 s", "21 s")],
        ),
        ({"queue_visits": ()}, [("queue_log", "queues", "none", "repair answered")]),
    ],
)  # fmt: skip
def test_whatever_differs_is_said(change: dict[str, Any], said: list[tuple[str, str, str, str]]) -> None:
    found = differences(replace(CALL, **change))
    assert [(one.source, one.what, one.ours, one.theirs) for one in found] == said
    assert {(one.call_id, one.linkedid) for one in found} == {(CALL.call_id, LINKED)}


def test_a_call_that_one_side_does_not_know() -> None:
    assert [(one.source, one.call_id, one.linkedid) for one in differences(call=None)] == [
        ("cdr", None, LINKED),
        ("queue_log", None, LINKED),
    ]
    assert [(one.source, one.what, one.theirs) for one in differences(rows=(), lines=())] == [
        ("cdr", "the call", "no CDR"),
        ("queue_log", "queues", "none"),
    ]


def test_a_call_is_found_by_its_id_when_its_entry_names_no_linkedid() -> None:
    assert differences(replace(CALL, linkedids=())) == []


@pytest.mark.parametrize(
    ("outcome", "disposition", "agrees"),
    [
        ("busy", "BUSY", True),
        ("busy", "NO ANSWER", False),
        ("no_answer", "NO ANSWER", True),
        ("abandoned", "NO ANSWER", True),
        ("failed", "CONGESTION", True),
        ("failed", "BUSY", False),
    ],
)
def test_a_dial_in_vain(outcome: Any, disposition: str, agrees: bool) -> None:
    call = replace(CALL, outcome=outcome, answered_by=(), queue_visits=(), segments=())
    rows = (replace(ROWS[0], answer=None, end=at(30), disposition=disposition),)
    assert (differences(call, rows, ()) == []) is agrees


def test_a_member_behind_a_local_channel_is_the_phone_it_rings() -> None:
    rows = (
        replace(ROWS[1], dstchannel="Local/101@from-queue-0000;1"),
        replace(ROWS[1], uniqueid="x.5", channel="Local/101@from-queue-0000;2"),
    )
    assert differences(rows=(ROWS[0], *rows)) == []


def test_who_is_there_while_the_call_is_moved_is_nobody_reached() -> None:
    """A picked-up call: for a moment the CDR names the phone that rang."""
    moved = replace(ROWS[1], dstchannel="PJSIP/agent9-09", start=at(9), answer=at(9), end=at(9))
    assert differences(rows=(*ROWS, moved)) == []


def test_a_picked_up_call_is_logged_for_the_member_that_rang() -> None:
    call = replace(
        CALL,
        answered_by=(AGENT2,),
        queue_visits=(replace(CALL.queue_visits[0], agent=AGENT2),),
        segments=(segment(AGENT1, "ring", 1.3, 9.4), segment(AGENT2, "talk", 9.4, 30.9)),
    )
    assert differences(call, (ROWS[0], replace(ROWS[1], dstchannel="PJSIP/agent2-04"))) == []


def test_a_queue_that_let_nobody_in_is_in_no_log() -> None:
    refused = QueueVisit(queue=QueueName("sales"), entered_at=at(1), left_at=at(1), outcome="full", agent=None)
    assert differences(replace(CALL, queue_visits=(refused, *CALL.queue_visits))) == []


def test_an_end_by_the_pbx_s_own_second_is_as_near_as_that_second() -> None:
    """What the PBX noted just before a second was over, and ended just after it: both are cut."""
    assert differences(replace(CALL, reconstructed=True, ended_at=at(29))) == []


def test_of_a_call_seen_in_part_only_what_is_known_is_compared() -> None:
    told = replace(CALL, reconstructed=True, segments=(), ended_at=None)
    assert differences(told) == []
    assert [one.what for one in differences(replace(told, reconstructed=False))] == [
        "ended",
        "time of PJSIP/agent1",
        "talk in repair",
    ]


LOGS: dict[str, tuple[tuple[str, ...], Callable[[LoggedVisit], object], object]] = {
    "abandoned": (
        (f"1|{LINKED}|q|NONE|ENTERQUEUE||1|1", f"8|{LINKED}|q|NONE|ABANDON|1|1|7"),
        lambda visit: (visit.outcome, visit.wait_s, visit.entered_at, visit.left_at, visit.caller),
        ("abandoned", 7, at(1), at(8), "1"),
    ),
    "the entry was not seen": (
        (f"8|{LINKED}|q|NONE|EXITWITHTIMEOUT|1|1|7",),
        lambda visit: (visit.outcome, visit.entered_at),
        ("timeout", at(1)),
    ),
    "only the end was seen": (
        (f"30|{LINKED}|q|a|COMPLETEAGENT|8|21|1",),
        lambda visit: (visit.outcome, visit.entered_at, visit.left_at, visit.agent, visit.ended_by),
        ("answered", at(1), at(9), "a", "agent"),
    ),
    "left by a key": (
        (f"1|{LINKED}|q|NONE|ENTERQUEUE||1|1", f"8|{LINKED}|q|NONE|EXITWITHKEY|3|1|1|7"),
        lambda visit: (visit.outcome, visit.wait_s),
        ("key", 7),
    ),
    "handed on, with two bridges named": (
        (f"9|{LINKED}|q|a|CONNECT|8|x|1", f"30|{LINKED}|q|a|ATTENDEDTRANSFER|LINK|x|y|8|21|1"),
        lambda visit: (visit.talk_s, visit.ended_by, visit.handed_on),
        (21, None, True),
    ),
    "the PBX died": (
        (f"1|{LINKED}|q|NONE|ENTERQUEUE||1|1",),
        lambda visit: (visit.outcome, visit.left_at),
        ("unknown", None),
    ),
}


@pytest.mark.parametrize("name", LOGS)
def test_visits_in_a_queue_log(name: str) -> None:
    lines, look, expected = LOGS[name]
    [visit] = logged(*lines)
    assert look(visit) == expected


def test_a_caller_who_enters_twice_has_two_visits() -> None:
    both = logged(
        f"1|{LINKED}|a|NONE|ENTERQUEUE||1|1",
        f"5|{LINKED}|a|NONE|EXITEMPTY|1|1|4",
        f"5|{LINKED}|b|NONE|ENTERQUEUE||1|1",
        f"5|{LINKED}|b|x|CONNECT|0|y|0",
    )
    assert [(visit.queue, visit.outcome) for visit in both] == [("a", "empty"), ("b", "answered")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x|1|q|a|e",
        "1795295764|1|q|a|CONNECT|x",
        "1795295764|1|q|a|COMPLETECALLER",
        "1795295764|1|q|NONE|ENTERQUEUE||1\r|1",
        "1|2|3|4",
        "99999999999999|1|q|a|e",
        "-1|1|q|a|e",
    ],
)
def test_what_is_no_line(text: str) -> None:
    assert read_line(text) is None
