"""An agent's presence as a state machine, against a plain model of what the person and the phone do.

Facts come from several sides, in any order and sometimes twice: the same log always comes to the same presence.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ctiserver.model import agent as a
from ctiserver.model.agent import AgentState, Presence, PresenceEvent, step
from ctiserver.model.ids import AgentId, CallId

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
CALLS = st.sampled_from([CallId(name) for name in "ABC"])
SECONDS = st.integers(0, 600)

EVENTS: st.SearchStrategy[PresenceEvent] = st.one_of(
    st.builds(a.LoggedIn),
    st.builds(a.LoggedOut),
    st.builds(a.Paused, st.sampled_from(["lunch", "training"])),
    st.builds(a.Unpaused),
    st.builds(a.PbxHeard, st.booleans()),
    st.builds(a.PhoneSeen, st.booleans()),
    st.builds(a.Ringing, CALLS),
    st.builds(a.RingEnded, CALLS),
    st.builds(a.Connected, CALLS),
    st.builds(a.Disconnected, CALLS),
    st.builds(a.WrapUpBegun, SECONDS.map(lambda s: T0 + timedelta(seconds=s))),
    st.builds(a.WrapUpExtended, SECONDS.map(lambda s: T0 + timedelta(seconds=s))),
    st.builds(a.WrapUpEnded),
)


class Agent(RuleBasedStateMachine):
    """One agent: what is done, and what a plain list of facts makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.presence = Presence(agent_id=AgentId("a"), since=T0)
        self.log: list[tuple[PresenceEvent, datetime]] = []
        self.calls: dict[CallId, str] = {}  # call → ringing or talking
        self.seated = self.paused = self.after_call = False
        self.heard = self.registered = True
        self.changed_at = T0

    def _tell(self, event: PresenceEvent) -> None:
        before = self.presence.state
        self.log.append((event, self.now))
        self.presence = step(self.presence, event, self.now)
        if self.presence.state != before:
            self.changed_at = self.now

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(seated=st.booleans())
    def logs_in_or_out(self, seated: bool) -> None:
        self.seated = seated
        if not seated:
            self.paused = self.after_call = False
        self._tell(a.LoggedIn() if seated else a.LoggedOut())

    @rule(paused=st.booleans())
    def pauses_or_returns(self, paused: bool) -> None:
        self.paused = paused
        self._tell(a.Paused("lunch") if paused else a.Unpaused())

    @rule(heard=st.booleans())
    def the_pbx_is_heard_or_not(self, heard: bool) -> None:
        self.heard = heard
        self._tell(a.PbxHeard(heard))

    @rule(registered=st.booleans())
    def the_phone_is_there_or_not(self, registered: bool) -> None:
        self.registered = registered
        self._tell(a.PhoneSeen(registered))

    @rule(call=CALLS)
    def rings(self, call: CallId) -> None:
        self.calls.setdefault(call, "ringing")  # a second leg's ring does not end a talk
        self._tell(a.Ringing(call))

    @rule(call=CALLS)
    def stops_ringing(self, call: CallId) -> None:
        if self.calls.get(call) == "ringing":
            del self.calls[call]
        self._tell(a.RingEnded(call))

    @rule(call=CALLS)
    def talks(self, call: CallId) -> None:
        self.calls[call] = "talking"
        self._tell(a.Connected(call))

    @rule(call=CALLS)
    def hangs_up(self, call: CallId) -> None:
        self.calls.pop(call, None)
        self._tell(a.Disconnected(call))

    @rule(seconds=SECONDS)
    def has_work_after_the_call(self, seconds: int) -> None:
        self.after_call = True
        self._tell(a.WrapUpBegun(self.now + timedelta(seconds=seconds)))

    @rule(seconds=SECONDS)
    def asks_for_more_time(self, seconds: int) -> None:
        before = self.presence
        self._tell(a.WrapUpExtended(self.now + timedelta(seconds=seconds)))
        if before.wrap_up_until is None or before.wrap_up_extended:
            assert self.presence == before  # nothing to extend, or it was given once

    @rule()
    def is_done(self) -> None:
        self.after_call = False
        self._tell(a.WrapUpEnded())

    @precondition(lambda self: self.log)
    @rule()
    def hears_the_last_thing_twice(self) -> None:
        event, _ = self.log[-1]
        before = self.presence
        if not isinstance(event, a.WrapUpBegun | a.WrapUpExtended):  # a new deadline is a new fact
            self._tell(event)
            assert self.presence == before

    @invariant()
    def the_state_is_what_the_facts_say(self) -> None:
        assert self.presence.state == self._expected()

    @invariant()
    def it_has_lasted_since_it_changed(self) -> None:
        assert self.presence.since == self.changed_at

    @invariant()
    def the_same_log_comes_to_the_same_presence(self) -> None:
        again = Presence(agent_id=AgentId("a"), since=T0)
        for event, at in self.log:
            again = step(again, event, at)
        assert again == self.presence

    def _expected(self) -> AgentState:
        if not self.heard:
            return "unknown"
        if "talking" in self.calls.values():
            return "talking"
        if "ringing" in self.calls.values():
            return "ringing"
        if not self.seated:
            return "logged_out"
        if self.after_call:
            return "wrap_up"
        if not self.registered:
            return "unreachable"
        return "paused" if self.paused else "available"


TestAgent = Agent.TestCase


@given(st.lists(EVENTS, max_size=40))
def test_no_order_of_events_breaks_it(events: list[PresenceEvent]) -> None:
    presence = Presence(agent_id=AgentId("a"), since=T0)
    for second, event in enumerate(events):
        before = presence
        presence = step(presence, event, T0 + timedelta(seconds=second))
        assert not presence.ringing & presence.talking  # one call does not ring and talk at once
        assert (presence.since == before.since) == (presence.state == before.state) or second == 0
