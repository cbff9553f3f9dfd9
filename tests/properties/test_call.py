"""Call tracking as a state machine: a PBX that obeys its own order against a plain model of who talks with whom.

And a PBX that does not: recorded signals dropped, doubled and moved about never break it, and leave no call behind.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ctiserver.model.calls import signals as s
from ctiserver.model.calls.signals import Who
from ctiserver.model.calls.tracking.book import Sides
from ctiserver.model.calls.tracking.tracker import CallTracker
from ctiserver.model.events import (
    AgentConnected,
    AgentDisconnected,
    AgentRingEnded,
    AgentRinging,
    CallEnded,
    CallerEnteredQueue,
    CallerLeftQueue,
    CallEvent,
    CallStarted,
)
from ctiserver.model.ids import Interface, Linkedid, PbxName, QueueName, Uniqueid
from ctiserver.pbx.codec import AmiDecoder
from ctiserver.pbx.translate import WANTED, translate

RECORDINGS = Path(__file__).parent.parent / "protocol" / "recordings"
REPAIR = QueueName("repair")
AGENTS = [Interface(f"PJSIP/agent{n}") for n in range(1, 4)]


@dataclass
class Phone:
    """A leg as the model knows it."""

    who: Who
    interface: Interface
    since: float


@dataclass
class ModelCall:
    """A call as the model knows it."""

    caller: Who
    queued: bool = False
    given_up: bool = False
    ringing: Phone | None = None
    agent: Phone | None = None
    bridge: str = ""
    on_hold: bool = False
    talk_ms: Counter[Interface] = field(default_factory=Counter)
    answered_by: list[Interface] = field(default_factory=list)
    visits: list[str] = field(default_factory=list)


class OnePbx(RuleBasedStateMachine):
    """Callers ring, wait, are rung for, talk, are held, transferred and hang up, in any order that a PBX allows."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = CallTracker(PbxName("pbx"), Sides(trunks=frozenset({Interface("PJSIP/trunk")})), midstream=False)
        self.now_ms = 1_795_288_000_000
        self.count = 0
        self.open: dict[str, ModelCall] = {}
        self.ended: dict[str, Any] = {}

    # What the PBX does

    def at(self) -> float:
        self.now_ms += 100
        return self.now_ms / 1000

    def say(self, signal: s.CallSignal) -> list[CallEvent]:
        events = self.tracker.apply(signal)
        for event in events:
            if isinstance(event, CallEnded):
                assert event.linkedid not in self.ended
                self.ended[event.linkedid] = event.summary
        return events

    def channel(self, interface: str, linkedid: str = "") -> Who:
        self.count += 1
        uniqueid = f"1795288000.{self.count}"
        return Who(
            Uniqueid(uniqueid),
            Linkedid(linkedid or uniqueid),
            f"{interface}-{self.count:08x}",
            "139",
            "",
            "context",
            "4001",
        )

    def pick(self, data: st.DataObject, wanted: Any) -> ModelCall:
        return data.draw(st.sampled_from([call for call in self.open.values() if wanted(call)]))

    def stop_talk(self, call: ModelCall, at: float) -> None:
        if call.agent is not None and not call.on_hold:
            call.talk_ms[call.agent.interface] += round((at - call.agent.since) * 1000)

    @rule()
    def a_call_comes(self) -> None:
        who = self.channel("PJSIP/trunk")
        events = self.say(s.ChannelBegan(self.at(), who, True))
        assert [type(event) for event in events] == [CallStarted]
        self.open[who.linkedid] = ModelCall(who)

    @precondition(lambda self: any(not c.queued and c.agent is None for c in self.open.values()))
    @rule(data=st.data())
    def joins_the_queue(self, data: st.DataObject) -> None:
        call = self.pick(data, lambda c: not c.queued and c.agent is None)
        events = self.say(s.QueueJoined(self.at(), call.caller, REPAIR, 1))
        assert [type(event) for event in events] == [CallerEnteredQueue]
        call.queued = True

    @precondition(lambda self: any(c.queued and c.ringing is None for c in self.open.values()))
    @rule(data=st.data(), interface=st.sampled_from(AGENTS))
    def an_agent_is_rung(self, data: st.DataObject, interface: Interface) -> None:
        call = self.pick(data, lambda c: c.queued and c.ringing is None)
        who = self.channel(interface, call.caller.linkedid)
        self.say(s.ChannelBegan(self.at(), who, False))
        events = self.say(s.MemberCalled(self.at(), call.caller, who, REPAIR, interface))
        events += self.say(s.DialBegan(self.at(), call.caller, who, interface))
        assert [(type(event), getattr(event, "interface", None)) for event in events] == [(AgentRinging, interface)]
        call.ringing = Phone(who, interface, 0.0)

    @precondition(lambda self: any(c.ringing for c in self.open.values()))
    @rule(data=st.data(), busy=st.booleans())
    def does_not_answer(self, data: st.DataObject, busy: bool) -> None:
        call = self.pick(data, lambda c: c.ringing)
        assert call.ringing is not None
        who, call.ringing = call.ringing.who, None
        events: list[CallEvent] = []
        if busy:
            events += self.say(s.HangupAsked(self.at(), who, 17))
        else:
            events += self.say(s.MemberRangOut(self.at(), who))
        events += self.say(s.DialEnded(self.at(), who, "NOANSWER"))
        events += self.say(s.DialEnded(self.at(), who, "CANCEL"))
        events += self.say(s.ChannelEnded(self.at(), who, 17 if busy else 0))
        [ended] = events
        assert isinstance(ended, AgentRingEnded)
        assert ended.outcome == ("busy" if busy else "no_answer")

    @precondition(lambda self: any(c.ringing for c in self.open.values()))
    @rule(data=st.data(), connect_first=st.booleans())
    def answers(self, data: st.DataObject, connect_first: bool) -> None:
        call = self.pick(data, lambda c: c.ringing)
        assert call.ringing is not None
        phone = call.ringing
        events = self.say(s.DialEnded(self.at(), phone.who, "ANSWER"))
        left = s.QueueLeft(self.at(), call.caller, REPAIR)
        connected = s.MemberAnswered(self.at(), call.caller, phone.who, REPAIR, phone.interface)
        for signal in (connected, left) if connect_first else (left, connected):
            events += self.say(signal)
        self.count += 1
        call.bridge = f"bridge-{self.count}"
        events += self.say(s.BridgeEntered(self.at(), phone.who, call.bridge, False, 1))
        phone.since = self.at()
        events += self.say(s.BridgeEntered(phone.since, call.caller, call.bridge, False, 2))
        assert [type(event) for event in events] == [AgentRingEnded, CallerLeftQueue, AgentConnected]
        call.queued, call.ringing, call.agent = False, None, phone
        call.answered_by.append(phone.interface)
        call.visits.append("answered")

    @precondition(lambda self: any(c.queued and c.ringing is None for c in self.open.values()))
    @rule(data=st.data())
    def waits_too_long(self, data: st.DataObject) -> None:
        call = self.pick(data, lambda c: c.queued and c.ringing is None)
        self.say(s.QueueGivenUp(self.at(), call.caller, REPAIR))
        [left] = self.say(s.QueueLeft(self.at(), call.caller, REPAIR))
        assert isinstance(left, CallerLeftQueue)
        assert left.outcome == "timeout"
        call.queued = False
        call.visits.append("timeout")

    @precondition(lambda self: any(c.queued for c in self.open.values()))
    @rule(data=st.data())
    def leaves_by_a_key(self, data: st.DataObject) -> None:
        call = self.pick(data, lambda c: c.queued)
        rung, call.ringing = call.ringing, None
        if rung is not None:
            self.say(s.DialEnded(self.at(), rung.who, "CANCEL"))
        [left] = self.say(s.QueueLeft(self.at(), call.caller, REPAIR))
        assert isinstance(left, CallerLeftQueue)
        assert (left.outcome, left.interface) == ("key", None)
        if rung is not None:
            self.say(s.ChannelEnded(self.at(), rung.who, 0))
        call.queued = False
        call.visits.append("key")

    @precondition(lambda self: any(c.agent for c in self.open.values()))
    @rule(data=st.data())
    def hold_or_back(self, data: st.DataObject) -> None:
        call = self.pick(data, lambda c: c.agent)
        assert call.agent is not None
        at = self.at()
        self.stop_talk(call, at)
        call.on_hold = not call.on_hold
        call.agent.since = at
        self.say(s.HoldChanged(at, call.agent.who, call.on_hold))

    @precondition(lambda self: any(c.agent for c in self.open.values()))
    @rule(data=st.data(), transferred=st.booleans())
    def the_agent_goes(self, data: st.DataObject, transferred: bool) -> None:
        """By hanging up, where the caller's dialplan goes on, or by a blind transfer."""
        call = self.pick(data, lambda c: c.agent)
        assert call.agent is not None
        agent = call.agent
        if transferred:
            self.say(s.BlindTransferred(self.at(), agent.who, "4001"))
        else:
            self.say(s.HangupAsked(self.at(), agent.who, 0))
        at = self.at()
        self.stop_talk(call, at)
        events = self.say(s.BridgeLeft(at, agent.who, call.bridge))
        events += self.say(s.BridgeLeft(self.at(), call.caller, call.bridge))
        events += self.say(s.ChannelEnded(self.at(), agent.who, 16))
        assert [type(event) for event in events] == [AgentDisconnected]
        call.agent, call.on_hold = None, False

    @precondition(lambda self: any(c.ringing is None for c in self.open.values()))
    @rule(data=st.data(), agent_channel_last=st.booleans())
    def the_caller_hangs_up(self, data: st.DataObject, agent_channel_last: bool) -> None:
        call = self.pick(data, lambda c: c.ringing is None)
        self.say(s.HangupAsked(self.at(), call.caller, 0))
        if call.queued:
            self.say(s.QueueGivenUp(self.at(), call.caller, REPAIR))
            self.say(s.QueueLeft(self.at(), call.caller, REPAIR))
            call.visits.append("abandoned")
        channels = [call.caller]
        if call.agent is not None:
            at = self.at()
            self.stop_talk(call, at)
            self.say(s.BridgeLeft(at, call.caller, call.bridge))
            self.say(s.BridgeLeft(self.at(), call.agent.who, call.bridge))
            channels = [call.caller, call.agent.who] if agent_channel_last else [call.agent.who, call.caller]
        for who in channels:
            self.say(s.ChannelEnded(self.at(), who, 16))
        del self.open[call.caller.linkedid]
        self.check(call)

    # What must hold

    def check(self, call: ModelCall) -> None:
        summary = self.ended[call.caller.linkedid]
        assert summary.complete
        assert not summary.reconstructed
        assert list(summary.answered_by) == call.answered_by
        assert [visit.outcome for visit in summary.queue_visits] == call.visits
        assert summary.hangup_by == "caller"
        last = call.visits[-1] if call.visits else "key"
        assert summary.outcome == ("answered" if call.answered_by else "ivr" if last == "key" else last)
        talk = Counter[str]()
        for segment in summary.segments:
            if segment.kind == "talk":
                talk[segment.party] += round((segment.ended_at - segment.started_at).total_seconds() * 1000)
        assert talk.pop("caller", 0) == sum(call.talk_ms.values())
        assert +talk == +Counter[str](call.talk_ms)
        mine = [segment for segment in summary.segments if segment.party == "caller"]
        for one, two in itertools.pairwise(mine):
            assert one.ended_at <= two.started_at
        assert mine[0].started_at == summary.started_at
        assert mine[-1].ended_at <= summary.ended_at

    @invariant()
    def the_same_calls_go_on(self) -> None:
        assert {call.linkedids[0] for call in self.tracker.going_on()} == set(self.open)
        assert self.tracker.ignored == 0


OnePbx.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestOnePbx = OnePbx.TestCase


def _signals() -> list[s.CallSignal]:
    found: list[s.CallSignal] = []
    for name in ("attended_transfer_refer", "queue_reentry", "atxfer_feature", "pickup_from_queue", "local_member"):
        messages = AmiDecoder(WANTED).feed((RECORDINGS / f"{name}.ami").read_bytes())
        signals = (translate(message) for message in messages)
        found += [signal for signal in signals if signal is not None and not isinstance(signal, s.MemberSeen)]
    return found


SIGNALS = _signals()
ENDS = [signal for signal in SIGNALS if isinstance(signal, s.ChannelEnded)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, len(SIGNALS) - 1), max_size=80),
    st.lists(st.integers(0, len(SIGNALS) - 1), max_size=20),
    st.lists(st.tuples(st.integers(0, len(SIGNALS) - 1), st.integers(1, 30)), max_size=20),
    st.booleans(),
)
def test_events_lost_doubled_or_late(
    lost: list[int], doubled: list[int], late: list[tuple[int, int]], midstream: bool
) -> None:
    places = [(float(index), signal) for index, signal in enumerate(SIGNALS) if index not in set(lost)]
    places += [(index + 0.5, SIGNALS[index]) for index in doubled]
    delay = {index: float(by) for index, by in late}
    places.sort(key=lambda place: place[0] + delay.get(int(place[0]), 0.0))
    tracker = CallTracker(PbxName("pbx"), midstream=midstream)
    ended: list[CallEnded] = []
    for _, signal in places:
        ended += [event for event in tracker.apply(signal) if isinstance(event, CallEnded)]
    for signal in ENDS:  # at last every channel is gone
        ended += [event for event in tracker.apply(signal) if isinstance(event, CallEnded)]
    assert tracker.going_on() == []
    for event in ended:
        assert event.summary.linkedids
        assert not any(interface.startswith("Local/") for interface in event.summary.answered_by)
        for segment in event.summary.segments:
            if segment.started_at is not None and segment.ended_at is not None:
                assert segment.started_at <= segment.ended_at
