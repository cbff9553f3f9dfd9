"""Every recorded stream replays to what was read off it by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ctiserver.model.events import AgentRingEnded, CallEnded, MemberChanged
from ctiserver.model.ids import PbxName
from ctiserver.pbx.recording import Replay, as_json

HERE = Path(__file__).parent
EXPECTED = sorted(HERE.glob("expected/*.json"))


def recording(name: str) -> bytes:
    return (HERE / "recordings" / f"{name}.ami").read_bytes()


def replayed(*chunks: bytes) -> list[dict[str, Any]]:
    return [as_json(call) for call in Replay(PbxName("lab")).summaries(chunks)]


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_whole(path: Path) -> None:
    expected = json.loads(path.read_text())
    calls = replayed(recording(path.stem))
    for call in calls:
        assert len(call.pop("call_id")) == 26
    assert calls == expected["calls"]


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_events(path: Path) -> None:
    expected = json.loads(path.read_text())
    events = list(Replay(PbxName("lab")).events([recording(path.stem)]))
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


def test_every_recording_has_an_expectation() -> None:
    assert {path.stem for path in HERE.glob("recordings/*.ami")} == {path.stem for path in EXPECTED}
    assert len(EXPECTED) == 16
