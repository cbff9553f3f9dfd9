"""The engine on a real call: requests become AGI commands and port calls, and the answers go back into the engine.

One session serves one stretch of menu. When the call must wait, talk or leave a message, the state is stored, the
dialplan is told what to do by channel variables (dialplan/cti.conf lists them), ``CTI_DONE`` is set as the last act,
and the session ends. The dialplan comes back with ``CTI_RESULT``, to this process or to another.

``start`` begins a session, ``carry_out`` does one request, ``kept_states`` holds what the dialplan's calls go on with.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import structlog

from ctiserver.agi.session import HungUp, Session
from ctiserver.clock import Clock
from ctiserver.errors import CtiError
from ctiserver.ivr.language.library import Library
from ctiserver.ivr.language.requests import Answer, CallerGone, Finish
from ctiserver.ivr.language.visit import World
from ctiserver.ivr.runtime.carry_out import RequestExecutor
from ctiserver.ivr.runtime.channel_notes import ChannelNotes
from ctiserver.ivr.runtime.deadlines import GRACE_S, log_failure
from ctiserver.ivr.runtime.engine import Turn, step
from ctiserver.ivr.runtime.kept_states import KeptStates
from ctiserver.ivr.runtime.masking import is_sensitive, toggle_mask
from ctiserver.ivr.runtime.ports import FlowPorts, PortFailed
from ctiserver.ivr.runtime.rollout import Rollouts
from ctiserver.ivr.runtime.running import FlowContext, FlowFailed, RunningCall
from ctiserver.ivr.runtime.start import SessionStart, state_from
from ctiserver.ivr.speech.prompts import Shelf
from ctiserver.model.ids import CallId, PbxName, Uniqueid, call_id
from ctiserver.site.load import Site

log = structlog.get_logger(__name__)


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
        self._context = context = FlowContext(site=site, world=world, ports=ports, clock=clock, pbx=pbx)
        self._library = library
        self._rollouts = rollouts
        self._kept = KeptStates(ports)
        self._start = SessionStart(context, library=library, rollouts=rollouts, kept=self._kept)
        self._requests = RequestExecutor(context, shelf=shelf, kept=self._kept, console=console)
        self._active: set[CallId] = set()
        self._ended: dict[CallId, bool] = {}  #: calls that ended before their session here did, and whether served

    @property
    def active(self) -> frozenset[CallId]:
        """The calls whose menu, or whose ``on_hangup``, runs in this process now."""
        return frozenset(self._active)

    def has(self, call: CallId) -> bool:
        """Whether a call's flow goes on here, whatever the store says."""
        return call in self._active or self._kept.has_unsaved(call)

    def configure(self, site: Site, world: World) -> None:
        """Take a new configuration; it holds from each call's next step on."""
        self._context.site, self._context.world = site, world

    async def store_kept(self) -> None:
        """Write down what was kept in memory while the store was away. Raises PortFailed while it still is."""
        await self._kept.store(self._active)

    async def serve(self, session: Session) -> None:
        """Serve one session from its first command to the hand-over, the hang-up or the end.

        Raises FlowFailed where the dialplan must help the caller, and what the session raises.
        """
        call = call_id(self._context.line(session).pbx, Uniqueid(session.request["uniqueid"]))
        with structlog.contextvars.bound_contextvars(call_id=call):
            self._active.add(call)
            try:
                await self._serve(call, session)
            except CtiError:
                await self._hung_up_meanwhile(call)
                raise
            else:
                await self._hung_up_meanwhile(call)
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
            await self._run_on_hangup(call, served)
        finally:
            self._active.discard(call)
            self._ended.pop(call, None)

    async def _hung_up_meanwhile(self, call: CallId) -> None:
        """The end of a call that was told while its session ran: for what that left to the dialplan."""
        served = self._ended.pop(call, None)
        if served is not None:
            try:
                await self._run_on_hangup(call, served)
            except CtiError as error:
                log.error("on_hangup_put_off", reason=str(error))

    async def _run_on_hangup(self, call: CallId, served: bool) -> None:
        """Go on with the state of a call that has ended, if there is one."""
        if await self._kept.finish_deleting(call):
            return
        unsaved, path = await self._kept.take_unsaved(call)
        text = unsaved or await self._kept.load(call, None)
        if text is None:
            return
        state = state_from(text)
        flow = self._library.version(state.flow, state.digest)
        notes = ChannelNotes(flow=flow)
        running = RunningCall(
            id=call, flow=flow, state=state, session=None, notes=notes, may_be_stored=True, path=[*path]
        )
        try:
            await self._run(running, self._step(running, CallerGone(served), spent_s=0.0))
        except PortFailed:
            if unsaved is not None:
                self._kept.put_back(call, unsaved, path)
            raise

    async def _serve(self, call: CallId, session: Session) -> None:
        running, turn = await self._start.start(call, session)
        try:
            await self._run(running, turn)
        except CtiError:
            self._rollouts.ended(running.flow, "failed")
            raise

    async def _run(self, call: RunningCall, turn: Turn) -> None:
        """Carry out requests until the session is over."""
        try:
            while True:
                call.state = turn.state
                call.path += turn.path
                started = self._context.clock.monotonic()
                try:
                    if call.masked is not is_sensitive(call, turn.request):
                        await toggle_mask(self._context, call)
                    answer = await self._carry_out(call, turn)
                except HungUp:
                    session, call.session = call.session, None
                    if session is not None and not session.caller_left:
                        log.warning("flow_session_lost", flow=call.flow.name, node=call.state.node)
                        await self._kept.save_lost(call, turn.request)
                        return
                    answer = CallerGone()
                if answer is None:
                    return
                turn = self._step(call, answer, spent_s=self._context.clock.monotonic() - started)
        finally:
            if call.path:  # of a session that failed, or that left no state
                await log_failure(self._context.ports.add_path(call.id, call.path), "path_not_stored")

    def _step(self, call: RunningCall, answer: Answer, *, spent_s: float) -> Turn:
        context = self._context
        return step(call.flow, call.state, answer, spent_s=spent_s, world=context.world, now=context.clock.now())

    async def _carry_out(self, call: RunningCall, turn: Turn) -> Answer | None:
        """One request; None when the session is over."""
        if isinstance(turn.request, Finish):
            await self._finish(call, turn.request)
            return None
        return await self._requests.carry_out(call, turn.request)

    async def _finish(self, call: RunningCall, finish: Finish) -> None:
        log.info("flow_finished", flow=call.flow.name, reason=finish.reason)
        session = call.session
        if finish.failed and session is not None:
            raise FlowFailed(f"flow {call.flow.name} at {call.state.node}: {finish.reason}")
        gone = any(step.outcome == "hangup" and call.flow.nodes[step.node].final_reason is None for step in call.path)
        if call.may_be_stored:  # before the session's end, so that nobody finds the state when the call has ended
            with nullcontext() if session is None else session.working(GRACE_S):
                await self._kept.delete(call)
            call.path = []
        if session is not None:
            if finish.go_to:
                await session.set_variable("CTI_GOTO", finish.go_to)  # it holds commas
            await session.hand_back({"CTI_DO": "goto" if finish.go_to else "hangup"})
        self._rollouts.ended(call.flow, "abandoned" if gone else "well")  # last: a session that breaks off is not over
