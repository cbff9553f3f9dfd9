"""One request of the engine on a real call: as AGI commands, as a port call, or as a hand-over to the dialplan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

import structlog

from ctiserver.agi.session import PromptMissing, Session
from ctiserver.ivr.language.node_base import KEYS
from ctiserver.ivr.language.requests import (
    Answer,
    AnswerCall,
    CallerGone,
    ControlAudio,
    Done,
    Failed,
    Find,
    HandedBack,
    HandOver,
    Heard,
    Listen,
    OpenRecord,
    Phrase,
    Pressed,
    ReadQueues,
    RequestCallback,
    Silence,
    Speak,
    Tell,
)
from ctiserver.ivr.language.sentences import CHOOSE, RECORDED, Sentence
from ctiserver.ivr.runtime import dialplan
from ctiserver.ivr.runtime.deadlines import GRACE_S, PORT_TIMEOUT_S, while_on_line
from ctiserver.ivr.runtime.kept_states import KeptStates
from ctiserver.ivr.runtime.masking import is_in_share, switch_recording
from ctiserver.ivr.runtime.pop import pop_header
from ctiserver.ivr.runtime.ports import PortFailed, PortRequest, ask
from ctiserver.ivr.runtime.running import FlowContext, RunningCall
from ctiserver.ivr.speech.prompts import PromptFile, Shelf

log = structlog.get_logger(__name__)

#: A text that was not spoken ahead is spoken during the call, if that is done within this.
_LIVE_SPEECH_S = 1.5
#: How much longer than its sound a prompt may take to play.
_LATE_S = 0.1


class RequestExecutor:
    """Carries out requests on calls. Each method raises what the session raises."""

    def __init__(
        self, context: FlowContext, *, shelf: Shelf, kept: KeptStates, console: Callable[[], str] | None
    ) -> None:
        self._context = context
        self._ports = context.ports
        self._shelf = shelf
        self._kept = kept
        self._console = console

    async def carry_out(
        self, call: RunningCall, request: AnswerCall | Speak | Listen | PortRequest | HandOver
    ) -> Answer | None:
        """What the request brought; None when the dialplan has the call and the session is over."""
        session = call.session
        match request:
            case HandOver():
                return CallerGone() if session is None else await self._hand_over(call, session, request)
            case AnswerCall() | Speak() | Listen():
                return CallerGone() if session is None else await self._on_line(call, session, request)
            case ReadQueues() | Find() | OpenRecord() | Tell() | RequestCallback() | ControlAudio():
                return await self._ask(call, session, request)
            case _:
                assert_never(request)

    async def _on_line(self, call: RunningCall, session: Session, request: AnswerCall | Speak | Listen) -> Answer:
        match request:
            case AnswerCall():
                await self._answer(call, session)
                await session.set_variables(await call.notes.changes(call.state, session))
                return Done()
            case Speak():
                await self._answer(call, session)
                return await self._speak(call, session, request)
            case Listen():
                notes = await call.notes.changes(call.state, session)
                await session.set_variables(notes, ahead_s=request.timeout_s)
                key = await session.wait_for_digit(request.timeout_s)
                return Pressed(key) if key else Silence()
            case _:
                assert_never(request)

    async def _ask(self, call: RunningCall, session: Session | None, request: PortRequest) -> Answer:
        within_s = request.within_s if isinstance(request, Find) else PORT_TIMEOUT_S
        line = None
        if session is not None and await call.notes.queue_ahead(call.state, session) is not None:
            # what follows may take seconds
            await session.set_variables(await call.notes.changes(call.state, session))
        if session is not None and isinstance(request, ControlAudio):
            line = self._context.line(session)
            if not await switch_recording(session, request):
                return Failed("the PBX records nothing: CTI_REC_DIR is not set there")
        if session is not None and isinstance(request, RequestCallback):
            waited_with = await session.get_variable("QUEUE_PRIO") or ""
            priority = int(waited_with) + 1 if waited_with.isdecimal() else 0
            line = replace(self._context.line(session), priority=priority)
        grace_s = 0.0 if isinstance(request, Find | ReadQueues) else GRACE_S
        try:
            work = ask(self._ports, call.id, request, line)
            done = Done(await while_on_line(session, within_s, work, grace_s))
        except PortFailed as error:
            log.warning("port_failed", request=type(request).__name__, reason=str(error))
            return Failed(str(error))
        if session is not None and isinstance(request, RequestCallback):
            call.notes.promise_callback()
        return done

    async def _answer(self, call: RunningCall, session: Session) -> None:
        if not call.answered:
            await session.answer()  # does nothing to a call that is answered already
            call.answered = True

    async def _speak(self, call: RunningCall, session: Session, request: Speak) -> Answer:
        keys = ""
        for phrase in request.phrases:
            for file in await self._files(session, phrase, _instead(call, request)):
                offset, longest_s = 0, file.seconds + _LATE_S
                await session.set_variables(await call.notes.changes(call.state, session), ahead_s=longest_s)
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
                await while_on_line(session, _LIVE_SPEECH_S, self._shelf.render(missing))
            except PortFailed as late:
                log.warning("prompt_late", reason=str(late))
            missing = self._shelf.unspoken(phrase)
        if missing:
            log.error("prompt_not_spoken", language=phrase.language, texts=[text.text for text in missing])
        return self._shelf.heard(phrase, instead)

    async def _hand_over(self, call: RunningCall, session: Session, request: HandOver) -> Answer | None:
        if request.do == "queue" and self._refuses(request.target):
            return HandedBack("empty", {"reason": "queue closed"})
        variables = await self._variables(session, request)
        if variables is None:
            return HandedBack("nobody")
        if request.do in ("queue", "voicemail"):  # neither answers by itself; a dial is answered by whoever is dialled
            await self._answer(call, session)
        if request.do == "queue":
            recorded = await self._will_record(call, session, request.target)
            variables["CTI_RECORD"] = "talk" if recorded else ""
        if self._console is not None and request.do != "voicemail":
            # inherited by each phone's channel, and by the halves of Local channels on the way to it
            variables["__CTI_POP"] = pop_header(call.state.facts, call.id, self._console())
        if call.notes.has_served and request.do != "voicemail":
            variables["CTI_RESULT"] = ""
        if "CTI_QUEUE" in variables:
            call.notes.written["CTI_QUEUE"] = str(variables["CTI_QUEUE"])
        # The variables first: if we are killed before the state is stored, the fallback finds the queue that was meant.
        notes = await call.notes.changes(call.state, session)
        await session.set_variables({**notes, **variables, "CTI_DO": request.do})
        await self._kept.save(call, session)
        await session.hand_back({})
        return None

    def _refuses(self, queue: str) -> bool:
        """Whether a queue takes no caller any more, since it is closed or closes in a moment."""
        world = self._context.world
        config = self._context.site.queues.get(queue)
        calendar = None if config is None or config.calendar is None else world.calendars.get(config.calendar)
        if config is None or calendar is None:
            return False
        now = self._context.clock.now()
        return any(calendar.at(at).state != "open" for at in (now, now + config.closing.refuse_before))

    async def _will_record(self, call: RunningCall, session: Session, queue: str) -> bool:
        """Whether the talk that follows this queue is recorded; the caller is told so where the site says."""
        config = self._context.site.queues.get(queue)
        if config is None or not is_in_share(call.id, config.record.share):
            return False
        if await session.get_variable("CTI_REC_FILE"):
            return True  # it goes on, and was told
        language = call.state.language
        text = config.record.announce.get(language) or next(iter(config.record.announce.values()), "")
        if text:
            spoken = language if language in config.record.announce else next(iter(config.record.announce))
            await self._speak(call, session, Speak((Phrase(spoken, (text,)),), False, "", "recorded"))
        return True

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
            work = self._ports.agent_interface(request.target, self._context.line(session).pbx)
            return await while_on_line(session, PORT_TIMEOUT_S, work)
        rostered = any(request.target in roster.numbers for roster in self._context.world.rosters.values())
        asked = self._ports.dialable(request.target, rostered=rostered)
        number = await while_on_line(session, PORT_TIMEOUT_S, asked)
        if number is None:
            log.error("not_dialable", digits=len(request.target), why="dialling.yaml, or a contact not to be called")
            return None
        return f"Local/{number}@cti-outbound/n"


def _instead(call: RunningCall, request: Speak) -> Sentence:
    """What is played where a prompt has no sound."""
    return RECORDED if request.slot == "recorded" else call.flow.nodes[call.state.node].instead
