"""At every moment of every recorded stream: the state told again is the state that all events so far led to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from ctiserver.model.calls.tracking.book import Sides
from ctiserver.model.events import (
    AgentConnected,
    AgentDisconnected,
    AgentRingEnded,
    AgentRinging,
    CallEnded,
    CallerEnteredQueue,
    CallerLeftQueue,
    CallsMerged,
    CallStarted,
    MemberChanged,
    PbxEvent,
)
from ctiserver.model.ids import CallId, Interface, PbxName, QueueName
from ctiserver.pbx.recording import Replay

HERE = Path(__file__).parent
EXPECTED = sorted(HERE.glob("expected/*.json"))
Phone = tuple[CallId, Interface, QueueName | None]


@dataclass
class Floor:
    """What a subscriber holds: who waits since when, whom it rings, who talks, and every seat."""

    calls: set[CallId] = field(default_factory=set)
    waiting: dict[tuple[CallId, QueueName], datetime] = field(default_factory=dict)
    ringing: set[Phone] = field(default_factory=set)
    talking: set[Phone] = field(default_factory=set)
    seats: dict[tuple[QueueName, Interface], MemberChanged] = field(default_factory=dict)

    def take(self, event: PbxEvent) -> None:
        match event:
            case CallStarted():
                self.calls.add(event.call_id)
            case CallerEnteredQueue():
                self.waiting[event.call_id, event.queue] = event.at
            case CallerLeftQueue():
                self.waiting.pop((event.call_id, event.queue), None)
            case AgentRinging():
                self.ringing.add((event.call_id, event.interface, event.queue))
            case AgentRingEnded():
                self.ringing = {it for it in self.ringing if it[:2] != (event.call_id, event.interface)}
            case AgentConnected():
                self.talking.add((event.call_id, event.interface, event.queue))
            case AgentDisconnected():
                self.talking = {it for it in self.talking if it[:2] != (event.call_id, event.interface)}
            case CallsMerged():
                self._move(event.absorbed, event.call_id)
            case CallEnded():
                self.calls.discard(event.call_id)
            case MemberChanged():
                if event.present:
                    self.seats[event.queue, event.interface] = event
                else:
                    self.seats.pop((event.queue, event.interface), None)
            case _:
                pass

    def _move(self, absorbed: CallId, to: CallId) -> None:
        self.calls.discard(absorbed)
        self.waiting = {(to if key[0] == absorbed else key[0], key[1]): at for key, at in self.waiting.items()}
        for phones in (self.ringing, self.talking):
            moved = {(to if it[0] == absorbed else it[0], *it[1:]) for it in phones}
            phones.clear()
            phones |= moved


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_current_events_say_what_all_events_came_to(path: Path) -> None:
    known = json.loads(path.read_text()).get("trunks")
    replay = Replay(PbxName("lab"), Sides(trunks=None if known is None else frozenset(map(Interface, known))))
    heard = Floor()
    moments = 0
    for message in replay._messages(iter([(HERE / "recordings" / f"{path.stem}.ami").read_bytes()])):
        for event in replay.intake.take(message):
            heard.take(event)
        fresh = Floor()
        for event in replay.intake.current_events():
            fresh.take(event)
        assert fresh == heard
        moments += bool(heard.calls)
    assert moments or not json.loads(path.read_text())["calls"]
