"""What each caller got, told by the PBX alone: pure, from its manager events to one story a caller.

ctiserver has no part in this: the drill judges it by what Asterisk did and what the callers' own SIP stack counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

#: Where a caller is: in our menu, in a queue, with an agent, leaving a message, or gone.
Stage = Literal["menu", "queue", "talk", "message", "gone"]

#: Manager events that a story is made of.
WANTED = frozenset(
    {
        "Newchannel",
        "Newstate",
        "QueueCallerJoin",
        "QueueCallerLeave",
        "AgentConnect",
        "AgentComplete",
        "UserEvent",
        "HangupRequest",
        "Hangup",
        "FullyBooted",
    }
)


@dataclass
class Story:
    """One caller's call. Times are the PBX's clock, seconds since 1970."""

    number: str
    uniqueid: str
    rang_at: float
    answered_at: float | None = None
    stages: list[tuple[float, Stage]] = field(default_factory=list)
    queues: list[tuple[float, str]] = field(default_factory=list)  #: joined, in order
    agents: list[tuple[float, str]] = field(default_factory=list)  #: connected, in order
    fallbacks: list[tuple[float, str]] = field(default_factory=list)  #: why the dialplan took over
    ended_at: float | None = None
    ended_by: Literal["caller", "pbx", ""] = ""

    def stage(self, at: float) -> Stage:
        """Where the caller was then."""
        reached: Stage = "menu" if at >= self.rang_at else "gone"
        for when, stage in self.stages:
            if when > at:
                break
            reached = stage
        return reached

    def queued_after(self, at: float) -> float | None:
        """Seconds from ``at`` until the caller next came into a queue; None: never."""
        return next((when - at for when, _ in self.queues if when >= at), None)

    def served_after(self, at: float) -> bool:
        """Whether, from then on, they talked, waited in a queue or left a message."""
        if self.stage(at) in ("queue", "talk", "message"):
            return True
        return any(when >= at and stage in ("queue", "talk", "message") for when, stage in self.stages)


class Stories:
    """Every caller that came in by the trunk, from one PBX's events."""

    def __init__(self, trunk: str = "PJSIP/trunk-", context: str = "cti-inbound") -> None:
        self._trunk = trunk
        self._context = context
        self.by_uniqueid: dict[str, Story] = {}
        self._hung_up: set[str] = set()

    def take(self, event: Mapping[str, str], at: float) -> None:
        """Take in one event; ``at`` is its time."""
        name, uniqueid = event.get("Event", ""), event.get("Uniqueid", "")
        if name == "Newchannel":
            if event.get("Channel", "").startswith(self._trunk) and event.get("Context") == self._context:
                self.by_uniqueid[uniqueid] = Story(event.get("CallerIDNum", ""), uniqueid, at, stages=[(at, "menu")])
            return
        story = self.by_uniqueid.get(uniqueid)
        if story is None or story.ended_at is not None:
            return  # AgentComplete may follow the Hangup, and brings nobody back
        match name:
            case "Newstate" if event.get("ChannelState") == "6" and story.answered_at is None:
                story.answered_at = at
            case "QueueCallerJoin":
                story.queues.append((at, event.get("Queue", "")))
                story.stages.append((at, "queue"))
            case "QueueCallerLeave" if story.stage(at) == "queue":
                story.stages.append((at, "menu"))  # AgentConnect follows at once where an agent has answered
            case "AgentConnect":
                story.agents.append((at, event.get("Interface", "")))
                story.stages.append((at, "talk"))
            case "AgentComplete":
                story.stages.append((at, "menu"))
            case "UserEvent" if event.get("UserEvent") == "CtiFallback":
                story.fallbacks.append((at, event.get("Reason", "")))
            case "UserEvent" if event.get("UserEvent") == "CtiVoicemailBegan":
                story.stages.append((at, "message"))
            case "HangupRequest":
                self._hung_up.add(uniqueid)
            case "Hangup":
                story.ended_at = at
                story.ended_by = "caller" if uniqueid in self._hung_up else "pbx"
                story.stages.append((at, "gone"))
            case _:
                pass

    def all_gone(self, at: float) -> None:
        """The PBX died: so did its calls."""
        for story in self.by_uniqueid.values():
            if story.ended_at is None:
                story.ended_at, story.ended_by = at, "pbx"
                story.stages.append((at, "gone"))

    def of(self, numbers: Iterable[str]) -> list[Story]:
        """The stories of these callers, in order of their calls."""
        wanted = set(numbers)
        return sorted((s for s in self.by_uniqueid.values() if s.number in wanted), key=lambda story: story.rang_at)

    def alive(self, at: float) -> dict[str, Stage]:
        """Who was on the line then, and where."""
        found = {uniqueid: story.stage(at) for uniqueid, story in self.by_uniqueid.items()}
        return {uniqueid: stage for uniqueid, stage in found.items() if stage != "gone"}
