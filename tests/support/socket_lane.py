"""The socket lane: a scripted call of a flow's own tests, told to the real FastAGI server as Asterisk would tell it.

The simulator is the oracle. A call is played there first, and its answers are what the channel answers here; a hang-up
at the n-th request of the engine must leave the same path, records and events as a hang-up there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ctiserver.clock import ManualClock
from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.requests import (
    Answer,
    AnswerCall,
    CallerGone,
    HandedBack,
    HandOver,
    Heard,
    Pressed,
    Silence,
)
from ctiserver.ivr.language.state import PathStep
from ctiserver.ivr.language.visit import World
from ctiserver.ivr.runtime.ports import MemoryPorts, PortRequest
from ctiserver.ivr.simulation.scripted import FlowTest, Player, given_of
from ctiserver.ivr.simulation.simulate import Given, Simulation
from ctiserver.model.ids import CallId
from ctiserver.resources import shipped
from ctiserver.site.files import NumberConfig
from ctiserver.site.load import load_site
from tests.support.eventually import eventually
from tests.support.fake_asterisk import FakeAsterisk
from tests.support.flow_server import FlowServer

#: What the dialplan says of an outcome: the tables of the runner, backwards.
RESULTS = {
    ("queue", "timeout"): "queue:TIMEOUT",
    ("queue", "empty"): "queue:JOINEMPTY",
    ("queue", "full"): "queue:FULL",
    ("queue", "agent_hung_up"): "queue:CONTINUE",
    ("dial", "bye"): "dial:ANSWER",
    ("dial", "nobody"): "dial:NOANSWER",
    ("voicemail", "ok"): "voicemail:DTMF",
}


class Noted(Simulation):
    """A simulation that notes every request with its answer, and may be cut short at the n-th one (from 0)."""

    def __init__(self, flow: Flow, world: World, given: Given, *, cut_at: int | None = None) -> None:
        self.asked: list[tuple[str, object, Answer]] = []
        self.cut_at = cut_at
        super().__init__(flow, world, given)

    @property
    def cut_now(self) -> bool:
        """Whether the caller hangs up at the request that is next."""
        return self.cut_at is not None and len(self.asked) == self.cut_at

    def answer(self, answer: Answer, seconds: float) -> None:
        if self.cut_now:
            answer = CallerGone()
        self.asked.append((self.state.node, self.request, answer))
        super().answer(answer, seconds)

    def _answered(self, request: AnswerCall | PortRequest) -> Answer:
        answer = CallerGone() if self.cut_now else super()._answered(request)
        self.asked.append((self._turn.state.node, request, answer))
        return answer


def simulated(flow: Flow, world: World, test: FlowTest, *, cut_at: int | None = None) -> Noted:
    """The call in the simulator. Cut short, the script's remaining steps come to nothing."""
    player = Player(flow, world, test)
    player.simulation = Noted(flow, world, given_of(test.given), cut_at=cut_at)
    player.play()
    call = player.simulation
    assert isinstance(call, Noted)
    if cut_at is not None and call.cut_now:  # the script's last request waits for whatever comes after it
        call.hung_up()
    return call


@dataclass
class Channel(FakeAsterisk):
    """One session of a scripted call: gives the simulator's answers, and hangs up at the n-th command (from 1)."""

    script: list[Answer] = field(default_factory=list)
    made: Callable[[], int] = lambda: 0  #: how many requests the server has made in this call
    hang_up_at: int | None = None
    requests: list[int] = field(default_factory=list)  #: ``made`` at each command
    _typed: str = ""
    _speaking: int = -1

    def __post_init__(self) -> None:
        self.hang_up_before = self._hangs_up

    def _hangs_up(self, words: list[str]) -> bool:
        self.requests.append(self.made())
        if self.hang_up_at is not None:
            return len(self.requests) == self.hang_up_at
        # As the script says; who hangs up away in the dialplan does so when this session is over.
        return words[0] in ("STREAM", "WAIT") and isinstance(self.script[self.requests[-1] - 1], CallerGone)

    def reply(self, words: list[str]) -> str:
        number = self.requests[-1] - 1
        match words[:2]:
            case ["STREAM", "FILE"]:
                if number != self._speaking:  # a prompt of several files is interrupted in the first
                    answer = self.script[number]
                    assert isinstance(answer, Heard)
                    self._speaking, self._typed = number, answer.keys
                if self._typed:
                    key, self._typed = self._typed[0], self._typed[1:]
                    return f"200 result={ord(key)} endpos=800"
            case ["WAIT", "FOR"]:
                answer = self.script[number]
                assert isinstance(answer, Pressed | Silence)
                return f"200 result={ord(answer.key) if isinstance(answer, Pressed) else 0}"
        return super().reply(words)


@dataclass(frozen=True, slots=True)
class Command:
    """An AGI command of a call, and the engine's request that it served."""

    number: int  #: from 1, over all sessions of the call
    request: int  #: from 0; -1: the flow had not begun
    node: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Called:
    """What a call over the socket left."""

    id: CallId
    commands: tuple[Command, ...]
    waits: bool = False  #: it was cut short, and the flow waited for the PBX's word that the call has ended
    unanswered: bool = False  #: it was cut short at the first command of a session
    resuming: bool = False  #: it was cut short before the flow was gone on with


class SetClock(ManualClock):
    """A clock that the next call finds at another time."""

    def set(self, at: datetime) -> None:
        self._at = at


class Line:
    """Calls of one flow's tests to a server, one after another."""

    def __init__(self, server: FlowServer, flow: Flow, world: World, clock: SetClock) -> None:
        self._server = server
        self._flow = flow
        self._world = world
        self._clock = clock
        self._site = load_site(shipped("config"))
        self._calls = 0

    async def call(
        self, test: FlowTest, played: Noted, *, hang_up_at: int | None = None, how: str = "HANGUP"
    ) -> Called:
        """Make the call that was played in the simulator; away in the dialplan, what happened there happens here."""
        uniqueid, service = self._begin(test), self._server.service
        script = [answer for _, _, answer in played.asked]
        for _, request, _ in played.asked:  # a script that rings an agent means one who is there
            if isinstance(request, HandOver) and request.options.get("as") == "agent":
                self._server.ports.agents[request.target] = f"PJSIP/{request.target}"
        call, began, result = self._server.call_id(uniqueid), len(service.asked), ""
        commands: list[Command] = []
        while True:
            channel = Channel(
                variables={"CTI_RESULT": result} if result else {},
                how=how,
                script=script,
                made=lambda: len(service.asked) - began,
                hang_up_at=None if hang_up_at is None else hang_up_at - len(commands),
            )
            before = len(service.asked) - began
            given = test.given
            await channel.call(
                self._server.port,
                query=f"dnis={given.dialled}",
                uniqueid=uniqueid,
                callerid=given.caller or "unknown",
                calleridname="",
            )
            await eventually(self._active, lambda count: count == 0)
            for words, made in zip(channel.commands, channel.requests, strict=False):
                node = service.asked[began + made - 1][0] if made else ""
                commands.append(Command(len(commands) + 1, made - 1, node, tuple(words)))
            called = Called(call, tuple(commands))
            if hang_up_at is not None and len(commands) >= hang_up_at:
                called = replace(
                    called,
                    waits=call in self._server.ports.states,
                    unanswered=len(channel.commands) == 1,
                    resuming=channel.requests[-1] == before,
                )
                await service.hung_up(call, served=False)  # as AMI tells it, later
                return called
            does = channel.variables.get("CTI_DO", "")
            number = len(service.asked) - began - 1
            answer = script[number] if number < len(script) else None
            if "CTI_DONE" not in channel.variables or does not in ("queue", "dial", "voicemail") or answer is None:
                return called
            if isinstance(answer, CallerGone):
                await service.hung_up(call, served=answer.served)
                return called
            asked = [type(request).__name__ for _, request in service.asked[began:]]
            assert isinstance(answer, HandedBack), f"{test.name}: {answer} at {asked}"
            result = RESULTS.get((does, answer.result), f"{does}:NO_SUCH_STATUS")
            result += f":{answer.facts['place']}" if "place" in answer.facts else ""

    async def _active(self) -> int:
        return self._server.server.active

    def _begin(self, test: FlowTest) -> str:
        """Make the server's world what the test says; gives the new call's uniqueid."""
        given, ports = given_of(test.given), self._server.ports
        for name in MemoryPorts.__dataclass_fields__:
            setattr(ports, name, getattr(given.ports, name))
        ports.facts = given.facts
        languages = (given.language,) if given.language else ()
        number = NumberConfig(flow=self._flow.name, calendar=given.calendar or None, languages=languages)
        self._server.service.configure(replace(self._site, numbers={"*": number}), self._world)
        self._clock.set(given.clock)
        self._calls += 1
        return f"17952{self._calls:05d}.{self._calls}"


def left(ports: MemoryPorts, path: Sequence[PathStep]) -> dict[str, object]:
    """What there is to compare of a call that is over; outcomes without their details, which name the lane."""
    return {
        "path": [f"{step.node} {step.outcome.partition(':')[0]}" for step in path],
        "records": ports.records,
        "events": ports.events,
        "callbacks": ports.callbacks,
        "audio": ports.audio,
    }
