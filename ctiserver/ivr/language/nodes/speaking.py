"""answer, play, say, audio, hangup: what is done to the caller's ear and line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ctiserver.ivr.language.node_base import Computed, Cost, Look, Need, NodeBase, Prompt
from ctiserver.ivr.language.requests import (
    Answer,
    AnswerCall,
    ControlAudio,
    Done,
    Failed,
    Finish,
    Heard,
    Leave,
    Move,
    Phrase,
    Said,
    SayAs,
    Speak,
)
from ctiserver.ivr.language.sentences import GOODBYE, Sentence
from ctiserver.ivr.language.visit import Visit
from ctiserver.strict_yaml import Name


class AnswerNode(NodeBase):
    """Take the call off hook. Playing answers by itself; write this where the moment matters."""

    kind: Literal["answer"]

    goes_on_alone: ClassVar[bool] = True

    def enter(self, visit: Visit) -> Move:
        return AnswerCall()

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case Done():
                return Leave("ok")
        return super().answered(visit, answer)


class Play(NodeBase):
    """Play a prompt. Keys pressed meanwhile are kept for the next menu."""

    kind: Literal["play"]
    prompt: Prompt
    speak: Literal["call_language", "all_languages"] = "call_language"
    barge_in: Literal["dtmf", "none"] = "dtmf"

    leaves_served: ClassVar[bool] = True
    goes_on_alone: ClassVar[bool] = True

    def cost(self, length_s: Callable[[Prompt], float], languages: int) -> Cost:
        return Cost(1, length_s(self.prompt))

    def enter(self, visit: Visit) -> Move:
        if visit.pressed and self.barge_in == "dtmf":
            return Leave("ok")  # keyed ahead: the caller is beyond this already
        return visit.speak(
            self.prompt, "prompt", barge_in=self.barge_in == "dtmf", all_languages=self.speak == "all_languages"
        )

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case Heard(keys=keys):
                visit.take_keys(keys)
                return Leave("ok")
        return super().answered(visit, answer)


class Say(NodeBase):
    """Speak a value: digits one by one, a number, a date, an amount of money."""

    kind: Literal["say"]
    value: Computed
    as_: Annotated[SayAs, Field(alias="as")] = "auto"
    barge_in: Literal["dtmf", "none"] = "dtmf"

    leaves_served: ClassVar[bool] = True
    goes_on_alone: ClassVar[bool] = True

    @property
    def speaks_values(self) -> bool:
        return True

    def cost(self, length_s: Callable[[Prompt], float], languages: int) -> Cost:
        return Cost(1, 4.0)

    def enter(self, visit: Visit) -> Move:
        phrase = Phrase(visit.language, (Said(visit.value(self.value), self.as_),))
        return Speak((phrase,), self.barge_in == "dtmf", visit.name, "value")

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case Heard(keys=keys):
                visit.take_keys(keys)
                return Leave("ok")
        return super().answered(visit, answer)


class Audio(NodeBase):
    """Start, stop, pause, resume or mask the recording of this call."""

    kind: Literal["audio"]
    do: Literal["start", "stop", "pause", "resume", "mask"]

    goes_on_alone: ClassVar[bool] = True

    def enter(self, visit: Visit) -> Move:
        return ControlAudio(self.do)

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case Done():
                return Leave("ok")
            case Failed(reason=reason):
                return Leave("error", detail=reason)
        return super().answered(visit, answer)

    def outcomes(self) -> Mapping[str, Need]:
        return {"ok": Need.WIRED, "error": Need.ERROR}


class Hangup(NodeBase):
    """End the call, after a last word if there is one."""

    kind: Literal["hangup"]
    prompt: Prompt | None = None
    reason: Name = "goodbye"

    main_outcome: ClassVar[str | None] = None
    silent: ClassVar[bool] = True
    safe: ClassVar[bool] = True
    instead: ClassVar[Sentence] = GOODBYE
    look: ClassVar[Look] = Look.END

    @property
    def ends_served(self) -> bool:
        return self.prompt is not None

    @property
    def final_reason(self) -> str | None:
        return self.reason

    @property
    def replayed_end(self) -> str | None:
        return f"hangup {self.reason}"

    def cost(self, length_s: Callable[[Prompt], float], languages: int) -> Cost:
        return Cost() if self.prompt is None else Cost(1, length_s(self.prompt))

    def outcomes(self) -> Mapping[str, Need]:
        return {}

    def enter(self, visit: Visit) -> Move:
        if self.prompt is not None and not visit.local.get("gone"):
            return visit.speak(self.prompt, "prompt", barge_in=False)
        return Finish(self.reason)

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case Heard():
                return Finish(self.reason)
        return super().answered(visit, answer)
