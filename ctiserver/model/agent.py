"""An agent's presence: one for all queues, derived from what is known of the person and of the phone.

Facts come from several sides (the console, app_queue's members, the calls), in any order and sometimes twice; so the
facts are kept, each event changes one of them, and the state follows from a table of precedence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, assert_never

from ctiserver.model.ids import AgentId, CallId, QueueName

AgentState = Literal["unknown", "logged_out", "unreachable", "talking", "ringing", "wrap_up", "paused", "available"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """What is so about one agent, and since when the state that follows from it has lasted."""

    agent_id: AgentId
    since: datetime
    logged_in: bool = False
    heard: bool = True  #: False: the PBX has not been heard for a while, and all else is as it was then
    reachable: bool = True  #: the phone is registered
    pause_reason: str | None = None  #: None: takes calls
    ringing: frozenset[CallId] = frozenset()
    talking: frozenset[CallId] = frozenset()
    wrap_up_until: datetime | None = None
    wrap_up_extended: bool = False

    @property
    def state(self) -> AgentState:
        """The first row of the table that applies."""
        return next(state for state, applies in PRECEDENCE if applies(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class WrapUpKept:
    """After-call work as a server finds it again that was killed meanwhile."""

    agent_id: AgentId
    queue: QueueName  #: whose policy it follows
    until: datetime
    extended: bool = False


#: What an agent is, most telling first: what nobody hears of, nobody knows. A call is a call, whether the person is
#: logged in to a queue or not.
PRECEDENCE: tuple[tuple[AgentState, Callable[[Presence], bool]], ...] = (
    ("unknown", lambda it: not it.heard),
    ("talking", lambda it: bool(it.talking)),
    ("ringing", lambda it: bool(it.ringing)),
    ("logged_out", lambda it: not it.logged_in),
    ("wrap_up", lambda it: it.wrap_up_until is not None),
    ("unreachable", lambda it: not it.reachable),
    ("paused", lambda it: it.pause_reason is not None),
    ("available", lambda it: True),
)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The agent sits in at least one queue."""


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """The agent sits in no queue any more."""


@dataclass(frozen=True, slots=True)
class Paused:
    """The agent is offered no calls."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unpaused:
    """The agent is offered calls again."""


@dataclass(frozen=True, slots=True)
class PbxHeard:
    """The agent's PBX is heard, or has not been for a while."""

    heard: bool


@dataclass(frozen=True, slots=True)
class PhoneSeen:
    """The phone is registered, or it is not."""

    reachable: bool


@dataclass(frozen=True, slots=True)
class Ringing:
    """The phone rings for a call."""

    call_id: CallId


@dataclass(frozen=True, slots=True)
class RingEnded:
    """The phone stopped ringing for a call."""

    call_id: CallId


@dataclass(frozen=True, slots=True)
class Connected:
    """The agent talks in a call."""

    call_id: CallId


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The agent's part in a call ended."""

    call_id: CallId


@dataclass(frozen=True, slots=True)
class WrapUpBegun:
    """After-call work begins, or a restarted server finds it under way; it ends at ``until`` at the latest."""

    until: datetime


@dataclass(frozen=True, slots=True)
class WrapUpExtended:
    """The agent asked for more time after the call, which is given once."""

    until: datetime


@dataclass(frozen=True, slots=True)
class WrapUpEnded:
    """After-call work is done, or its time is up."""


PresenceEvent = (
    LoggedIn
    | LoggedOut
    | Paused
    | Unpaused
    | PbxHeard
    | PhoneSeen
    | Ringing
    | RingEnded
    | Connected
    | Disconnected
    | WrapUpBegun
    | WrapUpExtended
    | WrapUpEnded
)


def step(presence: Presence, event: PresenceEvent, now: datetime) -> Presence:
    """The presence after ``event``; ``since`` moves only when the state did."""
    after = _change(presence, event)
    return replace(after, since=now) if after.state != presence.state else after


def _change(it: Presence, event: PresenceEvent) -> Presence:
    match event:
        case LoggedIn():
            return replace(it, logged_in=True)
        case LoggedOut():
            return replace(it, logged_in=False, pause_reason=None, wrap_up_until=None, wrap_up_extended=False)
        case Paused(reason):
            return replace(it, pause_reason=reason)
        case Unpaused():
            return replace(it, pause_reason=None)
        case PbxHeard(heard):
            return replace(it, heard=heard)
        case PhoneSeen(reachable):
            return replace(it, reachable=reachable)
        case Ringing(call_id):
            return it if call_id in it.talking else replace(it, ringing=it.ringing | {call_id})
        case RingEnded(call_id):
            return replace(it, ringing=it.ringing - {call_id})
        case Connected(call_id):
            return replace(it, ringing=it.ringing - {call_id}, talking=it.talking | {call_id})
        case Disconnected(call_id):
            return replace(it, ringing=it.ringing - {call_id}, talking=it.talking - {call_id})
        case WrapUpBegun(until):
            return replace(it, wrap_up_until=until, wrap_up_extended=False)
        case WrapUpExtended(until):
            if it.wrap_up_until is None or it.wrap_up_extended:
                return it
            return replace(it, wrap_up_until=until, wrap_up_extended=True)
        case WrapUpEnded():
            return replace(it, wrap_up_until=None, wrap_up_extended=False)
        case _:
            assert_never(event)
