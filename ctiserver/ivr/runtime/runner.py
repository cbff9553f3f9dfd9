"""The engine on a real call: requests become AGI commands and port calls, and the answers go back into the engine.

One session serves one stretch of menu. When the call must wait, talk or leave a message, the state is stored, the
dialplan is told what to do by channel variables (dialplan/cti.conf lists them), ``CTI_DONE`` is set as the last act,
and the session ends. The dialplan comes back with ``CTI_RESULT``, to this process or to another.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TypeVar, assert_never

import structlog

from ctiserver.agi.session import HungUp, PromptMissing, Session
from ctiserver.clock import Clock
from ctiserver.errors import CtiError
from ctiserver.ivr.language.library import Library
from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.node_base import KEYS
from ctiserver.ivr.language.nodes.leaving import PLACES
from ctiserver.ivr.language.nodes.listening import ListeningNode
from ctiserver.ivr.language.requests import (
    Answer,
    AnswerCall,
    CallerGone,
    ControlAudio,
    Done,
    Failed,
    Find,
    Finish,
    HandedBack,
    HandOver,
    Heard,
    Listen,
    OpenRecord,
    Phrase,
    Pressed,
    ReadQueues,
    Request,
    RequestCallback,
    Silence,
    Speak,
    Tell,
)
from ctiserver.ivr.language.sentences import CHOOSE, RECORDED, Sentence
from ctiserver.ivr.language.state import FlowState, PathStep
from ctiserver.ivr.language.visit import World
from ctiserver.ivr.runtime import dialplan
from ctiserver.ivr.runtime.engine import Turn, begin, step
from ctiserver.ivr.runtime.pop import pop_header
from ctiserver.ivr.runtime.ports import CallerFacts, FlowPorts, Line, PortFailed, ask
from ctiserver.ivr.runtime.rollout import Rollouts
from ctiserver.ivr.speech.prompts import PromptFile, Shelf
from ctiserver.model.expression.expression import Value
from ctiserver.model.ids import CallId, PbxName, Uniqueid, call_id
from ctiserver.site.files import NumberConfig
from ctiserver.site.load import Site

log = structlog.get_logger(__name__)
T = TypeVar("T")

#: How long a port may take where the flow does not say; the caller hears nothing meanwhile.
PORT_TIMEOUT_S = 3.0
#: A text that nobody has spoken ahead is spoken during the call, if that is done within this.
_LIVE_SPEECH_S = 1.5
#: How long what is being written may go on when the caller hangs up meanwhile; what is being read is given up at once.
_GRACE_S = 0.05
#: How much longer than its sound a prompt may take to play.
_LATE_S = 0.1
_WITHHELD = frozenset({"", "anonymous", "unknown", "restricted", "unavailable", "withheld", "private"})


class FlowFailed(CtiError):
    """The flow could not serve the caller; the session ends without its mark, and the dialplan's fallback does."""


@dataclass(slots=True)
class _Call:
    """What one session keeps of its call."""

    id: CallId
    flow: Flow
    state: FlowState
    uniqueid: str
    session: Session | None  #: None once the caller is gone
    answered: bool = False
    kept: bool = False  #: a state of it may be stored
    path: list[PathStep] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)  #: channel variables as they were last set
    left: frozenset[str] | None = frozenset()  #: queues that the caller has left; None: the channel has not been asked
    result: str = ""  #: ``CTI_RESULT`` as the channel has it, or is to have it with the next step
    hidden: bool = False  #: silence is written into its recordings, since what is keyed now is nobody's business

    def __post_init__(self) -> None:
        self.told["CTI_RESULT"] = self.result

    @property
    def served(self) -> bool:
        """By a talk, a message or a promise: the fallback thanks who has chosen no queue since."""
        return dialplan.has_served(self.result)


class FlowService:
    """Runs flows for calls: ``serve`` is the AGI handler of the script ``flow``."""

    def __init__(
        self,
        site: Site,
        world: World,
        *,
        library: Library,
        rollouts: Rollouts,
        shelf: Shelf,
        ports: FlowPorts,
        clock: Clock,
        pbx: PbxName,
        console: Callable[[], str] | None = None,
    ) -> None:
        """``console``: where browsers find it, for phones that open the caller's record; None: none are told."""
        self._console = console
        self._site = site
        self._world = world
        self._library = library
        self._rollouts = rollouts
        self._shelf = shelf
        self._ports = ports
        self._clock = clock
        self._pbx = pbx
        self._active: set[CallId] = set()
        self._ended: dict[CallId, bool] = {}  #: calls that ended before their session here did, and whether served
        self._unforgotten: dict[CallId, list[PathStep]] = {}  #: whose flow is over, and whose state still stands
        #: Of calls that the dialplan has: their states, and the path to store with them, while the store is away.
        self._unstored: dict[CallId, tuple[str, list[PathStep]]] = {}
        self._storing = asyncio.Lock()

    @property
    def active(self) -> frozenset[CallId]:
        """The calls whose menu, or whose ``on_hangup``, runs in this process now."""
        return frozenset(self._active)

    def has(self, call: CallId) -> bool:
        """Whether a call's flow goes on here, whatever the store says."""
        return call in self._active or call in self._unstored

    def configure(self, site: Site, world: World) -> None:
        """Take a new configuration; it holds from each call's next step on."""
        self._site, self._world = site, world

    async def serve(self, session: Session) -> None:
        """Serve one session from its first command to the hand-over, the hang-up or the end.

        Raises FlowFailed where the dialplan must help the caller, and what the session raises.
        """
        request = session.request
        pbx = PbxName(request.query.get("pbx") or self._pbx)
        call = call_id(pbx, Uniqueid(request["uniqueid"]))
        with structlog.contextvars.bound_contextvars(call_id=call):
            self._active.add(call)
            try:
                await self._session(call, session)
            except CtiError:
                await self._ended_meanwhile(call)
                raise
            else:
                await self._ended_meanwhile(call)
            finally:
                self._active.discard(call)
                self._ended.pop(call, None)

    async def hung_up(self, call: CallId, *, served: bool) -> None:
        """The call has ended on the PBX. If the dialplan had it, its flow learns of it and ``on_hangup`` runs.

        ``served``: it ended after a talk with a person; then nothing is left to be done. However often it is told,
        ``on_hangup`` runs once, unless the process is killed before the state is forgotten. Raises PortFailed, after
        which nothing was done; FlowFailed and VersionUnknown for a state that nobody can go on with.
        """
        if call in self._active:
            self._ended[call] = served  # for its session, which most often learns of the hang-up by itself
            return
        self._active.add(call)
        try:
            await self._left(call, served)
        finally:
            self._active.discard(call)
            self._ended.pop(call, None)

    async def _ended_meanwhile(self, call: CallId) -> None:
        """The end of a call that was told while its session ran: for what that left to the dialplan."""
        served = self._ended.pop(call, None)
        if served is not None:
            try:
                await self._left(call, served)
            except CtiError as error:
                log.error("on_hangup_put_off", reason=str(error))

    async def _left(self, call: CallId, served: bool) -> None:
        if call in self._unforgotten:
            await self._within(PORT_TIMEOUT_S, self._ports.delete_state(call, self._unforgotten[call]))
            del self._unforgotten[call]
            return
        unstored, path = await self._unstored_state(call)
        text = unstored or await self._within(PORT_TIMEOUT_S, self._ports.load_state(call))
        if text is not None:
            state = self._restored(text)
            flow = self._library.version(state.flow, state.digest)
            running = _Call(call, flow, state, "", None, kept=True, path=[*path])
            turn = step(running.flow, state, CallerGone(served), spent_s=0.0, world=self._world, now=self._clock.now())
            try:
                await self._run(running, turn)
            except PortFailed:
                if unstored is not None:
                    self._unstored[call] = (unstored, path)
                raise

    async def _unstored_state(self, call: CallId) -> tuple[str | None, list[PathStep]]:
        """What was kept in memory of a call, to go on with; nobody stores it any more."""
        if call not in self._unstored:
            return None, []
        async with self._storing:
            return self._unstored.pop(call, (None, []))

    async def store_kept(self) -> None:
        """Write down what was kept in memory while the store was away. Raises PortFailed while it still is."""
        for call in [*self._unstored, *self._unforgotten]:
            async with self._storing:
                if call in self._active:
                    continue
                if call in self._unstored:
                    text, path = self._unstored[call]
                    await self._within(PORT_TIMEOUT_S, self._ports.save_state(call, text, path))
                    del self._unstored[call]
                elif call in self._unforgotten:
                    path = self._unforgotten[call]
                    await self._within(PORT_TIMEOUT_S, self._ports.delete_state(call, path))
                    if self._unforgotten.get(call) is path:
                        del self._unforgotten[call]

    async def _session(self, call: CallId, session: Session) -> None:
        result = session.request.query.get("result")
        if result is None:  # a dialplan of before it was in the query
            result = await session.get_variable("CTI_RESULT")
        if result:
            running, turn = await self._resumed(call, session, result)
        else:
            running, turn = await self._begun(call, session)
        try:
            await self._run(running, turn)
        except CtiError:
            self._rollouts.ended(running.flow, "failed")
            raise

    async def _begun(self, call: CallId, session: Session) -> tuple[_Call, Turn]:
        request = session.request
        if "called" in request.query:
            return await self._called(call, session, request.query["called"])
        dnis = request.query.get("dnis") or request["dnid"] or request["extension"]
        number = self._site.number(dnis)
        ani = request["callerid"]
        withheld = ani.lower() in _WITHHELD or not ani.strip("+0")
        flow = None if number is None else self._rollouts.flow(number, call if withheld else ani)
        if number is None or flow is None:
            raise FlowFailed(f"the number {dnis!r} leads to no flow; see numbers.yaml")
        try:
            work = self._ports.caller(call, "" if withheld else ani, dnis, self._line(session).pbx)
            known = await self._while_on_line(session, PORT_TIMEOUT_S, work)
        except PortFailed as error:
            # Who calls is worth knowing, never worth losing the call for.
            log.warning("caller_unknown", reason=str(error))
            known = CallerFacts()
        facts: dict[str, Value] = {
            "call": {
                "id": str(call),
                "ani": "" if withheld else ani,
                "dnis": dnis,
                "name": request["calleridname"],
                "withheld": withheld,
                "blocked": known.blocked or self._world.blocked.holds(ani, self._clock.now()),
                "started_at": self._clock.now(),
                "visits_24h": known.visits_24h,
            },
            "contact": known.contact,
            "record": known.record,
            "number": _number_facts(dnis, number),
        }
        language = str((known.contact or {}).get("language") or "") or (number.languages or ("",))[0]
        turn = begin(flow, facts, language, self._world, self._clock.now())
        return _Call(call, flow, turn.state, request["uniqueid"], session), turn

    async def _called(self, call: CallId, session: Session, key: str) -> tuple[_Call, Turn]:
        """Somebody has answered a call that we made."""
        try:
            known = await self._while_on_line(session, PORT_TIMEOUT_S, self._ports.called(call, key))
        except PortFailed as error:
            raise FlowFailed(f"a call that was answered has nothing to say: {error}") from error
        flow = self._library.current(known.flow)
        if flow is None:
            raise FlowFailed(f"there is no flow {known.flow!r}")
        facts: dict[str, Value] = {
            "call": {
                "id": str(call),
                "ani": known.number,
                "dnis": known.number,
                "name": "",
                "withheld": False,
                "blocked": False,
                "started_at": self._clock.now(),
                "visits_24h": 0,
            },
            "contact": known.contact,
            "record": known.record,
            "number": _number_facts("", NumberConfig(flow=known.flow)),
        }
        language = str((known.contact or {}).get("language") or "")
        turn = begin(flow, facts, language, self._world, self._clock.now())
        return _Call(call, flow, turn.state, session.request["uniqueid"], session), turn

    async def _resumed(self, call: CallId, session: Session, result: str) -> tuple[_Call, Turn]:
        text, path = await self._unstored_state(call)
        if text is None:
            text = await self._while_on_line(session, PORT_TIMEOUT_S, self._ports.load_state(call))
        if text is None:
            raise FlowFailed("the call came back from the dialplan, but its state is not stored")
        state = self._restored(text)
        if state.lost:
            raise FlowFailed("the call came back from the fallback, to which its menu was lost")
        flow = self._library.version(state.flow, state.digest)
        running = _Call(
            call, flow, state, session.request["uniqueid"], session,
            kept=True, left=None, result=result, path=path,
        )  # fmt: skip
        overflow = await self._overflow(session, result)
        if overflow is not None:
            return running, Turn(state, overflow)
        answer = dialplan.handed_back(result)
        withdrawn = result.startswith("queue:WITHDRAW") and "callback" in flow.nodes[state.node].on
        if withdrawn and await self._calls_back(session):
            answer = HandedBack("callback", {"reason": "queue closed"})
        file = str(answer.facts.get("file", ""))
        if file and answer.result == "ok":
            with session.working(grace_s=PORT_TIMEOUT_S):  # what a caller said is kept, even if they are gone
                await self._quietly(self._ports.voicemail(call, file, state.language), "voicemail_not_stored")
        turn = step(flow, state, answer, spent_s=0.0, world=self._world, now=self._clock.now())
        return running, turn

    async def _overflow(self, session: Session, result: str) -> HandOver | None:
        """The queue that takes callers whom this one could not even let wait; each queue is tried once."""
        if not result.startswith("queue:") or dialplan.handed_back(result).result not in ("full", "empty"):
            return None
        name = await session.get_variable("CTI_QUEUE") or ""
        left = (await session.get_variable("CTI_QUEUES_LEFT") or "").split("&")
        following = self._site.queues[name].overflow if name in self._site.queues else None
        if following is None or following in left:
            return None
        log.info("queue_overflow", queue=name, to=following)
        timeout_s = await session.get_variable("CTI_QUEUE_TIMEOUT") or "0"
        goes_on = await session.get_variable("CTI_QUEUE_BREAK") == "1"
        waited_with = await session.get_variable("QUEUE_PRIO") or "0"
        priority = int(waited_with) % PLACES  # the place among equals, and no precedence over who chose that queue
        return HandOver("queue", following, {"timeout_s": float(timeout_s), "priority": priority, "goes_on": goes_on})

    async def _calls_back(self, session: Session) -> bool:
        """Whether the queue that the caller was taken out of, since it closed, promises to call back."""
        config = self._site.queues.get(await session.get_variable("CTI_QUEUE") or "")
        return config is not None and config.closing.then == "callback"

    def _refuses(self, queue: str) -> bool:
        """Whether a queue takes nobody any more, since it is closed or closes in a moment."""
        config = self._site.queues.get(queue)
        calendar = None if config is None or config.calendar is None else self._world.calendars.get(config.calendar)
        if config is None or calendar is None:
            return False
        now = self._clock.now()
        return any(calendar.at(at).state != "open" for at in (now, now + config.closing.refuse_before))

    def _restored(self, text: str) -> FlowState:
        try:
            return FlowState.from_json(text)
        except ValueError as error:
            raise FlowFailed(str(error)) from None

    async def _run(self, call: _Call, turn: Turn) -> None:
        """Carry out requests until the session is over."""
        try:
            while True:
                call.state = turn.state
                call.path += turn.path
                started = self._clock.monotonic()
                try:
                    if call.hidden is not _is_sensitive(call, turn.request):
                        await self._hide(call)
                    answer = await self._carry_out(call, turn)
                except HungUp:
                    session, call.session = call.session, None
                    if session is not None and not session.caller_left:
                        await self._lost(call, turn.request)
                        return
                    answer = CallerGone()
                if answer is None:
                    return
                turn = step(
                    call.flow,
                    call.state,
                    answer,
                    spent_s=self._clock.monotonic() - started,
                    world=self._world,
                    now=self._clock.now(),
                )
        finally:
            if call.path:  # of a session that failed, or that left no state
                await self._quietly(self._ports.add_path(call.id, call.path), "path_not_stored")

    async def _lost(self, call: _Call, request: Request) -> None:
        """The session is over, and the caller may be in the fallback's hands: ``on_hangup`` waits for the call's end.

        What was being handed over is as it would be had the server been killed: the dialplan may come back with it.
        """
        log.warning("flow_session_lost", flow=call.flow.name, node=call.state.node)
        state = replace(call.state, lost=not isinstance(request, HandOver))
        self._unforgotten.pop(call.id, None)
        try:
            await self._within(PORT_TIMEOUT_S, self._ports.save_state(call.id, state.to_json(), call.path))
            call.path = []
        except PortFailed as error:
            log.error("state_not_stored", reason=str(error))

    async def _carry_out(self, call: _Call, turn: Turn) -> Answer | None:
        """One request; None when the session is over."""
        request, session = turn.request, call.session
        match request:
            case Finish():
                await self._finish(call, request)
                return None
            case HandOver():
                return await self._hand_over(call, request)
            case AnswerCall() | Speak() | Listen():
                if session is None:
                    return CallerGone()
                if isinstance(request, AnswerCall):
                    await self._answer(call, session)
                    await session.set_variables(await self._notes(call, session))
                    return Done()
                if isinstance(request, Speak):
                    await self._answer(call, session)
                    return await self._speak(call, session, request)
                await session.set_variables(await self._notes(call, session), ahead_s=request.timeout_s)
                key = await session.wait_for_digit(request.timeout_s)
                return Pressed(key) if key else Silence()
            case ReadQueues() | Find() | OpenRecord() | Tell() | RequestCallback() | ControlAudio():
                within_s = request.within_s if isinstance(request, Find) else PORT_TIMEOUT_S
                line = None
                if session is not None and await self._queue_ahead(call, session) is not None:
                    await session.set_variables(await self._notes(call, session))  # what follows may take seconds
                if session is not None and isinstance(request, ControlAudio):
                    line = self._line(session)
                    if not await self._switched(session, request):
                        return Failed("the PBX records nothing: CTI_REC_DIR is not set there")
                if session is not None and isinstance(request, RequestCallback):
                    waited_with = await session.get_variable("QUEUE_PRIO") or ""
                    line = replace(self._line(session), priority=int(waited_with) + 1 if waited_with.isdecimal() else 0)
                grace_s = 0.0 if isinstance(request, Find | ReadQueues) else _GRACE_S
                try:
                    work = ask(self._ports, call.id, request, line)
                    done = Done(await self._while_on_line(session, within_s, work, grace_s))
                except PortFailed as error:
                    log.warning("port_failed", request=type(request).__name__, reason=str(error))
                    return Failed(str(error))
                if session is not None and isinstance(request, RequestCallback):
                    call.result = dialplan.PROMISED
                    call.told.pop("CTI_QUEUE", None)
                return done
            case _:
                assert_never(request)

    async def _answer(self, call: _Call, session: Session) -> None:
        if not call.answered:
            await session.answer()  # does nothing to a call that is answered already
            call.answered = True

    def _line(self, session: Session) -> Line:
        return Line(PbxName(session.request.query.get("pbx") or self._pbx), session.request["channel"])

    async def _switched(self, session: Session, request: ControlAudio) -> bool:
        """Start or stop the recording, which is the dialplan's; whether it is as it was asked."""
        if request.action not in ("start", "stop"):
            return True
        await session.execute("GOSUB", "cti-record", request.action, 1)
        return request.action == "stop" or bool(await session.get_variable("CTI_REC_FILE"))

    async def _hide(self, call: _Call) -> None:
        """Silence in the recordings while a sensitive node listens, sound again after it.

        Where silence can't be had the recording ends: what was to be hidden is worth more than the rest.
        """
        session, hide = call.session, not call.hidden
        if session is None:
            call.hidden = hide
            return
        try:
            work = self._ports.control_audio(call.id, "hide" if hide else "show", self._line(session))
            await self._while_on_line(session, PORT_TIMEOUT_S, work, _GRACE_S)
        except PortFailed as error:
            log.error("recording_not_masked" if hide else "recording_stays_masked", reason=str(error))
            if not hide:
                return  # tried again with the next request
            await session.execute("GOSUB", "cti-record", "stop", 1)
        call.hidden = hide
        await session.set_variables({"CTI_REC_HIDDEN": "1" if hide else ""})

    async def _records(self, call: _Call, session: Session, queue: str) -> bool:
        """Whether the talk that follows this queue is recorded; the caller is told so where the site says."""
        config = self._site.queues.get(queue)
        if config is None or not _is_chosen(call.id, config.record.share):
            return False
        if await session.get_variable("CTI_REC_FILE"):
            return True  # it goes on, and was told
        language = call.state.language
        text = config.record.announce.get(language) or next(iter(config.record.announce.values()), "")
        if text:
            spoken = language if language in config.record.announce else next(iter(config.record.announce))
            await self._speak(call, session, Speak((Phrase(spoken, (text,)),), False, "", "recorded"))
        return True

    async def _speak(self, call: _Call, session: Session, request: Speak) -> Answer:
        keys = ""
        for phrase in request.phrases:
            for file in await self._files(session, phrase, _instead(call, request)):
                offset, longest_s = 0, file.seconds + _LATE_S
                await session.set_variables(await self._notes(call, session), ahead_s=longest_s)
                while True:
                    try:
                        key, offset = await session.stream_file(file.path, KEYS, offset=offset, longest_s=longest_s)
                    except PromptMissing as missing:
                        log.error("prompt_missing", node=request.node, file=file.path, reason=str(missing))
                        await session.beep()
                        break
                    keys += key
                    if key and request.barge_in:
                        return Heard(keys)
                    if not key:
                        break
        return Heard(keys)

    async def _files(self, session: Session, phrase: Phrase, instead: Sentence) -> list[PromptFile]:
        missing = self._shelf.unspoken(phrase)
        if missing:
            try:
                await self._while_on_line(session, _LIVE_SPEECH_S, self._shelf.render(missing))
            except PortFailed as late:
                log.warning("prompt_late", reason=str(late))
            missing = self._shelf.unspoken(phrase)
        if missing:
            log.error("prompt_not_spoken", language=phrase.language, texts=[text.text for text in missing])
        return self._shelf.heard(phrase, instead)

    async def _notes(self, call: _Call, session: Session) -> dict[str, str]:
        """What the channel does not know yet of where it stands: the fallback reads it when the server is gone."""
        language = call.state.language
        notes = {
            "CTI_STAGE": f"{call.flow.name}.{call.state.node}",
            "CTI_LANGUAGE": language,
            "CHANNEL(language)": language.partition("-")[0],
        }
        queue = await self._queue_ahead(call, session)
        if queue is not None:
            notes["CTI_QUEUE"] = queue
            if call.served:
                call.result = ""  # they have chosen to talk with somebody again
        notes["CTI_RESULT"] = call.result
        new = {name: value for name, value in notes.items() if call.told.get(name) != value}
        call.told.update(new)
        return new

    async def _queue_ahead(self, call: _Call, session: Session) -> str | None:
        """The queue that the caller is on the way to, if the channel has to be told: never one that was left."""
        ahead = call.flow.queues_wanted if call.served else call.flow.queues_ahead
        queue = ahead.get(call.state.node)
        if queue is None or queue == call.told.get("CTI_QUEUE"):
            return None
        if call.left is None:
            call.left = frozenset((await session.get_variable("CTI_QUEUES_LEFT") or "").split("&"))
        return None if queue in call.left else queue

    async def _hand_over(self, call: _Call, request: HandOver) -> Answer | None:
        session = call.session
        if session is None:
            return CallerGone()
        if request.do == "queue" and self._refuses(request.target):
            return HandedBack("empty", {"reason": "queue closed"})
        variables = await self._variables(session, request)
        if variables is None:
            return HandedBack("nobody")
        if request.do in ("queue", "voicemail"):  # neither answers by itself; a dial is answered by whoever is dialled
            await self._answer(call, session)
        if request.do == "queue":
            recorded = await self._records(call, session, request.target)
            variables["CTI_RECORD"] = "talk" if recorded else ""
        if self._console is not None and request.do != "voicemail":
            # inherited by each phone's channel, and by the halves of Local channels on the way to it
            variables["__CTI_POP"] = pop_header(call.state.facts, call.id, self._console())
        if call.served and request.do != "voicemail":
            variables["CTI_RESULT"] = ""
        if "CTI_QUEUE" in variables:
            call.told["CTI_QUEUE"] = str(variables["CTI_QUEUE"])
        # The variables first: if we are killed before the state is stored, the fallback finds the queue that was meant.
        await session.set_variables({**await self._notes(call, session), **variables, "CTI_DO": request.do})
        call.kept = True
        text = call.state.to_json()
        try:
            work = self._ports.save_state(call.id, text, call.path)
            await self._while_on_line(session, PORT_TIMEOUT_S, work, _GRACE_S)
            call.path = []
        except PortFailed as error:
            # Nobody waits for the store. Should we be killed as well, the fallback knows where the caller was to go.
            log.error("state_kept_in_memory", reason=str(error))
            self._unstored[call.id] = (text, call.path)
        await session.hand_back({})
        return None

    async def _variables(self, session: Session, request: HandOver) -> dialplan.Variables | None:
        """The channel variables for a hand-over; None where there is nobody to dial."""
        match request.do:
            case "queue":
                return dialplan.for_queue(request)
            case "voicemail":
                return dialplan.for_voicemail(request)
            case "dial":
                target = await self._dial_target(session, request)
                if target is None:
                    return None
                announce = request.announce
                files = [] if announce is None else await self._files(session, announce, CHOOSE)
                return dialplan.for_dial(request, target, "&".join(file.path for file in files))
            case _:
                assert_never(request.do)

    async def _dial_target(self, session: Session, request: HandOver) -> str | None:
        if request.options.get("as") == "agent":
            work = self._ports.agent_interface(request.target, self._line(session).pbx)
            return await self._while_on_line(session, PORT_TIMEOUT_S, work)
        rostered = any(request.target in roster.numbers for roster in self._world.rosters.values())
        asked = self._ports.dialable(request.target, rostered=rostered)
        number = await self._while_on_line(session, PORT_TIMEOUT_S, asked)
        if number is None:
            log.error("not_dialable", digits=len(request.target), why="dialling.yaml, or a contact not to be called")
            return None
        return f"Local/{number}@cti-outbound/n"

    async def _finish(self, call: _Call, finish: Finish) -> None:
        log.info("flow_finished", flow=call.flow.name, reason=finish.reason)
        session = call.session
        if finish.failed and session is not None:
            raise FlowFailed(f"flow {call.flow.name} at {call.state.node}: {finish.reason}")
        gone = any(step.outcome == "hangup" and step.kind != "hangup" for step in call.path)
        if call.kept:  # before the session's end, so that nobody finds the state when the call has ended
            with nullcontext() if session is None else session.working(_GRACE_S):
                await self._forget(call)
            call.path = []
        if session is not None:
            if finish.go_to:
                await session.set_variable("CTI_GOTO", finish.go_to)  # it holds commas
            await session.hand_back({"CTI_DO": "goto" if finish.go_to else "hangup"})
        self._rollouts.ended(call.flow, "abandoned" if gone else "well")  # last: a session that breaks off is not over

    async def _forget(self, call: _Call) -> None:
        try:
            await self._within(PORT_TIMEOUT_S, self._ports.delete_state(call.id, call.path))
        except PortFailed as error:
            log.error("state_not_deleted", reason=str(error))
            self._unforgotten[call.id] = [*self._unforgotten.get(call.id, ()), *call.path]

    async def _quietly(self, work: Awaitable[None], event: str) -> None:
        """What is worth having but not worth a call."""
        try:
            await self._within(PORT_TIMEOUT_S, work)
        except PortFailed as error:
            log.error(event, reason=str(error))

    async def _while_on_line(
        self, session: Session | None, seconds: float, work: Awaitable[T], grace_s: float = 0.0
    ) -> T:
        """What work gives; given up ``grace_s`` after the caller hung up, which raises HungUp."""
        if session is None:
            return await self._within(seconds, work)
        with session.working(grace_s):
            return await self._within(seconds, work)

    async def _within(self, seconds: float, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError:
            raise PortFailed(f"it took longer than {seconds:g} s") from None


def _is_sensitive(call: _Call, request: Request) -> bool:
    """Whether what is heard while this request is carried out is not to be in a recording."""
    node = call.flow.nodes[call.state.node]
    return isinstance(node, ListeningNode) and node.sensitive and not isinstance(request, Finish)


def _instead(call: _Call, request: Speak) -> Sentence:
    """What is played where a prompt has no sound."""
    return RECORDED if request.slot == "recorded" else call.flow.nodes[call.state.node].instead


def _is_chosen(call: CallId, share: int) -> bool:
    """Whether a call belongs to a share in percent; the same each time it is asked."""
    return share > 0 and int.from_bytes(hashlib.sha256(call.encode()).digest()[:4], "big") % 100 < share


def _number_facts(dnis: str, number: NumberConfig) -> dict[str, Value]:
    return {
        "dnis": dnis,
        "calendar": number.calendar or "",
        "time_zone": number.time_zone or "",
        "cost_centre": number.cost_centre or "",
    }
