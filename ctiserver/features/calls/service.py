"""Keeping the call log: what the PBX says of a call becomes its one entry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.features.calls.reasons import END_NOT_SEEN, reason_for_none, stated
from ctiserver.model.calls.call_detail import detail
from ctiserver.model.calls.call_entry import MERGED, CallEntry, PathStep
from ctiserver.model.events import (
    AgentConnected,
    CallEnded,
    CallerEnteredQueue,
    CallEvent,
    CallsMerged,
    CallStarted,
    CallSummary,
    PbxUp,
)
from ctiserver.model.ids import AgentId, CallId, Interface, PbxName
from ctiserver.model.person import place_of
from ctiserver.pbx.port import Pbx, current_events
from ctiserver.store.database import Database
from ctiserver.store.patience import until_stored
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

#: So many of those that wait are written in one transaction. With one for each, this service would fall behind where
#: many others write: writers take turns, and flows have as many turns as there are callers.
_TOGETHER = 200
#: So long anyone who asks for a call waits for the log to be where the bus is. Where it is not by then, the database is
#: away, which their own question will tell them.
_BEHIND_S = 5.0
#: What changes an entry: ringing, holding and the rest are part of the summary that CallEnded brings.
_Written = CallStarted | CallerEnteredQueue | AgentConnected | CallsMerged | CallEnded


class Mark:
    """On the bus behind what was published before: the log is to say when it gets here."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()


class CallLogService:
    """Use cases around the call log."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        *,
        going_on: Callable[[PbxName], Collection[CallId]],
        pbxs: Mapping[PbxName, Pbx],
        first_pbx: PbxName | None = None,
        unseen: Callable[[PbxName, datetime], None] = lambda pbx, since: None,
        settled: Callable[[PbxName, datetime, Sequence[CallEntry]], None] = lambda pbx, since, ended: None,
    ) -> None:
        """``going_on`` gives the calls that a PBX of ``pbxs``, whose link is up, has now. ``first_pbx`` is the PBX of
        agents who name none; None: there is but one. ``unseen`` is told since when something of a PBX's calls may not
        have been seen, once what is known is written; ``settled`` the same after a gap, with the entries of the calls
        that ended in it."""
        self._database = database
        self._bus = bus
        self._clock = clock
        self._going_on = going_on
        self._first_pbx = first_pbx
        self._pbxs = pbxs
        self._unseen = unseen
        self._settled = settled
        self._heard_until = clock.now()
        self._begun: set[CallId] = set()  #: calls whose entry was made here, until they end

    async def run(self) -> None:
        """Keep the log from the bus' events, until the bus closes."""
        await self._bus.follow_batches(
            "call-log", (CallEvent, PbxUp, Mark), self._take_in_all, self.resync, at_most=_TOGETHER
        )

    async def _take_in_all(self, events: list[object]) -> None:
        for part in _parts(events):
            await self._take_in(part)

    async def resync(self) -> None:
        """Close the entries of calls that ended, and begin those of the calls that began unheard."""
        going_on = [event for event in current_events(self._pbxs.values()) if isinstance(event, _Written)]
        since = self._heard_until
        for name, pbx in self._pbxs.items():
            if pbx.up:
                await until_stored(partial(self.settle, name, since=since), "call log")
        await self._take_in(going_on)

    async def _take_in(self, part: PbxUp | Mark | list[_Written]) -> None:
        """All of it with one transaction; where that fails, each event by itself, so that one fails alone."""
        if not isinstance(part, list):
            await self._bus.take_in("call-log", part, self._take_in_one)
            return
        if len(part) > 1:
            try:
                await until_stored(partial(self._heard, part), "call log")
            except Exception as error:  # noqa: BLE001 - whose it is, is found by trying each alone
                log.warning("call_events_parted", events=len(part), why=str(error))
            else:
                return
        for event in part:
            await self._bus.take_in("call-log", event, self._take_in_one)

    async def _take_in_one(self, event: PbxUp | Mark | _Written) -> None:
        await until_stored(partial(self._heard, event if isinstance(event, PbxUp | Mark) else [event]), "call log")

    async def caught_up(self) -> None:
        """Wait until what was published so far is in the log, but not for ever."""
        mark = Mark()
        self._bus.publish(mark)
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEHIND_S):
                await mark.reached.wait()

    async def _heard(self, part: PbxUp | Mark | list[_Written]) -> None:
        if isinstance(part, Mark):
            part.reached.set()
            return
        if isinstance(part, PbxUp):
            await self.settle(part.pbx, epoch=part.epoch)
            return
        await self.record(*part)

    async def settle(self, pbx: PbxName, *, epoch: datetime | None = None, since: datetime | None = None) -> None:
        """Close the entries of calls that ended while nobody looked: before a restart of ours, or of the link.

        ``epoch`` is when the PBX, as it runs now, was started: what began before that ended with the one before.
        ``since`` is when we looked away; None: now.
        """
        now = self._clock.now()
        self._begun.clear()  # of some the end was never seen
        async with self._database.unit_of_work() as uow:
            # read inside: a call that began a moment ago is in the snapshot that came before this event
            going_on = frozenset(self._going_on(pbx))
            unseen = [entry for entry in await uow.calls.incomplete() if entry.pbx == pbx and entry.id not in going_on]
            ended: list[CallEntry] = []
            for entry in unseen:
                restarted = epoch is not None and entry.started_at < epoch
                reason: str | None = "pbx_restarted" if restarted else END_NOT_SEEN
                if await uow.records.of_call(entry.id):
                    reason = None
                ended.append(
                    replace(
                        entry,
                        ended_at=max(epoch, entry.started_at) if restarted and epoch is not None else now,
                        complete=True,
                        no_record_reason=entry.no_record_reason or reason,
                        detail={
                            **(entry.detail if isinstance(entry.detail, dict) else {}),  # whatever stands in the row
                            "reconstructed": True,
                            "ended": "pbx_restarted" if restarted else "lost",
                        },
                    )
                )
            await uow.calls.save(*ended)
        if unseen:
            log.warning("calls_ended_unseen", pbx=pbx, calls=len(unseen))
        self._settled(pbx, min((since or now, *(entry.started_at for entry in unseen))), ended)

    async def record(self, *events: _Written) -> None:
        """Bring the entries of calls up to date, all or none."""
        news = [event for event in events if not (isinstance(event, CallStarted) and event.call_id in self._begun)]
        if not news:
            return
        async with self._database.unit_of_work() as uow:
            for event in news:
                if isinstance(event, CallStarted):
                    await uow.calls.begin(_new(event))
            changed = [event for event in news if not isinstance(event, CallStarted)]
            if changed:
                entries = await uow.calls.to_change({_changes(event) for event in changed})
                for event in changed:
                    entry = await self._changed(uow, entries.get(_changes(event)), event)
                    if entry is not None:
                        entries[entry.id] = entry
                await uow.calls.save(*entries.values())
        self._heard_until = self._clock.now()
        for event in news:
            if isinstance(event, CallStarted):
                self._begun.add(event.call_id)
            elif isinstance(event, CallEnded):
                self._begun.discard(event.call_id)
                if event.summary.reconstructed or event.summary.outcome == "voicemail":
                    self._unseen(event.summary.pbx, event.summary.started_at or event.at)

    async def _changed(self, uow: UnitOfWork, entry: CallEntry | None, event: _Written) -> CallEntry | None:
        """The entry after ``event``; None: there is none."""
        if isinstance(event, CallEnded):
            return entry if event.reason == "merged" else await self._ended(uow, entry, event)
        if entry is None:
            return None
        match event:
            case CallerEnteredQueue():
                return replace(entry, queue=event.queue)
            case AgentConnected():
                agent = await self._last_agent(uow, event.pbx, (event.interface,))
                return replace(entry, answered_at=entry.answered_at or event.at, agent_id=agent or entry.agent_id)
            case CallsMerged():
                for record in await uow.records.of_call(event.absorbed):
                    await uow.records.link_call(record.id, event.call_id)
                return replace(entry, ended_at=event.at, complete=True, no_record_reason=f"{MERGED}{event.call_id}")
            case _:
                return entry

    async def begin(self, entry: CallEntry) -> None:
        """Keep the entry, unless it is there: AGI and AMI both tell of a new call, in either order."""
        if entry.id in self._begun:
            return  # anyone who was second needs no transaction to find that out
        async with self._database.unit_of_work() as uow:
            await uow.calls.begin(entry)
        self._begun.add(entry.id)

    async def earlier_calls(self, ani: str, within: timedelta) -> int:
        """How many calls this number has made lately, the one under way aside; 0 for a withheld one.

        Raises StoreUnavailable.
        """
        if not ani:
            return 0
        async with self._database.reading() as uow:
            return max(0, await uow.calls.count_from(ani, self._clock.now() - within) - 1)

    async def add_step(self, step: PathStep) -> None:
        """Keep one step of the call's way through its flow."""
        async with self._database.unit_of_work() as uow:
            await uow.calls.add_step(step)

    async def state_reason(self, call: CallId, reason: str) -> None:
        """Say why a call has no record. Raises NotFound."""
        await self.caught_up()
        async with self._database.unit_of_work() as uow:
            entry = await uow.calls.lock(call)
            await uow.calls.save(replace(entry, no_record_reason=reason))

    async def _ended(self, uow: UnitOfWork, known: CallEntry | None, event: CallEnded) -> CallEntry:
        summary = event.summary
        last = await self._last_agent(uow, summary.pbx, summary.answered_by)
        linked = bool(await uow.records.of_call(event.call_id))
        return CallEntry(
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

    async def _last_agent(self, uow: UnitOfWork, pbx: PbxName, interfaces: tuple[Interface, ...]) -> AgentId | None:
        """On another PBX a phone of the same name is somebody else's."""
        place = place_of(pbx, self._first_pbx)
        for interface in reversed(interfaces):
            agent = await uow.agents.by_interface(interface, place)
            if agent is not None:
                return agent.id
        return None


def _parts(events: Iterable[object]) -> Iterator[PbxUp | Mark | list[_Written]]:
    """What is written together: all that changes entries up to the next PbxUp or mark, which stands by itself."""
    together: list[_Written] = []
    for event in events:
        if isinstance(event, PbxUp | Mark):
            yield together
            yield event
            together = []
        elif isinstance(event, _Written):
            together.append(event)
    yield together


def _changes(event: _Written) -> CallId:
    """The call whose entry is another afterwards."""
    return event.absorbed if isinstance(event, CallsMerged) else event.call_id


def _new(event: CallStarted) -> CallEntry:
    return CallEntry(
        id=event.call_id,
        pbx=event.pbx,
        direction=event.direction,
        ani=event.ani,
        caller_name=event.caller_name,
        dnis=event.dnis,
        started_at=event.at,
    )


def _length_ms(begin: datetime | None, end: datetime | None) -> int:
    return 0 if begin is None or end is None else round((end - begin).total_seconds() * 1000)


def _talk_ms(summary: CallSummary) -> int | None:
    talks = [part for part in summary.segments if part.kind == "talk" and part.party != "caller"]
    return sum(_length_ms(part.started_at, part.ended_at) for part in talks) if talks else None
