"""The flow engine: a pure step from (state, answer) to (state, request).

It does nothing and knows no time but what it is told. Its caller, :mod:`ctiserver.ivr.runtime.runner` on a real
call or :mod:`ctiserver.ivr.simulation.simulate` in a test, carries out the request and steps with the answer. A request
that must outlive the session is a :class:`HandOver`: the state is stored, and any process can go on with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.requests import (
    Answer,
    CallerGone,
    Done,
    Failed,
    Finish,
    HandedBack,
    HandOver,
    Heard,
    Leave,
    Listen,
    Move,
    Phrase,
    Pressed,
    ReadQueues,
    Request,
    Silence,
    Speak,
)
from ctiserver.ivr.language.schema import Node
from ctiserver.ivr.language.sentences import ANY_KEY, in_language
from ctiserver.ivr.language.state import FlowState, PathStep
from ctiserver.ivr.language.visit import Visit, World
from ctiserver.model.expression.expression import Value

#: A node visited so often in one call is in a loop.
MAX_VISITS = 100
_OFFER_S = 5.0


@dataclass(slots=True)
class Turn:
    """What one step gives: the new state, what is asked next, and the visits that ended."""

    state: FlowState
    request: Request
    path: tuple[PathStep, ...] = ()


def begin(flow: Flow, facts: Mapping[str, Value], language: str, world: World, now: datetime) -> Turn:
    """Start a call's flow. ``facts`` holds call, contact, record and number as far as they are known."""
    chosen = language if language in flow.file.languages else flow.file.languages[0]
    empty = FlowState(
        flow=flow.name,
        digest=flow.digest,
        language=chosen,
        facts=facts,
        variables=dict.fromkeys(flow.file.vars),
        node=flow.file.start,
    )
    run = _Run(flow, empty, world, now)
    return run.turn(run.enter(flow.file.start))


def step(flow: Flow, state: FlowState, answer: Answer, *, spent_s: float, world: World, now: datetime) -> Turn:
    """Go on with the answer to the last request, which took ``spent_s`` seconds.

    ``flow`` must be the version that the call began with. Raises AssertionError for an answer that does not fit the
    request; the state is then as it was.
    """
    assert state.digest == flow.digest, "a call finishes on the version that it began with"
    run = _Run(flow, state, world, now)
    if not isinstance(answer, HandedBack):
        run.menu_s += spent_s
    return run.turn(run.answered(answer))


def without_sensitive(flow: Flow, state: FlowState) -> FlowState:
    """A state without what was keyed at sensitive nodes, and without keys that may have been meant for one."""
    if not flow.is_sensitive:
        return state
    variables = {name: None if name in flow.sensitive else value for name, value in state.variables.items()}
    local = {**state.local, "digits": ""} if "digits" in state.local else state.local
    return replace(state, variables=variables, local=local, pressed="")


class _Run:
    """The working copy of a state during one step."""

    __slots__ = ("failed", "flow", "gone", "menu_s", "node", "path", "state", "steps", "visit", "visits")

    def __init__(self, flow: Flow, state: FlowState, world: World, now: datetime) -> None:
        self.flow = flow
        self.state = state
        self.node: Node = flow.nodes[state.node]
        self.visit = Visit.of(state, world, flow, now)
        self.visits = state.visits
        self.steps = state.steps
        self.menu_s = state.menu_s
        self.gone = state.gone
        self.failed = state.failed
        self.path: list[PathStep] = []

    def turn(self, move: Move) -> Turn:
        while isinstance(move, Leave):
            move = self._leave_node(move)
        if self.gone and isinstance(move, Finish):
            move = replace(move, hang_up=False, failed=False, go_to="")
        visit, before = self.visit, self.state
        state = FlowState(  # dataclasses.replace would slow whole simulated calls by a tenth
            flow=before.flow,
            digest=before.digest,
            language=visit.language,
            facts=visit.facts,
            variables=visit.variables,
            node=visit.name,
            local=visit.local,
            pressed=visit.pressed,
            ever_pressed=visit.ever_pressed,
            visits=self.visits,
            noted=before.noted + len(self.path),
            steps=self.steps,
            menu_s=self.menu_s,
            gone=self.gone,
            failed=self.failed,
        )
        if isinstance(move, HandOver):
            state = without_sensitive(self.flow, state)  # it is stored now
        return Turn(state, move, tuple(self.path))

    def answered(self, answer: Answer) -> Move:
        if isinstance(answer, CallerGone):
            return self._hung_up(answer)
        if self.visit.local.pop("reading", False):
            queues = answer.value if isinstance(answer, Done) else {}
            self.visit.local["queues"] = queues
            self.visit.tables = {"queue": queues if isinstance(queues, Mapping) else {}}
            return self.node.enter(self.visit)
        if self.visit.local.get("offer"):
            return self._offered(answer)
        return self.node.answered(self.visit, answer)

    def enter(self, name: str) -> Move:
        visit = self.visit
        visit.name, visit.local, visit.tables = name, {}, {}
        self.node = node = self.flow.nodes[name]
        if self.gone and not node.silent:
            return Finish("hung_up")
        limit = self._limit(name, node)
        if limit:
            return self._fail(limit)
        self.visits = {**self.visits, name: self.visits.get(name, 0) + 1}
        self.steps += 1
        if self.gone:
            visit.local["gone"] = True
        if name in self.flow.queues_read:
            visit.local["reading"] = True
            return ReadQueues(self.flow.queues_read[name])
        return node.enter(visit)

    def _limit(self, name: str, node: Node) -> str:
        if self.visits.get(name, 0) >= MAX_VISITS:
            return "loop"
        if node.safe:
            return ""  # what keeps a call safe is never lost to a limit
        if self.steps >= self.flow.file.max_steps:
            return "max_steps"
        return "max_duration" if self.menu_s > self.flow.file.max_duration.total_seconds() else ""

    def _fail(self, limit: str) -> Move:
        """A limit was reached: ``on_error`` gets the call once, with counters afresh; the second time ends the flow."""
        self._note(f"error: {limit}")
        target = self.flow.file.on_error
        if self.failed or target is None:
            return Finish(f"error: {limit}", failed=True)
        self.failed, self.visits, self.steps, self.menu_s = limit, {}, 0, 0.0
        return self.enter(target)

    def _leave_node(self, leave: Leave) -> Move:
        node, outcome = self.node, leave.outcome
        hidden = node.is_sensitive and leave.to is not None
        self._note("choice" if hidden else f"{outcome}: {leave.detail}"[:80] if leave.detail else outcome)
        if outcome == "noinput_max" and self._is_silent_caller():
            return self._offer()
        target = leave.to or node.target(outcome)
        if target is not None:
            return self.enter(target)
        fallback = self.flow.file.on_error
        if outcome == "error" and fallback is not None and fallback != self.visit.name:
            return self.enter(fallback)
        return Finish(f"error: {leave.detail or outcome}", failed=True)

    def _is_silent_caller(self) -> bool:
        """Nothing was ever pressed, and the author did not say what shall become of those who can't press."""
        return not self.visit.ever_pressed and "noinput_max" not in self.node.on and not self.gone

    def _offer(self) -> Move:
        if self._agent() is None:
            return Finish("silent")
        visit = self.visit
        visit.local = {"offer": True}
        language, text = in_language(ANY_KEY, visit.language)
        return Speak((Phrase(language, (text,)),), True, visit.name, "offer")

    def _offered(self, answer: Answer) -> Move:
        match answer:
            case Heard(keys="") if not self.visit.local.get("listened"):
                self.visit.local["listened"] = True
                return Listen(_OFFER_S)
            case Heard(keys=keys) | Pressed(key=keys) if keys:
                self.visit.take_keys(keys)
                self.visit.pressed = ""
                agent = self._agent()
                self._note("agent wanted")
                return self.enter(agent) if agent is not None else Finish("silent")
            case Silence() | Heard() | Failed():
                return Finish("silent")
        raise AssertionError(f"the offer of an agent was answered {answer!r}")

    def _agent(self) -> str | None:
        return self.flow.file.agent or self.flow.file.on_error

    def _hung_up(self, gone: CallerGone) -> Move:
        if self.gone:
            return Finish("hung_up")
        self.gone = True
        self._note("served" if gone.served else "hangup")
        if gone.served:
            return Finish("served")
        if self.node.final_reason is not None:
            return Finish(self.node.final_reason)
        own = self.node.target("caller_hung_up")
        target = own or self.flow.file.on_hangup
        return self.enter(target) if target is not None else Finish("hung_up")

    def _note(self, outcome: str) -> None:
        flow, visit = self.flow, self.visit
        seq = self.state.noted + len(self.path) + 1
        self.path.append(PathStep(flow.name, flow.version, visit.name, self.node.kind, outcome, visit.now, seq))
