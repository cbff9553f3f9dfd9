"""An agent's presence, as it follows from facts that come in any order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctiserver.model import agent as words
from ctiserver.model.agent import Presence, PresenceEvent, step
from ctiserver.model.ids import AgentId, CallId

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
A, B = CallId("A" * 26), CallId("B" * 26)
FRESH = Presence(agent_id=AgentId("agent1"), since=NOW)


def after(*events: PresenceEvent) -> Presence:
    presence = FRESH
    for seconds, event in enumerate(events, start=1):
        presence = step(presence, event, NOW + timedelta(seconds=seconds))
    return presence


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "logged_out"),
        ([words.LoggedIn()], "available"),
        ([words.LoggedIn(), words.Paused("lunch")], "paused"),
        ([words.LoggedIn(), words.Paused("lunch"), words.Unpaused()], "available"),
        ([words.LoggedIn(), words.PhoneSeen(False)], "unreachable"),
        ([words.LoggedIn(), words.PhoneSeen(False), words.PhoneSeen(True)], "available"),
        ([words.LoggedIn(), words.Connected(A), words.PbxHeard(False)], "unknown"),
        ([words.PbxHeard(False), words.LoggedIn(), words.PbxHeard(True)], "available"),
        ([words.LoggedIn(), words.Ringing(A)], "ringing"),
        ([words.LoggedIn(), words.Ringing(A), words.RingEnded(A)], "available"),
        ([words.LoggedIn(), words.Ringing(A), words.Connected(A)], "talking"),
        ([words.LoggedIn(), words.Connected(A), words.Ringing(A)], "talking"),
        ([words.LoggedIn(), words.Connected(A), words.Ringing(B)], "talking"),
        ([words.LoggedIn(), words.Connected(A), words.Disconnected(A)], "available"),
        ([words.LoggedIn(), words.Connected(A), words.Connected(B), words.Disconnected(A)], "talking"),
        ([words.Ringing(A)], "ringing"),
        ([words.LoggedIn(), words.Paused("lunch"), words.Connected(A)], "talking"),
        ([words.LoggedIn(), words.WrapUpBegun(NOW + timedelta(minutes=1))], "wrap_up"),
        ([words.LoggedIn(), words.WrapUpBegun(NOW), words.Connected(A)], "talking"),
        ([words.LoggedIn(), words.WrapUpBegun(NOW), words.WrapUpEnded()], "available"),
        ([words.LoggedIn(), words.Paused("lunch"), words.WrapUpBegun(NOW), words.LoggedOut()], "logged_out"),
        ([words.LoggedIn(), words.Connected(A), words.LoggedOut()], "talking"),
        ([words.LoggedIn(), words.Connected(A), words.LoggedOut(), words.Disconnected(A)], "logged_out"),
    ],
)
def test_the_most_telling_fact_is_the_state(events: list[PresenceEvent], state: str) -> None:
    assert after(*events).state == state


def test_logging_in_anew_brings_no_old_pause() -> None:
    assert after(words.LoggedIn(), words.Paused("lunch"), words.LoggedOut(), words.LoggedIn()).state == "available"


def test_since_moves_only_when_the_state_does() -> None:
    assert after(words.LoggedIn()).since == NOW + timedelta(seconds=1)
    assert after(words.LoggedIn(), words.LoggedIn(), words.PhoneSeen(True)).since == NOW + timedelta(seconds=1)
    assert after(words.LoggedIn(), words.Paused("a"), words.Paused("b")).since == NOW + timedelta(seconds=2)


def test_wrap_up_is_extended_once() -> None:
    first, second = NOW + timedelta(minutes=2), NOW + timedelta(minutes=9)
    once = after(words.LoggedIn(), words.WrapUpBegun(NOW), words.WrapUpExtended(first))
    assert once.wrap_up_until == first
    assert step(once, words.WrapUpExtended(second), NOW).wrap_up_until == first
    assert after(words.LoggedIn(), words.WrapUpExtended(first)).wrap_up_until is None


calls = st.sampled_from([A, B])
events = st.one_of(
    st.sampled_from([words.LoggedIn(), words.LoggedOut(), words.Unpaused(), words.WrapUpEnded()]),
    st.builds(words.Paused, st.sampled_from(["lunch", "break"])),
    st.builds(words.PhoneSeen, st.booleans()),
    st.builds(words.PbxHeard, st.booleans()),
    st.builds(words.Ringing, calls),
    st.builds(words.RingEnded, calls),
    st.builds(words.Connected, calls),
    st.builds(words.Disconnected, calls),
    st.builds(words.WrapUpBegun, st.just(NOW)),
    st.builds(words.WrapUpExtended, st.just(NOW)),
)


@given(st.lists(events, max_size=30), events)
def test_an_event_heard_twice_changes_nothing_the_second_time(
    history: list[PresenceEvent], event: PresenceEvent
) -> None:
    once = step(after(*history), event, NOW)
    assert step(once, event, NOW + timedelta(hours=1)) == once


@given(st.lists(events, max_size=30))
def test_no_call_both_rings_and_talks_and_every_call_can_end(history: list[PresenceEvent]) -> None:
    presence = after(*history)
    assert not presence.ringing & presence.talking
    for event in (words.PbxHeard(True), words.Disconnected(A), words.Disconnected(B)):
        presence = step(presence, event, NOW)
    assert presence.state not in ("ringing", "talking")
    assert replace(presence, ringing=frozenset(), talking=frozenset()) == presence
