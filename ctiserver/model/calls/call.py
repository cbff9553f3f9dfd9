"""One call: its legs, what each did from when to when, and what it came to.

A leg is one channel; the halves of a Local channel are legs too, but no parties: they only join rooms. Who talks with
whom follows from bridge membership alone (:func:`parties_of`). Times are seconds since 1970 by the PBX's clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from ctiserver.model.events import (
    CallOutcome,
    CallSummary,
    Direction,
    HangupBy,
    QueueOutcome,
    QueueVisit,
    Segment,
    Transfer,
)
from ctiserver.model.ids import CallId, Interface, Linkedid, PbxName, QueueName, Uniqueid

Kind = Literal["ivr", "queue", "ring", "talk", "hold", "wrap_up", "consult", "monitor", "voicemail"]

#: A leg on its way between two stages (dialplan between queue and voicemail, alone in a bridge while it is taken
#: down) has no segment of its own if it is shorter than this.
PASSING_S = 0.05

_LOCAL = re.compile(r"^Local/.+;([12])$")
_SUFFIX = re.compile(r"(-[0-9a-fA-F]{3,16}(;[12])?|-\d{1,9})?(<(MASQ|ZOMBIE)>)?$")


def interface_of(channel: str) -> Interface:
    """The device behind a channel's name: ``PJSIP/agent1-000004b9`` is a channel of ``PJSIP/agent1``."""
    return Interface(_SUFFIX.sub("", channel, count=1))


def is_local(channel: str) -> bool:
    """Whether this is half of a Local channel."""
    return channel.startswith("Local/")


def local_twin(channel: str) -> str | None:
    """The name of the other half of a Local channel, if this is one."""
    match = _LOCAL.match(channel)
    return None if match is None else channel[:-1] + ("2" if match[1] == "1" else "1")


def moment(at: float | None) -> datetime | None:
    """Seconds since 1970 as an aware UTC time."""
    return None if at is None else datetime.fromtimestamp(at, UTC)


def elapsed_ms(since: float | None, until: float | None) -> int | None:
    """Whole milliseconds between two times, never negative; None where either is unknown."""
    return None if since is None or until is None else max(0, round((until - since) * 1000))


@dataclass(slots=True)
class LegSpan:
    """What a leg did from when to when. ``passing`` ones count only if they last."""

    kind: Kind
    since: float | None
    bridge: str | None
    passing: bool = False
    until: float | None = None

    @property
    def fleeting(self) -> bool:
        """Too short to be a stage of its own."""
        return (
            self.passing and self.since is not None and self.until is not None and self.until - self.since < PASSING_S
        )


@dataclass(slots=True)
class CallVisit:
    """A caller's stay in one queue."""

    queue: QueueName
    entered: float | None
    left: float | None = None
    outcome: QueueOutcome = "unknown"
    agent: Interface | None = None
    open: bool = True
    place: tuple[str, str] | None = None  #: context and extension where the caller waits; None: not seen


@dataclass(slots=True, eq=False, repr=False)
class Leg:
    """One channel of a call."""

    uniqueid: Uniqueid
    channel: str
    call: Call
    origin: CallId  #: the call it began in, before any merge
    first: bool  #: the calling party
    interface: Interface
    local: bool
    twin: Leg | None = None  #: the other half of a Local channel
    bridge: str | None = None
    holding: bool = False
    queue: QueueName | None = None  #: which queue rings this leg, if one does
    member: Interface | None = None  #: as which member
    ringing: bool = False
    ring_since: float | None = None
    answered: bool = False  #: was rung, or picked up, and is through or about to be
    connected: bool = False
    connected_since: float | None = None
    served: bool = False  #: talked with the caller
    visit: CallVisit | None = None
    asked_cause: int | None = None  #: why the far end ended it, by its own word
    ending: bool = False
    ended: bool = False
    cause: int | None = None
    spans: list[LegSpan] = field(default_factory=list)
    current: LegSpan | None = None

    def turn(self, kind: Kind | None, at: float | None, *, passing: bool = False) -> None:
        """From now on the leg does ``kind``, or nothing that counts."""
        current = self.current
        if current is not None:
            if current.kind == kind and current.bridge == self.bridge and current.passing == passing:
                return
            current.until = at if current.since is None or at is None else max(at, current.since)
            if current.fleeting:
                self.spans.remove(current)
        self.current = None
        if kind is not None:
            self.current = LegSpan(kind, at, self.bridge, passing)
            self.spans.append(self.current)

    def talk_ms(self) -> int | None:
        """How long the leg talked, hold not counted; None where a time is missing."""
        total = 0
        for span in self.spans:
            if span.kind == "talk":
                part = elapsed_ms(span.since, span.until)
                if part is None:
                    return None
                total += part
        return total

    @property
    def party(self) -> str:
        """How segments name this leg: ``caller`` for anyone who called in from outside, else its interface."""
        return "caller" if self.first and self.call.direction == "inbound" else self.interface


@dataclass(slots=True, eq=False, repr=False)
class Call:
    """All legs that dials, bridges and transfers join."""

    call_id: CallId
    pbx: PbxName
    linkedids: list[Linkedid]
    direction: Direction
    ani: str
    caller_name: str
    dnis: str
    started: float | None
    reconstructed: bool = False
    originated: bool = False
    answered: float | None = None
    ended: float | None = None
    caller: Leg | None = None  #: the calling party's leg, if it was seen
    handed_over: bool = False  #: the calling party itself transferred the others to each other
    live: dict[Uniqueid, Leg] = field(default_factory=dict)
    legs: list[Leg] = field(default_factory=list)  #: all there ever were, in order
    visits: list[CallVisit] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    answered_by: list[Interface] = field(default_factory=list)
    served_by: Literal["person", "voicemail"] | None = None  #: the last one
    dial_status: str = ""
    hangup_by: HangupBy | None = None

    def outcome(self) -> CallOutcome | None:
        """What the call came to; None while that is open, or if it can't be known. Rules: docs/explanation/calls.md."""
        if self.served_by is not None:
            return "answered" if self.served_by == "person" else "voicemail"
        if self.visits:
            last = self.visits[-1]
            if last.open and self.live:
                return None
            return VISIT_OUTCOMES[last.outcome]
        if self.dial_status:
            if self.dial_status == "CANCEL":
                return "abandoned" if self.direction == "inbound" else "no_answer"
            return _DIAL_OUTCOME.get(self.dial_status, "failed")
        if self.reconstructed:
            return None  # its stages were not seen
        if self.originated:
            return None if self.live else "failed"
        return "ivr"

    def summary(self, *, complete: bool) -> CallSummary:
        """All that is known now."""
        caller = self.caller or (self.legs[0] if self.legs else None)
        return CallSummary(
            call_id=self.call_id,
            pbx=self.pbx,
            linkedids=tuple(self.linkedids),
            direction=self.direction,
            ani=self.ani,
            caller_name=self.caller_name,
            dnis=self.dnis,
            started_at=moment(self.started),
            answered_at=moment(self.answered),
            ended_at=moment(self.ended),
            outcome=self.outcome(),
            answered_by=tuple(self.answered_by),
            queue_visits=tuple(
                QueueVisit(
                    queue=visit.queue,
                    entered_at=moment(visit.entered),
                    left_at=moment(visit.left),
                    outcome=visit.outcome,
                    agent=visit.agent,
                )
                for visit in self.visits
            ),
            transfers=tuple(self.transfers),
            hangup_cause=caller.cause if caller is not None and complete else None,
            hangup_by=self.hangup_by or (None if self.reconstructed else "pbx") if complete else None,
            segments=self._segments(),
            reconstructed=self.reconstructed,
            complete=complete,
        )

    def _segments(self) -> tuple[Segment, ...]:
        found: list[tuple[float, int, int, Segment]] = []
        for order, leg in enumerate(self.legs):
            if leg.local:
                continue
            party = leg.party
            for span in _joined(leg.spans):
                segment = Segment(
                    party=party, kind=span.kind, started_at=moment(span.since), ended_at=moment(span.until)
                )
                found.append((span.since or 0.0, order, len(found), segment))
        return tuple(segment for _, _, _, segment in sorted(found, key=lambda item: item[:3]))


def _joined(spans: list[LegSpan]) -> list[LegSpan]:
    """Talk that goes on in another bridge, or with another agent in the same instant, is one stretch of talk."""
    out: list[LegSpan] = []
    for span in spans:
        last = out[-1] if out else None
        if (
            last is not None
            and last.kind == span.kind
            and span.kind in ("talk", "hold", "consult")
            and last.until is not None
            and (span.since is None or span.since - last.until < PASSING_S)
        ):
            out[-1] = LegSpan(last.kind, last.since, span.bridge, until=span.until)
        else:
            out.append(span)
    return out


VISIT_OUTCOMES: dict[QueueOutcome, CallOutcome] = {
    "answered": "answered",
    "abandoned": "abandoned",
    "timeout": "timeout",
    "key": "ivr",
    "empty": "failed",
    "full": "failed",
    "unknown": "failed",
}

_DIAL_OUTCOME: dict[str, CallOutcome] = {
    "ANSWER": "answered",
    "BUSY": "busy",
    "NOANSWER": "no_answer",
    "CHANUNAVAIL": "failed",
    "CONGESTION": "failed",
}


def parties_of(bridge: str, bridges: dict[str, dict[Uniqueid, Leg]]) -> tuple[list[Leg], set[str], bool]:
    """Who is in the room of ``bridge``: real legs in it and in all bridges that Local channels join to it.

    Also those bridges, and whether a Local half leads out of the room to something that is not a bridge.
    """
    seen = {bridge}
    todo = [bridge]
    parties: list[Leg] = []
    leads_out = False
    while todo:
        for leg in bridges.get(todo.pop(), {}).values():
            if not leg.local:
                parties.append(leg)
            elif leg.twin is None or leg.twin.bridge is None:
                leads_out = True
            elif leg.twin.bridge not in seen:
                seen.add(leg.twin.bridge)
                todo.append(leg.twin.bridge)
    return parties, seen, leads_out
