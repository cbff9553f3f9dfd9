"""Keeping the call log: what the PBX says of a call becomes its one entry."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from ctiserver.bus import Bus, Lagged
from ctiserver.clock import Clock
from ctiserver.features.calls.reasons import END_NOT_SEEN, reason_for_none, stated
from ctiserver.model.call_detail import detail
from ctiserver.model.call_entry import CallEntry, PathStep
from ctiserver.model.events import (
    AgentConnected,
    CallEnded,
    CallerEnteredQueue,
    CallEvent,
    CallsMerged,
    CallStarted,
    CallSummary,
    Direction,
    PbxEvent,
    PbxUp,
)
from ctiserver.model.ids import AgentId, CallId, Interface, PbxName
from ctiserver.model.person import FIRST_PBX
from ctiserver.store.database import Database
from ctiserver.store.patience import until_stored
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

#: Events a slow disk may lag behind: at 98 messages and a dozen events a call this is hours of an ordinary day.
_WAITING_EVENTS = 100_000


class CallLogService:
    """Use cases around the call log."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        *,
        going_on: Callable[[PbxName], Collection[CallId]],
        first_pbx: PbxName | None = None,
        missed: Callable[[PbxName, datetime], None] = lambda pbx, since: None,
    ) -> None:
        """``going_on`` gives the calls that a PBX, whose link is up, has now. ``first_pbx`` is the PBX of agents who
        name none; None: there is but one. ``missed`` is told since when something of a PBX's calls may have been
        missed, once what is known is written."""
        self._database = database
        self._bus = bus
        self._clock = clock
        self._going_on = going_on
        self._first_pbx = first_pbx
        self._missed = missed
        self._begun: set[CallId] = set()  #: calls whose entry was made here, until they end

    async def run(self) -> None:
        """Keep the log from the bus' events, until the bus closes."""
        with self._bus.subscribe(CallEvent, PbxUp, limit=_WAITING_EVENTS) as events:
            while True:
                try:
                    async for event in events:
                        await until_stored(partial(self._heard, event), "call log")
                    return
                except Lagged as lagged:
                    # What was missed is found again by the snapshot that follows each connect, and by reconcile.
                    log.error("call_log_lagged", missed=str(lagged))

    async def _heard(self, event: PbxEvent) -> None:
        if isinstance(event, PbxUp):
            await self.settle(event.pbx, epoch=event.epoch)
        elif isinstance(event, CallEvent):
            await self.record(event)

    async def settle(self, pbx: PbxName, *, epoch: datetime | None = None) -> None:
        """Close the entries of calls that ended while nobody looked: before a restart of ours, or of the link.

        ``epoch`` is when the PBX, as it runs now, was started: what began before that ended with the one before.
        """
        now = self._clock.now()
        self._begun.clear()  # of some the end was never seen
        async with self._database.unit_of_work() as uow:
            # read inside: a call that began a moment ago is in the snapshot that came before this event
            going_on = frozenset(self._going_on(pbx))
            unseen = [entry for entry in await uow.calls.incomplete() if entry.pbx == pbx and entry.id not in going_on]
            for entry in unseen:
                restarted = epoch is not None and entry.started_at < epoch
                reason: str | None = "pbx_restarted" if restarted else END_NOT_SEEN
                if await uow.records.of_call(entry.id):
                    reason = None
                await uow.calls.save(
                    replace(
                        entry,
                        ended_at=max(epoch, entry.started_at) if restarted and epoch is not None else now,
                        complete=True,
                        no_record_reason=entry.no_record_reason or reason,
                        detail={
                            **entry.detail,
                            "reconstructed": True,
                            "ended": "pbx_restarted" if restarted else "lost",
                        },
                    )
                )
        if unseen:
            log.warning("calls_ended_unseen", pbx=pbx, calls=len(unseen))
        self._missed(pbx, min((entry.started_at for entry in unseen), default=now))

    async def record(self, event: CallEvent) -> None:
        """Bring the entry of one call up to date."""
        match event:
            case CallStarted():
                await self.begin(
                    event.call_id,
                    pbx=event.pbx,
                    at=event.at,
                    direction=event.direction,
                    ani=event.ani,
                    caller_name=event.caller_name,
                    dnis=event.dnis,
                )
            case CallerEnteredQueue():
                async with self._database.unit_of_work() as uow:
                    entry = await uow.calls.find_to_change(event.call_id)
                    if entry is not None:
                        await uow.calls.save(replace(entry, queue=event.queue))
            case AgentConnected():
                async with self._database.unit_of_work() as uow:
                    entry = await uow.calls.find_to_change(event.call_id)
                    if entry is not None:
                        agent = await self._last_agent(uow, event.pbx, (event.interface,))
                        await uow.calls.save(
                            replace(
                                entry,
                                answered_at=entry.answered_at or event.at,
                                agent_id=agent or entry.agent_id,
                            )
                        )
            case CallsMerged():
                await self._merge(event)
            case CallEnded():
                await self._end(event)
            case _:
                pass  # ringing, holding and the rest are part of the summary that CallEnded brings

    async def begin(
        self,
        call: CallId,
        *,
        pbx: PbxName,
        at: datetime,
        direction: Direction,
        ani: str,
        caller_name: str,
        dnis: str,
    ) -> None:
        """Make the entry, unless it is there: AGI and AMI both tell of a new call, in either order."""
        entry = CallEntry(
            id=call,
            pbx=pbx,
            direction=direction,
            ani=ani,
            caller_name=caller_name,
            dnis=dnis,
            started_at=at,
        )
        if call in self._begun:
            return  # whoever was second needs no transaction to find that out
        async with self._database.unit_of_work() as uow:
            await uow.calls.begin(entry)
        self._begun.add(call)

    async def add_step(self, step: PathStep) -> None:
        """Keep one step of the call's way through its flow."""
        async with self._database.unit_of_work() as uow:
            await uow.calls.add_step(step)

    async def state_reason(self, call: CallId, reason: str) -> None:
        """Say why a call has no record. Raises NotFound."""
        async with self._database.unit_of_work() as uow:
            entry = await uow.calls.lock(call)
            await uow.calls.save(replace(entry, no_record_reason=reason))

    async def _merge(self, event: CallsMerged) -> None:
        async with self._database.unit_of_work() as uow:
            absorbed = await uow.calls.find_to_change(event.absorbed)
            if absorbed is None:
                return
            for record in await uow.records.of_call(event.absorbed):
                await uow.records.link_call(record.id, event.call_id)
            await uow.calls.save(
                replace(absorbed, ended_at=event.at, complete=True, no_record_reason=f"merged:{event.call_id}")
            )

    async def _end(self, event: CallEnded) -> None:
        self._begun.discard(event.call_id)
        if event.reason == "merged":
            return  # CallsMerged said so, and said into which
        summary = event.summary
        async with self._database.unit_of_work() as uow:
            known = await uow.calls.find_to_change(event.call_id)
            last = await self._last_agent(uow, summary.pbx, summary.answered_by)
            linked = bool(await uow.records.of_call(event.call_id))
            await uow.calls.save(
                CallEntry(
                    id=event.call_id,
                    pbx=summary.pbx,
                    direction=summary.direction,
                    ani=summary.ani,
                    caller_name=summary.caller_name,
                    dnis=(known.dnis if known and known.dnis else summary.dnis),
                    started_at=summary.started_at or (known.started_at if known else event.at),
                    answered_at=summary.answered_at,
                    ended_at=summary.ended_at or event.at,
                    outcome=summary.outcome,
                    hangup_by=summary.hangup_by,
                    hangup_cause=summary.hangup_cause,
                    queue=summary.queue_visits[-1].queue if summary.queue_visits else "",
                    agent_id=last or (known.agent_id if known else None),
                    wait_ms=sum(_length_ms(visit.entered_at, visit.left_at) for visit in summary.queue_visits)
                    if summary.queue_visits
                    else None,
                    talk_ms=_talk_ms(summary),
                    contact_id=known.contact_id if known else None,
                    no_record_reason=stated(known) or (None if linked else reason_for_none(summary, event.reason)),
                    complete=True,
                    detail=detail(summary, event.reason),
                )
            )
        if summary.reconstructed or summary.outcome == "voicemail":
            self._missed(summary.pbx, summary.started_at or event.at)

    async def _last_agent(self, uow: UnitOfWork, pbx: PbxName, interfaces: tuple[Interface, ...]) -> AgentId | None:
        """On another PBX a phone of the same name is somebody else's."""
        place = FIRST_PBX if self._first_pbx in (None, pbx) else pbx
        for interface in reversed(interfaces):
            agent = await uow.agents.by_interface(interface, place)
            if agent is not None:
                return agent.id
        return None


def _length_ms(begin: datetime | None, end: datetime | None) -> int:
    return 0 if begin is None or end is None else round((end - begin).total_seconds() * 1000)


def _talk_ms(summary: CallSummary) -> int | None:
    talks = [part for part in summary.segments if part.kind == "talk" and part.party != "caller"]
    return sum(_length_ms(part.started_at, part.ended_at) for part in talks) if talks else None
