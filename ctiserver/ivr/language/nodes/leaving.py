"""queue, dial, transfer, voicemail: the call is handed to the dialplan, and comes back with a result.

While it is away it needs no server: a queued or talking caller never hears of a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ctiserver.ivr.language.node_base import (
    ELSEWHERE,
    Computed,
    Cost,
    Keys,
    Look,
    Need,
    NodeBase,
    Prompt,
    SiteName,
    UsedName,
)
from ctiserver.ivr.language.requests import (
    Answer,
    Finish,
    HandedBack,
    HandOver,
    Heard,
    Leave,
    Listen,
    Move,
    Phrase,
    Pressed,
    Said,
    Silence,
    Speak,
)
from ctiserver.ivr.language.sentences import (
    CALLBACK_OFFER,
    LEAVE_MESSAGE,
    POSITION_AFTER,
    POSITION_BEFORE,
    Sentence,
    in_language,
)
from ctiserver.ivr.language.visit import Visit
from ctiserver.model.expression.expression import Value
from ctiserver.site.files import QueueKey
from ctiserver.strict_yaml import Duration, Written, duration

_CALLBACK_KEY = "1"
_OFFER_S = 4.0
_STICKY_RING_S = 15.0
#: app_queue's priorities are ours times this: what is left between two of ours keeps the order within one.
PLACES = 1000


class Queue(NodeBase):
    """Wait in an app_queue queue until an agent answers, or until something else happens."""

    kind: Literal["queue"]
    queue: QueueKey
    sticky: Computed | None = None  #: an agent who is rung first, such as =record.owner
    priority: Computed | None = None  #: 0 … 100; higher is served first
    max_wait: Duration | None = None
    every: dict[str, Literal["position", "offer_callback"]] = {}  # noqa: RUF012

    main_outcome: ClassVar[str | None] = None
    safe: ClassVar[bool] = True
    hands_over: ClassVar[bool] = True
    also_wired: ClassVar[tuple[str, ...]] = ("timeout",)
    leaves_served: ClassVar[bool] = True
    look: ClassVar[Look] = Look.PERSON

    @property
    def caption(self) -> str:
        return self.queue

    @property
    def speaks_values(self) -> bool:
        return "position" in self.every.values()

    @property
    def destination(self) -> str | None:
        return self.queue

    def used_names(self) -> Iterator[UsedName]:
        yield UsedName(("queue",), "queue", self.queue)

    @model_validator(mode="after")
    def _intervals(self) -> Queue:
        for interval in self._intervals_s():
            if interval < 10:
                raise ValueError("every: speak to waiting callers at most every 10s; app_queue must ring in between")
        return self

    def _intervals_s(self) -> dict[float, str]:
        return {duration(text).total_seconds(): what for text, what in self.every.items()}

    def outcomes(self) -> Mapping[str, Need]:
        found = {"empty": Need.WIRED, "full": Need.WIRED, "agent_hung_up": Need.MAY, "error": Need.ERROR}
        if self.max_wait is not None:
            found["timeout"] = Need.WIRED
        if "offer_callback" in self.every.values():
            found["callback"] = Need.WIRED
        return found

    def target(self, outcome: str) -> str | None:
        # Anyone who waits without a limit can still be sent away, by an admin who takes the caller out of the queue.
        return super().target(outcome) or (super().target("empty") if outcome == "timeout" else None)

    def enter(self, visit: Visit) -> Move:
        visit.local.update(waited_s=0.0, times=0)
        agent = visit.text(self.sticky) if self.sticky is not None else ""
        if agent:
            visit.local["sticky"] = True
            return HandOver("dial", agent, {"ring_s": _STICKY_RING_S, "as": "agent", "queue": self.queue})
        return self._wait(visit)

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case HandedBack(result="nobody") if visit.local.pop("sticky", False):
                return self._wait(visit)
            case HandedBack(result="timeout", facts={"reason": "queue WITHDRAW"}):
                return Leave("timeout")  # taken out, for good: nothing is announced to who waits no more
            case HandedBack(result="timeout", facts=facts):
                return self._timed_out(visit, facts.get("place"))
            case HandedBack(result="bye" | "agent_hung_up"):
                return Leave("agent_hung_up") if "agent_hung_up" in self.on else Finish("served")
            case HandedBack(result="error", facts=facts):
                return Leave("error", detail=str(facts.get("reason", "")))
            case HandedBack(result=result):
                return Leave(result)
            case Heard(keys=keys) | Pressed(key=keys):
                if visit.local.get("offering") and keys[:1] == _CALLBACK_KEY:
                    return Leave("callback")
                if visit.local.get("offering") and isinstance(answer, Heard) and not keys:
                    return Listen(_OFFER_S)
                return self._wait(visit)
            case Silence():
                return self._wait(visit)
        return super().answered(visit, answer)

    def _wait(self, visit: Visit) -> Move:
        visit.local["offering"] = False
        waited_s = float(visit.local["waited_s"])
        marks = [interval * (int(waited_s // interval) + 1) - waited_s for interval in self._intervals_s()]
        if self.max_wait is not None:
            marks.append(self.max_wait.total_seconds() - waited_s)
        segment_s = max(1.0, min(marks)) if marks else 0.0
        visit.local["segment_s"] = segment_s
        ends = self.max_wait is not None and waited_s + segment_s >= self.max_wait.total_seconds()
        priority = visit.value(self.priority) if self.priority is not None else 0
        base = int(priority) if isinstance(priority, int) and not isinstance(priority, bool) else 0
        # Who comes back from announcements keeps the place: before equals who heard fewer, behind those who heard more.
        times = min(int(visit.local["times"]), PLACES - 1)
        options = {"timeout_s": segment_s, "priority": base * PLACES + times, "goes_on": bool(self.every) and not ends}
        return HandOver("queue", self.queue, options)

    def _timed_out(self, visit: Visit, place: Value) -> Move:
        waited_s = float(visit.local["waited_s"]) + float(visit.local["segment_s"])
        visit.local.update(waited_s=waited_s, times=int(visit.local["times"]) + 1)
        if self.max_wait is not None and waited_s >= self.max_wait.total_seconds():
            return Leave("timeout")
        due = {what for interval, what in self._intervals_s().items() if waited_s % interval == 0}
        if not due:
            return Leave("timeout")
        if "offer_callback" in due:
            visit.local["offering"] = True
            language, text = in_language(CALLBACK_OFFER, visit.language)
            return Speak((Phrase(language, (text,)),), True, visit.name, "offer_callback")
        if not isinstance(place, int) or place < 1:
            return self._wait(visit)
        language, before = in_language(POSITION_BEFORE, visit.language)
        phrase = Phrase(language, (before, Said(place, "number"), POSITION_AFTER[language]))
        return Speak((phrase,), True, visit.name, "position")


class DialTarget(Written):
    """Whom to dial: exactly one of these."""

    person: Computed | None = None  #: an agent's name
    number: Computed | None = None  #: a telephone number, dialled by the trunk
    roster: SiteName | None = None  #: anyone who is on call now, in order

    @model_validator(mode="after")
    def _one(self) -> DialTarget:
        if [self.person, self.number, self.roster].count(None) != 2:
            raise ValueError("write exactly one of person:, number:, roster:")
        return self


class Dial(NodeBase):
    """Ring a person, a number, or those on call, and let them talk with the caller."""

    kind: Literal["dial"]
    to: DialTarget
    ring: Duration = timedelta(seconds=25)
    rounds: Annotated[int, Field(ge=1, le=10)] = 1
    accept_key: Annotated[Keys, Field(max_length=1)] | None = None
    each_hears: Prompt | None = None  #: what a person hears before pressing accept_key

    main_outcome: ClassVar[str | None] = None
    safe: ClassVar[bool] = True
    hands_over: ClassVar[bool] = True
    leaves_served: ClassVar[bool] = True
    reaches_somebody: ClassVar[bool] = True
    look: ClassVar[Look] = Look.PERSON

    def used_names(self) -> Iterator[UsedName]:
        if self.to.roster is not None:
            yield UsedName(("to", "roster"), "roster", self.to.roster)

    @model_validator(mode="after")
    def _accept(self) -> Dial:
        if self.each_hears is not None and self.accept_key is None:
            raise ValueError("each_hears: needs accept_key:, the key that takes the call")
        return self

    def outcomes(self) -> Mapping[str, Need]:
        return {"bye": Need.WIRED, "nobody": Need.WIRED, "caller_hung_up": Need.MAY, "error": Need.ERROR}

    def enter(self, visit: Visit) -> Move:
        if self.to.roster is not None:
            roster = visit.world.rosters.get(self.to.roster)
            targets = [f"number:{number}" for number in roster.on_call(visit.now)] if roster is not None else []
        elif self.to.person is not None:
            name = visit.text(self.to.person)
            targets = [f"agent:{name}"] if name else []
        else:
            number = visit.text(self.to.number) if self.to.number is not None else ""
            targets = [f"number:{number}"] if number else []
        visit.local["targets"] = targets * self.rounds
        return self._next(visit)

    def _next(self, visit: Visit) -> Move:
        targets = list(visit.local["targets"])
        if not targets:
            return Leave("nobody")
        visit.local["targets"] = targets[1:]
        kind, _, target = targets[0].partition(":")
        options: dict[str, str | int | float] = {"ring_s": self.ring.total_seconds(), "as": kind}
        if self.accept_key is not None:
            options["accept_key"] = self.accept_key
        announce = visit.speak(self.each_hears, "each_hears").phrases[0] if self.each_hears is not None else None
        return HandOver("dial", target, options, announce)

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case HandedBack(result="nobody"):
                return self._next(visit)
            case HandedBack(result="error", facts=facts):
                return Leave("error", detail=str(facts.get("reason", "")))
            case HandedBack(result=result):
                return Leave(result)
        return super().answered(visit, answer)


class Transfer(NodeBase):
    """Send the call to an extension of the PBX's own dialplan; it does not come back."""

    kind: Literal["transfer"]
    extension: Annotated[str, Field(pattern=r"^[A-Za-z0-9_*#+-]{1,40}$")]
    context: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,79}$")] = "cti-agents"

    main_outcome: ClassVar[str | None] = None
    safe: ClassVar[bool] = True
    hands_over: ClassVar[bool] = True
    look: ClassVar[Look] = Look.PERSON

    @property
    def destination(self) -> str | None:
        return ELSEWHERE

    @property
    def replayed_end(self) -> str | None:
        return f"transfer {self.extension}@{self.context}"

    def outcomes(self) -> Mapping[str, Need]:
        return {}

    def enter(self, visit: Visit) -> Move:
        return Finish("transferred", go_to=f"{self.context},{self.extension},1")


class Voicemail(NodeBase):
    """Take a message after a prompt."""

    kind: Literal["voicemail"]
    prompt: Prompt
    max_length: Duration = timedelta(minutes=2)

    safe: ClassVar[bool] = True
    hands_over: ClassVar[bool] = True
    instead: ClassVar[Sentence] = LEAVE_MESSAGE
    leaves_served: ClassVar[bool] = True
    look: ClassVar[Look] = Look.MESSAGE

    @property
    def destination(self) -> str | None:
        return ELSEWHERE

    def cost(self, length_s: Callable[[Prompt], float], languages: int) -> Cost:
        return Cost(1, length_s(self.prompt))

    def outcomes(self) -> Mapping[str, Need]:
        return {"ok": Need.WIRED, "error": Need.ERROR}

    def enter(self, visit: Visit) -> Move:
        return visit.speak(self.prompt, "prompt", barge_in=True)

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case Heard():
                visit.pressed = ""
                return HandOver("voicemail", "", {"max_s": self.max_length.total_seconds()})
            case HandedBack(result="ok"):
                return Leave("ok")
            case HandedBack(facts=facts):
                return Leave("error", detail=str(facts.get("reason", "")))
        return super().answered(visit, answer)
