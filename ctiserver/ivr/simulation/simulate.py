"""A call without a telephone: the engine on a virtual clock, its ports in memory.

``flow test`` scripts it from a ``*.test.yaml``, ``flow try`` from a keyboard, hypothesis from random callers.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from ctiserver.clock import ManualClock
from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.requests import (
    Answer,
    AnswerCall,
    CallerGone,
    Done,
    Failed,
    Finish,
    HandOver,
    Heard,
    Listen,
    Pressed,
    Silence,
    Speak,
)
from ctiserver.ivr.language.sentences import spoken_length_s
from ctiserver.ivr.language.state import FlowState, PathStep
from ctiserver.ivr.language.visit import World
from ctiserver.ivr.runtime.engine import Turn, begin, step
from ctiserver.ivr.runtime.ports import CallerFacts, MemoryPorts, PortFailed, PortRequest, ask
from ctiserver.ivr.speech.prompts import texts_of
from ctiserver.model.expression.expression import Value
from ctiserver.model.ids import CallId

T = TypeVar("T")

#: A Monday morning in Shanghai, when most desks are open.
DEFAULT_CLOCK = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)

#: What waits for the caller or for the dialplan; everything else the simulation answers by itself.
Outside = Speak | Listen | HandOver | Finish
_OUTSIDE = (Speak, Listen, HandOver, Finish)
_CALL = CallId("0" * 26)


@dataclass(frozen=True, slots=True)
class Given:
    """The world at the beginning of a simulated call."""

    caller: str = "13800138000"
    dialled: str = "4008001234"
    clock: datetime = DEFAULT_CLOCK
    calendar: str = ""
    language: str = ""
    facts: CallerFacts = field(default_factory=CallerFacts)
    ports: MemoryPorts = field(default_factory=MemoryPorts)


class Simulation:
    """One call. ``request`` is what it waits for; ``heard``, ``pressed``, ``waited`` and the like go on."""

    def __init__(self, flow: Flow, world: World, given: Given) -> None:
        self.flow = flow
        self.clock = ManualClock(given.clock)
        self.ports = given.ports
        self.path: list[PathStep] = []
        self._world = world
        call: dict[str, Value] = {
            "id": str(_CALL),
            "ani": given.caller,
            "dnis": given.dialled,
            "name": "",
            "withheld": not given.caller,
            "blocked": given.facts.blocked,
            "started_at": given.clock,
            "visits_24h": given.facts.visits_24h,
        }
        facts: dict[str, Value] = {
            "call": call,
            "contact": given.facts.contact,
            "record": given.facts.record,
            "number": {"dnis": given.dialled, "calendar": given.calendar, "time_zone": "", "cost_centre": ""},
        }
        self._take(begin(flow, facts, given.language, world, self.clock.now()))

    @property
    def state(self) -> FlowState:
        """Where the call stands."""
        return self._turn.state

    @property
    def request(self) -> Outside:
        """What the call waits for now."""
        return self._request

    def heard(self, keys: str = "") -> None:
        """The prompt was played, and these keys were pressed during it."""
        assert isinstance(self.request, Speak)
        length_s = 0.0 if keys and self.request.barge_in else speak_s(self.request)
        self.answer(Heard(keys), length_s)

    def pressed(self, key: str) -> None:
        """One key was pressed in time."""
        self.answer(Pressed(key), 0.5)

    def silent(self) -> None:
        """Nothing was pressed in time."""
        assert isinstance(self.request, Listen)
        self.answer(Silence(), self.request.timeout_s)

    def hung_up(self, *, served: bool = False) -> None:
        """The caller hung up."""
        self.answer(CallerGone(served), 0.0)

    def answer(self, answer: Answer, seconds: float) -> None:
        """Any answer, after ``seconds`` on the virtual clock."""
        self.clock.advance(seconds)
        state = self.state
        if isinstance(self.request, HandOver):
            state = FlowState.from_json(state.to_json())  # what is away in the dialplan lives in a table
        self._take(step(self.flow, state, answer, spent_s=seconds, world=self._world, now=self.clock.now()))

    def _take(self, turn: Turn) -> None:
        self._turn = turn
        self.path += turn.path
        while not isinstance(request := turn.request, _OUTSIDE):
            answer = self._answered(request)
            turn = step(self.flow, turn.state, answer, spent_s=0.0, world=self._world, now=self.clock.now())
            self.path += turn.path
            self._turn = turn
        self._request = request

    def _answered(self, request: AnswerCall | PortRequest) -> Answer:
        if isinstance(request, AnswerCall):
            return Done()
        try:
            return Done(_at_once(ask(self.ports, _CALL, request)))
        except PortFailed as error:
            return Failed(str(error))


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing, as those of MemoryPorts do."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("a port in memory waits for nothing")


def speak_s(request: Speak) -> float:
    """How long a prompt lasts, as estimated from its text."""
    texts = [text for phrase in request.phrases for text in texts_of(phrase)]
    return sum(spoken_length_s(text.language, text.text) for text in texts)
