"""Every recorded stream replays to what was read off it by hand."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ctiserver.model.calls.tracking.book import Sides
from ctiserver.model.events import AgentRingEnded, CallEnded, MemberChanged
from ctiserver.model.ids import Interface, PbxName
from ctiserver.pbx.recording import Replay, as_json

HERE = Path(__file__).parent
EXPECTED = sorted(HERE.glob("expected/*.json"))


def recording(name: str) -> bytes:
    return (HERE / "recordings" / f"{name}.ami").read_bytes()


def trunks(path: Path) -> Sides:
    """Which devices are lines; the shared recordings leave it to be guessed."""
    known = json.loads(path.read_text()).get("trunks")
    return Sides(trunks=None if known is None else frozenset(map(Interface, known)))


def replayed(*chunks: bytes, sides: Sides | None = None) -> list[dict[str, Any]]:
    return [as_json(call) for call in Replay(PbxName("lab"), sides or Sides()).summaries(chunks)]


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_whole(path: Path) -> None:
    expected = json.loads(path.read_text())
    calls = replayed(recording(path.stem), sides=trunks(path))
    for call in calls:
        assert len(call.pop("call_id")) == 26
    assert calls == expected["calls"]


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_events(path: Path) -> None:
    expected = json.loads(path.read_text())
    events = list(Replay(PbxName("lab"), trunks(path)).events([recording(path.stem)]))
    assert sum(isinstance(event, CallEnded) for event in events) == len(expected["calls"])
    if "rings" in expected:
        rings = [event for event in events if isinstance(event, AgentRingEnded)]
        assert [{"interface": r.interface, "queue": r.queue, "outcome": r.outcome} for r in rings] == expected["rings"]
    if "member_changes" in expected:
        changes = [
            [e.queue, e.interface, e.present, e.paused, e.pause_reason, e.penalty, e.status]
            for e in events
            if isinstance(e, MemberChanged)
        ]
        assert changes == expected["member_changes"]


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_a_byte_at_a_time(path: Path) -> None:
    data = recording(path.stem)
    assert replayed(*(data[i : i + 1] for i in range(len(data)))) == replayed(data)


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_cut_into_random_chunks(path: Path) -> None:
    data = recording(path.stem)
    random = Random(path.stem)
    points = sorted(random.randrange(len(data)) for _ in range(300))
    chunks = [data[a:b] for a, b in pairwise([0, *points, len(data)])]
    assert replayed(*chunks) == replayed(data)


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_cut_at_a_hundred_random_points(path: Path) -> None:
    """Ends anywhere, begins anywhere: what is known is kept, nothing breaks, and the two halves name the same calls."""
    data = recording(path.stem)
    random = Random(path.stem)
    sides = trunks(path)
    whole = {call["call_id"]: call for call in replayed(data, sides=sides)}
    known = {linkedid for call in whole.values() for linkedid in call["linkedids"]}
    absorbed = {linkedid for call in whole.values() for linkedid in call["linkedids"][1:]}
    for _ in range(100):
        point = random.randrange(len(data))
        for part in (data[:point], data[point:]):
            replay = Replay(PbxName("lab"), sides)
            calls = [as_json(call) for call in replay.summaries([part])]
            assert replay.intake.broken == 0
            assert replay.unparsable <= 1
            for call in calls:
                check_sane(call)
            assert {linkedid for call in calls for linkedid in call["linkedids"]} <= known
        for call in replayed(data[:point], sides=sides):
            # The caller's own call keeps its id; a consult or a pick-up is a call of its own until it is merged.
            assert call["call_id"] in whole or call["linkedids"][0] in absorbed
            if call["complete"]:
                assert call == whole[call["call_id"]]


def check_sane(call: dict[str, Any]) -> None:
    """What holds for any call, however much of it was seen."""
    json.dumps(call)
    assert call["linkedids"]
    times = [(s["from"], s["to"]) for s in call["segments"]]
    times += [(v["entered_at"], v["left_at"]) for v in call["queue_visits"]]
    times.append((call["started_at"], call["ended_at"]))
    assert all(a <= b for a, b in times if a is not None and b is not None)
    assert not any("Local/" in one for one in call["answered_by"])
    assert (call["ended_at"] is not None) or not call["complete"]
    known = {"caller", "agent", "pbx"} | ({None} if call["reconstructed"] else set())
    assert call["hangup"]["by"] in (known if call["complete"] else {None})


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_without_any_times(path: Path) -> None:
    """A PBX without timestampevents: everything but the times is the same."""
    timeless = b"\r\n".join(line for line in recording(path.stem).split(b"\r\n") if not line.startswith(b"Timestamp: "))
    for call, expected in zip(replayed(timeless), replayed(recording(path.stem)), strict=True):
        assert call["started_at"] is None
        assert call["ended_at"] is None
        assert all(segment["from"] is None for segment in call["segments"])
        for same in (
            "call_id",
            "linkedids",
            "outcome",
            "answered_by",
            "transfers",
            "hangup",
            "direction",
            "ani",
            "dnis",
        ):
            assert call[same] == expected[same], same
        assert [(v["queue"], v["outcome"], v["agent"]) for v in call["queue_visits"]] == [
            (v["queue"], v["outcome"], v["agent"]) for v in expected["queue_visits"]
        ]


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_without_class_dialplan(path: Path) -> None:
    """What the recommended account reads: no VarSet, no Newexten. Only VoiceMail() goes unseen."""
    blocks = recording(path.stem).split(b"\r\n\r\n")
    spoken = b"\r\n\r\n".join(b for b in blocks if not b.startswith((b"Event: VarSet", b"Event: Newexten")))
    for call, expected in zip(replayed(spoken), replayed(recording(path.stem)), strict=True):
        if expected["outcome"] == "voicemail":
            assert call["outcome"] == ("timeout" if expected["queue_visits"] else "ivr")
        else:
            assert call == expected


@pytest.mark.parametrize("technology", ["SIP", "IAX2", "DAHDI"])
def test_other_channel_drivers(technology: str) -> None:
    data = recording("attended_transfer_refer")
    other = data.replace(b"PJSIP/", technology.encode() + b"/")
    as_they_were = json.loads(json.dumps(replayed(other)).replace(f"{technology}/", "PJSIP/"))
    assert as_they_were == replayed(data)


def test_two_pbxs_with_equal_uniqueids() -> None:
    """Each has its own calls, whatever their uniqueids, and however their streams interleave."""
    one, two = Replay(PbxName("one")), Replay(PbxName("two"))
    first = list(one.summaries([recording("answered")]))
    second = list(two.summaries([recording("answered")]))
    assert first[0].call_id != second[0].call_id
    alike = {**as_json(first[0]), "call_id": "", "pbx": ""}
    assert alike == {**as_json(second[0]), "call_id": "", "pbx": ""}


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_a_log_replayed_twice_is_the_same(path: Path) -> None:
    """Twice again gives the same events; twice into one tracker adds no call that is not ended."""
    data = recording(path.stem)
    assert list(Replay(PbxName("lab")).events([data])) == list(Replay(PbxName("lab")).events([data]))
    replay = Replay(PbxName("lab"))
    ended = [event.call_id for event in replay.events([data, data]) if isinstance(event, CallEnded)]
    assert len(ended) == len(set(ended))
    assert replay.intake.tracker.going_on() == []


def test_every_recording_has_an_expectation() -> None:
    assert {path.stem for path in HERE.glob("recordings/*.ami")} == {path.stem for path in EXPECTED}
    assert len(EXPECTED) >= 30
