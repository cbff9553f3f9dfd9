"""How a session begins: a new call, a call of ours that was answered, or a call that comes back from the dialplan."""

from __future__ import annotations

import structlog

from ctiserver.agi.session import Session
from ctiserver.ivr.language.library import Library
from ctiserver.ivr.language.nodes.leaving import PLACES
from ctiserver.ivr.language.requests import HandedBack, HandOver
from ctiserver.ivr.language.state import FlowState
from ctiserver.ivr.runtime import dialplan
from ctiserver.ivr.runtime.channel_notes import ChannelNotes
from ctiserver.ivr.runtime.deadlines import PORT_TIMEOUT_S, log_failure, while_on_line
from ctiserver.ivr.runtime.engine import Turn, begin, step
from ctiserver.ivr.runtime.kept_states import KeptStates
from ctiserver.ivr.runtime.ports import CallerFacts, PortFailed
from ctiserver.ivr.runtime.rollout import Rollouts
from ctiserver.ivr.runtime.running import FlowContext, FlowFailed, RunningCall
from ctiserver.model.expression.expression import Value
from ctiserver.model.ids import CallId
from ctiserver.site.files import NumberConfig

log = structlog.get_logger(__name__)

_WITHHELD = frozenset({"", "anonymous", "unknown", "restricted", "unavailable", "withheld", "private"})


class SessionStart:
    """Finds a session's flow and its first turn."""

    def __init__(self, context: FlowContext, *, library: Library, rollouts: Rollouts, kept: KeptStates) -> None:
        self._context = context
        self._ports = context.ports
        self._library = library
        self._rollouts = rollouts
        self._kept = kept

    async def start(self, call: CallId, session: Session) -> tuple[RunningCall, Turn]:
        """The session's call, and what it does first. Raises FlowFailed, and what the session raises."""
        result = session.request.query.get("result")
        if result is None:  # a dialplan of before it was in the query
            result = await session.get_variable("CTI_RESULT")
        if result:
            return await self._resume(call, session, result)
        if "called" in session.request.query:
            return await self._begin_outbound(call, session, session.request.query["called"])
        return await self._begin_inbound(call, session)

    async def _begin_inbound(self, call: CallId, session: Session) -> tuple[RunningCall, Turn]:
        request, context = session.request, self._context
        dnis = request.query.get("dnis") or request["dnid"] or request["extension"]
        number = context.site.number(dnis)
        ani = request["callerid"]
        withheld = ani.lower() in _WITHHELD or not ani.strip("+0")
        flow = None if number is None else self._rollouts.flow(number, call if withheld else ani)
        if number is None or flow is None:
            raise FlowFailed(f"the number {dnis!r} leads to no flow; see numbers.yaml")
        try:
            work = self._ports.caller(call, "" if withheld else ani, dnis, context.line(session).pbx)
            known = await while_on_line(session, PORT_TIMEOUT_S, work)
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
                "blocked": known.blocked or context.world.blocked.holds(ani, context.clock.now()),
                "started_at": context.clock.now(),
                "visits_24h": known.visits_24h,
            },
            "contact": known.contact,
            "record": known.record,
            "number": _number_facts(dnis, number),
        }
        language = str((known.contact or {}).get("language") or "") or (number.languages or ("",))[0]
        turn = begin(flow, facts, language, context.world, context.clock.now())
        return RunningCall(id=call, flow=flow, state=turn.state, session=session, notes=ChannelNotes(flow=flow)), turn

    async def _begin_outbound(self, call: CallId, session: Session, key: str) -> tuple[RunningCall, Turn]:
        """Somebody has answered a call that we made."""
        context = self._context
        try:
            known = await while_on_line(session, PORT_TIMEOUT_S, self._ports.called(call, key))
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
                "started_at": context.clock.now(),
                "visits_24h": 0,
            },
            "contact": known.contact,
            "record": known.record,
            "number": _number_facts("", NumberConfig(flow=known.flow)),
        }
        language = str((known.contact or {}).get("language") or "")
        turn = begin(flow, facts, language, context.world, context.clock.now())
        return RunningCall(id=call, flow=flow, state=turn.state, session=session, notes=ChannelNotes(flow=flow)), turn

    async def _resume(self, call: CallId, session: Session, result: str) -> tuple[RunningCall, Turn]:
        context = self._context
        text, path = await self._kept.take_unsaved(call)
        if text is None:
            text = await self._kept.load(call, session)
        if text is None:
            raise FlowFailed("the call came back from the dialplan, but its state is not stored")
        state = state_from(text)
        if state.lost:
            raise FlowFailed("the call came back from the fallback, to which its menu was lost")
        flow = self._library.version(state.flow, state.digest)
        running = RunningCall(
            id=call,
            flow=flow,
            state=state,
            session=session,
            notes=ChannelNotes(flow=flow, result=result, queues_left=None),
            may_be_stored=True,
            path=path,
        )
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
                await log_failure(self._ports.voicemail(call, file, state.language), "voicemail_not_stored")
        turn = step(flow, state, answer, spent_s=0.0, world=context.world, now=context.clock.now())
        return running, turn

    async def _overflow(self, session: Session, result: str) -> HandOver | None:
        """The queue that takes callers whom this one could not even let wait; each queue is tried once."""
        if not result.startswith("queue:") or dialplan.handed_back(result).result not in ("full", "empty"):
            return None
        queues = self._context.site.queues
        name = await session.get_variable("CTI_QUEUE") or ""
        left = (await session.get_variable("CTI_QUEUES_LEFT") or "").split("&")
        following = queues[name].overflow if name in queues else None
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
        config = self._context.site.queues.get(await session.get_variable("CTI_QUEUE") or "")
        return config is not None and config.closing.then == "callback"


def state_from(text: str) -> FlowState:
    """A stored state. Raises FlowFailed for one that can't be read."""
    try:
        return FlowState.from_json(text)
    except ValueError as error:
        raise FlowFailed(str(error)) from None


def _number_facts(dnis: str, number: NumberConfig) -> dict[str, Value]:
    return {
        "dnis": dnis,
        "calendar": number.calendar or "",
        "time_zone": number.time_zone or "",
        "cost_centre": number.cost_centre or "",
    }
