"""Tests beside flows: ``NAME.test.yaml``, played against the simulation, with coverage of nodes and edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from ctiserver.errors import FileFault, Problem
from ctiserver.ivr.language.graph import edges_of
from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.names import CONTACT, DEVICE, RECORD
from ctiserver.ivr.language.node_base import EXHAUSTION, Keys
from ctiserver.ivr.language.requests import Finish, HandedBack, HandOver, Listen, Speak
from ctiserver.ivr.language.visit import World
from ctiserver.ivr.runtime.ports import CallerFacts, MemoryPorts
from ctiserver.ivr.simulation.simulate import DEFAULT_CLOCK, Given, Simulation
from ctiserver.model.expression.expression import DATE, Object, Value, to_text
from ctiserver.strict_yaml import Document, Written, load, parse, suggest

TEST_SUFFIX = ".test.yaml"
#: A scripted call that takes more turns than this has gone astray.
_MAX_TURNS = 2000

Row = dict[str, str | int | float | bool | list[str] | None]


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a clock needs a time zone; write it like 2026-11-23T10:00+08:00")
    return value


class GivenPart(Written):
    """The world when the call begins. Names as in the flow's expressions."""

    caller: str = "13800138000"  #: empty: withheld
    dialled: str = "4008001234"
    clock: Annotated[datetime, Field(strict=False), AfterValidator(_aware)] = DEFAULT_CLOCK
    calendar: str = ""  #: of the dialled number
    language: str = ""
    contact: Row | None = None
    record: Row | None = None
    contacts: tuple[Row, ...] = ()
    records: tuple[Row, ...] = ()
    devices: tuple[Row, ...] = ()
    queues: dict[str, dict[str, int]] = {}  # noqa: RUF012
    agents: tuple[str, ...] = ()  #: logged in
    web: dict[str, Row | None] = {}  # noqa: RUF012 - url → answer, null for 404
    visits_24h: int = 0
    blocked: bool = False
    fails: tuple[
        Literal[
            "find", "open_record", "update_record", "queue_state", "request_callback", "tell", "fetch", "control_audio"
        ],
        ...,
    ] = ()


class StepPart(Written):
    """One thing that happens; exactly one key."""

    hear: str | None = None  #: a node whose prompt is played; node.noinput, node.nomatch for its reprompts
    press: Keys | None = None  #: after the prompt
    interrupt: Keys | None = None  #: during the prompt
    silence: Literal[True] | None = None  #: nothing is pressed until the time-out
    hang_up: Literal[True] | None = None
    queue: Literal["timeout", "empty", "full", "agent_hung_up", "answered", "error"] | None = None
    dial: Literal["bye", "nobody", "answered", "error"] | None = None
    voicemail: Literal["ok", "error"] | None = None

    @model_validator(mode="after")
    def _one(self) -> StepPart:
        if sum(value is not None for value in self.model_dump().values()) != 1:
            raise ValueError(f"a step is one of {', '.join(StepPart.model_fields)}")
        return self

    @property
    def does(self) -> str:
        """Its one key."""
        return next(name for name in StepPart.model_fields if getattr(self, name) is not None)


class RecordThen(Written):
    """A record that must have been opened or changed; fields not named may be anything."""

    type: str | None = None
    fields: dict[str, str | int | float | bool | None] = {}  # noqa: RUF012


Ending = Literal["queue", "dial", "voicemail", "transfer", "hangup", "hung_up", "served", "silent", "error"]


class Then(Written):
    """What must have come of the call; what is not named may be anything."""

    ends: Ending | None = None
    queue: str | None = None
    dialled: str | None = None
    reason: str | None = None
    language: str | None = None
    service_record: RecordThen | None = None
    event: str | None = None
    callback: str | None = None  #: the number that was promised a call
    audio: tuple[str, ...] | None = None
    vars: dict[str, str | int | float | bool | None] = {}  # noqa: RUF012
    path: tuple[str, ...] | None = None  #: nodes in order; others may lie between


class Never(Written):
    """What must not have happened."""

    node: str | None = None
    queue: str | None = None
    service_record: Literal[True] | None = None


class FlowTest(Written):
    """One call and what must come of it."""

    name: Annotated[str, Field(min_length=1)]
    given: GivenPart = GivenPart()
    steps: tuple[StepPart, ...] = ()
    then: Then = Then()
    never: tuple[Never, ...] = ()


class TestFile(Written):
    """``NAME.test.yaml``, beside ``NAME.flow.yaml``"""

    __test__ = False  # no class of tests for pytest
    tests: Annotated[tuple[FlowTest, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Result:
    """What one test gave."""

    test: FlowTest
    failures: tuple[str, ...]
    nodes: frozenset[str]
    edges: frozenset[tuple[str, str]]
    seconds: float  #: on the virtual clock


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the tests of a flow never went through."""

    nodes: tuple[str, ...]
    edges: tuple[str, ...]
    total_nodes: int
    total_edges: int

    @property
    def percent(self) -> float:
        """Share of edges that some test went over."""
        return 100.0 * (1 - len(self.edges) / self.total_edges) if self.total_edges else 100.0


def load_tests(path: Path, flow: Flow) -> tuple[FlowTest, ...]:
    """The tests in a file. Raises FileFault, also for nodes that the flow does not have (CF-061)."""
    document = load(path)
    tests = parse(document, TestFile, prefix="CF").tests
    problems = [problem for index, test in enumerate(tests) for problem in _unknown(document, index, test, flow)]
    if problems:
        raise FileFault(problems)
    return tests


def _unknown(document: Document, index: int, test: FlowTest, flow: Flow) -> Iterator[Problem]:
    named: list[tuple[tuple[str | int, ...], str]] = []
    for number, one in enumerate(test.steps):
        if one.hear is not None:
            named.append((("steps", number, "hear"), one.hear.partition(".")[0]))
    named += [(("never", number, "node"), never.node) for number, never in enumerate(test.never) if never.node]
    named += [(("then", "path", number), name) for number, name in enumerate(test.then.path or ())]
    for path, name in named:
        if name not in flow.nodes:
            place = document.place(("tests", index, *path))
            yield Problem(place, "CF-061", f"the flow has no node {name!r}", suggest(name, flow.nodes))


def play(flow: Flow, world: World, test: FlowTest) -> Result:
    """Play one test in the simulation."""
    player = Player(flow, world, test)
    player.play()
    return player.result()


def coverage(flow: Flow, results: Iterable[Result]) -> Coverage:
    """What a set of results left out. Edges are those that the author wrote, and the way to on_hangup."""
    results = list(results)
    nodes = {name for result in results for name in result.nodes}
    edges = {edge for result in results for edge in result.edges}
    written = {(edge.source, edge.label) for edge in edges_of(flow) if edge.label in _written_labels(flow, edge.source)}
    if flow.file.on_hangup is not None:
        written.add(("*", "on_hangup"))
    return Coverage(
        nodes=tuple(name for name in flow.nodes if name not in nodes),
        edges=tuple(f"{source} → {label}" for source, label in sorted(written - edges)),
        total_nodes=len(flow.nodes),
        total_edges=len(written),
    )


def _written_labels(flow: Flow, name: str) -> set[str]:
    return {label for label, _ in flow.nodes[name].edges()}


@dataclass(slots=True)
class Player:
    """Plays one test; ``simulation`` is the call."""

    flow: Flow
    world: World
    test: FlowTest
    failures: list[str] = field(default_factory=list)
    at: int = 0
    waiting_keys: str = ""
    again: tuple[str, str] | None = None  #: (node, result) of a queue that goes on timing out between announcements
    end: HandOver | Finish | None = None
    simulation: Simulation = field(init=False)

    def __post_init__(self) -> None:
        self.simulation = Simulation(self.flow, self.world, given_of(self.test.given))

    @property
    def step(self) -> StepPart | None:
        return self.test.steps[self.at] if self.at < len(self.test.steps) else None

    def play(self) -> None:
        for _ in range(_MAX_TURNS):
            request = self.simulation.request
            if self.step is not None and self.step.hang_up and not isinstance(request, Finish):
                self.at += 1
                self.simulation.hung_up()
                continue
            match request:
                case Finish():
                    self.end = request
                    break
                case Speak():
                    self._speak(request)
                case Listen():
                    self._listen()
                case HandOver():
                    if not self._handed_over(request):
                        self.end = request
                        break
        else:
            self.failures.append(f"the call did not end within {_MAX_TURNS} turns")
        left = self.test.steps[self.at :]
        if left and not self.failures:
            self.failures.append(f"the call was over before step {self.at + 1}: {_shown(left[0])}")

    def _speak(self, request: Speak) -> None:
        wanted = self.step.hear if self.step is not None else None
        if wanted is not None and wanted in (request.node, f"{request.node}.{request.slot}"):
            self.at += 1
        step = self.step
        if step is not None and step.interrupt is not None:
            self.at += 1
            first = step.interrupt if not request.barge_in else step.interrupt[:1]
            self.waiting_keys = step.interrupt[len(first) :]
            self.simulation.heard(first)
        else:
            self.simulation.heard()

    def _listen(self) -> None:
        step = self.step
        if self.waiting_keys:
            key, self.waiting_keys = self.waiting_keys[0], self.waiting_keys[1:]
            self.simulation.pressed(key)
        elif step is not None and step.press is not None:
            self.at += 1
            self.waiting_keys = step.press[1:]
            self.simulation.pressed(step.press[0])
        elif self.again is not None and self.again[0] == self.simulation.state.node:
            self.simulation.silent()  # an offer in the queue that this caller lets pass
        elif step is not None and step.hear is not None and not self.failures:
            self.failures.append(
                f"step {self.at + 1} waits to hear {step.hear}, but {self.simulation.state.node} listens"
            )
            self.at = len(self.test.steps)
        else:
            if step is not None and step.silence:
                self.at += 1
            self.simulation.silent()

    def _handed_over(self, request: HandOver) -> bool:
        node = self.simulation.state.node
        step = self.step
        result = None
        if step is not None and step.does == request.do:
            self.at += 1
            result = str(getattr(step, request.do))
            self.again = (node, result) if result == "timeout" else None
        elif self.again is not None and self.again[0] == node and request.do == "queue":
            result = self.again[1]
        if result is None:
            return False
        if result == "answered":  # a person answered, and the caller hung up first
            self.simulation.hung_up(served=True)
        else:
            seconds = float(request.options.get("timeout_s", 0) or request.options.get("ring_s", 0) or 30.0)
            place = self.test.given.queues.get(request.target, {}).get("place")
            facts: dict[str, Value] = {"place": place} if place and result == "timeout" else {}
            self.simulation.answer(HandedBack(result, facts), seconds)
        return True

    def result(self) -> Result:
        if self.end is not None:
            self.failures += _disagreements(self.test, self.simulation, self.end)
        path = self.simulation.path
        edges = {(step.node, self._label(step.node, step.outcome)) for step in path}
        if any(step.outcome == "hangup" for step in path):
            edges.add(("*", "on_hangup"))
        nodes = {step.node for step in path} | {self.simulation.state.node}
        seconds = self.simulation.clock.monotonic()
        return Result(self.test, tuple(self.failures), frozenset(nodes), frozenset(edges), seconds)

    def _label(self, node: str, outcome: str) -> str:
        labels = _written_labels(self.flow, node)
        outcome = outcome.partition(":")[0]
        if outcome not in labels and outcome in EXHAUSTION and "exhausted" in labels:
            return "exhausted"
        if outcome == "holiday" and outcome not in labels:
            return "closed"
        if outcome == "hangup" and "caller_hung_up" in labels:
            return "caller_hung_up"
        return outcome


def given_of(part: GivenPart) -> Given:
    """The simulation's world from a test's ``given``."""
    contact = _row(part.contact, CONTACT)
    record = _row(part.record, RECORD)
    tables: dict[str, list[Mapping[str, Value]]] = {
        "contact": [row for item in part.contacts if (row := _row(item, CONTACT)) is not None],
        "record": [row for item in part.records if (row := _row(item, RECORD)) is not None],
        "device": [row for item in part.devices if (row := _row(item, DEVICE)) is not None],
    }
    ports = MemoryPorts(
        tables=tables,
        queues={name: dict(state) for name, state in part.queues.items()},
        agents={name: f"PJSIP/{name}" for name in part.agents},
        web={url: None if answer is None else _values(answer) for url, answer in part.web.items()},
        fails=set(part.fails),
        records=[dict(record)] if record is not None else [],
    )
    known = CallerFacts(contact, record, part.visits_24h, part.blocked)
    return Given(part.caller, part.dialled, part.clock, part.calendar, part.language, known, ports)


def _row(row: Row | None, kind: Object) -> Mapping[str, Value] | None:
    """A row with dates as dates, and ``id`` filled in."""
    if row is None:
        return None
    values = _values(row)
    for name, value in values.items():
        if kind.fields.get(name) == DATE and isinstance(value, str):
            values[name] = date.fromisoformat(value)
    return {"id": f"{kind.name}-1", **values}


def _values(row: Row) -> dict[str, Value]:
    return {name: tuple(value) if isinstance(value, list) else to_value(value) for name, value in row.items()}


def to_value(value: str | int | float | bool | None) -> Value:
    """A YAML scalar as a value of the language, which has no floats."""
    return Decimal(str(value)) if isinstance(value, float) else value


def _disagreements(test: FlowTest, simulation: Simulation, end: HandOver | Finish) -> Iterator[str]:
    then, ports = test.then, simulation.ports
    ends, reason = _ending(end)
    if then.ends is not None and then.ends != ends:
        yield f"ends: {then.ends} is wanted, the call ended in {ends} ({reason}) at {simulation.state.node}"
    target = end.target if isinstance(end, HandOver) else ""
    for name, aim, do in (("queue", then.queue, "queue"), ("dialled", then.dialled, "dial")):
        if aim is not None and not (isinstance(end, HandOver) and end.do == do and target == aim):
            yield f"{name}: {aim} is wanted, the call ended in {ends} {target}".rstrip()
    if then.reason is not None and then.reason != reason:
        yield f"reason: {then.reason} is wanted, it is {reason}"
    if then.language is not None and then.language != simulation.state.language:
        yield f"language: {then.language} is wanted, it is {simulation.state.language}"
    if then.service_record is not None and not any(_record_fits(then.service_record, r) for r in ports.records):
        wanted = then.service_record.model_dump(exclude_defaults=True)
        yield f"service_record: {wanted} is wanted, there is {ports.records}"
    if then.event is not None and then.event not in [event for event, _ in ports.events]:
        yield f"event: {then.event} is wanted, told was {[event for event, _ in ports.events]}"
    if then.callback is not None and then.callback not in [number for number, _ in ports.callbacks]:
        yield f"callback: {then.callback} is wanted, promised was {ports.callbacks}"
    if then.audio is not None and list(then.audio) != ports.audio:
        yield f"audio: {list(then.audio)} is wanted, done was {ports.audio}"
    for name, value in then.vars.items():
        if to_text(simulation.state.variables.get(name)) != to_text(to_value(value)):
            yield f"vars: {name} = {value!r} is wanted, it is {to_text(simulation.state.variables.get(name))!r}"
    visited = [step.node for step in simulation.path] + [simulation.state.node]
    if then.path is not None and not _in_order(then.path, visited):
        yield f"path: {' → '.join(then.path)} is wanted, it was {' → '.join(visited)}"
    yield from _forbidden(test, simulation, visited)


def _forbidden(test: FlowTest, simulation: Simulation, visited: list[str]) -> Iterator[str]:
    for never in test.never:
        if never.node is not None and never.node in visited:
            yield f"never: the call went through {never.node}: {' → '.join(visited)}"
        used = [used for name in visited for used in simulation.flow.nodes[name].used_names()]
        entered = {name for _, what, name, _ in used if what == "queue"}
        if never.queue is not None and never.queue in entered:
            yield f"never: the call was in the queue {never.queue}"
        if never.service_record and simulation.ports.records:
            yield "never: a service record was opened"


def _ending(end: HandOver | Finish) -> tuple[str, str]:
    if isinstance(end, HandOver):
        return end.do, end.target
    if end.failed:
        return "error", end.reason
    if end.go_to:
        return "transfer", end.go_to
    if not end.hang_up:
        return ("served" if end.reason == "served" else "hung_up"), end.reason
    return ("silent" if end.reason == "silent" else "served" if end.reason == "served" else "hangup"), end.reason


def _record_fits(wanted: RecordThen, record: Mapping[str, Value]) -> bool:
    fields = record.get("fields")
    known = fields if isinstance(fields, Mapping) else {}
    return (wanted.type is None or record.get("type") == wanted.type) and all(
        _same(known.get(name), value) for name, value in wanted.fields.items()
    )


def _same(found: Value, wanted: Any) -> bool:
    if isinstance(found, Mapping):  # a thing is named by its serial, number, name or id
        return any(to_text(found.get(key)) == str(wanted) for key in ("serial", "number", "name", "id"))
    return to_text(found) == to_text(to_value(wanted))


def _in_order(wanted: Iterable[str], visited: list[str]) -> bool:
    rest = iter(visited)
    return all(name in rest for name in wanted)


def _shown(step: StepPart) -> str:
    return f"{step.does}: {getattr(step, step.does)}"
