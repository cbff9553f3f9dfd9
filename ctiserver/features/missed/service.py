"""Who left unserved becomes one callback a number and open period, which ends by itself when they get through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.model import numbers
from ctiserver.model.calls import call_detail
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.calls.missed import IN_VAIN, MissedCall, MissedFigures, MissedState, missed_figures
from ctiserver.model.events import AgentConnected, CallEnded, CallEvent, CallStarted, CallSummary
from ctiserver.model.ids import AgentId, CallId, PbxName, RecordId, new_ulid
from ctiserver.model.work.record import Record
from ctiserver.pbx.port import Pbx, current_events
from ctiserver.store.database import Database
from ctiserver.store.patience import now_and_again, until_stored
from ctiserver.store.repositories.processes import ProcessRow
from ctiserver.store.setting_aside import SettingAside
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

#: The process that calls back, and what it is told when the caller was quicker.
CALLBACK = "callback"
GOT_THROUGH = "got_through"
#: How a callback's process ends when it reached the caller.
_REACHED = frozenset({"called_back", GOT_THROUGH})
_SETTLE_EVERY_S = 30.0
#: Kinds of work that is set aside: a call in the log that can't be taken in, and a missed call that can't be closed.
_CALL, _SETTLED = "missed_call", "missed_call_settled"
#: What we may not have been told of is sought in the call log from so long before the last missed call: of two PBXs
#: the ends of calls come in turn, not in order. Where there is none yet, so far back.
_OVERLAP = timedelta(hours=1)
_FIRST_LOOK_BACK = timedelta(days=1)
#: Calls under way whose numbers are kept; those beyond are looked up.
_RECENT_CALLS = 10_000


class OpenRecord(Protocol):
    """Opens the record that messages become, for a call, or finds the one that is open; commits with ``uow``."""

    async def __call__(self, uow: UnitOfWork, call: CallEntry, *, owner: AgentId | None) -> Record: ...


#: Promises on a record that a number, which waited for a queue, is called back for a missed call; commits with the unit
#: of work.
PromiseCallback = Callable[[UnitOfWork, RecordId, str, str, CallId], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class OwedCallback:
    """Where the callback for a missed call stands."""

    number: str  #: of the order
    state: str
    attempt: int


class Missed:
    """Every missed call."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        *,
        pbxs: Mapping[PbxName, Pbx],
        region: str,
        period_began: Callable[[str, str, datetime], datetime],
        open_record: OpenRecord,
        promise: PromiseCallback,
        record_changed: Callable[[Record], None],
        changed: Callable[[], object],
        told_later: Callable[[PbxName], bool] = lambda pbx: False,
        aside: SettingAside | None = None,
    ) -> None:
        """``period_began`` says when the hours began in which a call to a number, for a queue, at a time falls.
        ``changed`` is told that the missed calls are others now; it must not wait. ``told_later``: whether what became
        of a PBX's calls that ended unseen will be told by its own log, to :meth:`ended`."""
        self._database = database
        self._bus = bus
        self._clock = clock
        self._pbxs = pbxs
        self._region = region
        self._period_began = period_began
        self._open_record = open_record
        self._promise = promise
        self._record_changed = record_changed
        self._changed = changed
        self._told_later = told_later
        self._aside = aside or SettingAside(database, clock)
        self._aside.add_kind(_CALL)
        self._aside.add_kind(_SETTLED)
        self._parties: dict[CallId, str] = {}  #: the numbers of those outside, of calls under way

    async def run(self) -> None:
        """Follow the calls until the bus closes."""
        kinds = (CallStarted, CallEnded, AgentConnected)
        await self._bus.follow("missed-calls", kinds, self._take_in, self.resync, begin=self._begin)

    async def _begin(self) -> None:
        await until_stored(self.catch_up, "missed calls")

    async def resync(self) -> None:
        """Take the calls that go on from the links to the PBXs, and those that ended from the call log."""
        going_on = current_events(self._pbxs.values())
        self._parties.clear()
        for event in going_on:
            if isinstance(event, CallStarted | AgentConnected):
                await self._take_in(event)
        await self._begin()

    async def _take_in(self, event: CallEvent) -> None:
        await until_stored(partial(self.heard, event), "missed call")

    async def catch_up(self) -> None:
        """Take in the calls which the call log has as missed, and which we were not told of: killed before the
        event was heard, or too far behind. Raises StoreUnavailable.
        """
        async with self._database.reading() as uow:
            last_at = await uow.missed_calls.last_at()
            since = self._clock.now() - _FIRST_LOOK_BACK if last_at is None else last_at - _OVERLAP
            ended = await uow.calls.ended(IN_VAIN, since)
        unheard: list[CallEntry] = []
        for entry in ended:
            await self._aside.contain(_CALL, entry.id, partial(self._catch_up_on, entry, unheard), about=entry.ani)
        if unheard:
            log.warning("missed_calls_found_in_the_log", calls=len(unheard))

    async def _catch_up_on(self, entry: CallEntry, unheard: list[CallEntry]) -> None:
        async with self._database.reading() as uow:
            if await self._settled(uow, entry):
                return
        await self.ended(call_detail.summary(entry))
        unheard.append(entry)

    async def heard(self, event: CallEvent) -> None:
        """Take in one event of a call. Raises StoreUnavailable."""
        match event:
            case CallStarted():
                party = event.dnis if event.direction == "outbound" else event.ani
                self._parties[event.call_id] = party
                if len(self._parties) > _RECENT_CALLS:
                    del self._parties[next(iter(self._parties))]
            case AgentConnected():
                await self.connected(event.call_id)
            case CallEnded():
                self._parties.pop(event.call_id, None)
                if event.reason != "lost" or not self._told_later(event.pbx):
                    await self.ended(event.summary)
            case _:
                pass

    async def ended(self, summary: CallSummary) -> MissedCall | None:
        """A call is over; what it left behind if its caller went unserved."""
        number = numbers.normal(summary.ani, self._region)
        if summary.direction != "inbound" or summary.outcome not in IN_VAIN or number is None:
            return None
        at = summary.ended_at or self._clock.now()
        async with self._database.unit_of_work() as uow:
            entry = await uow.calls.find(summary.call_id) or _entry(summary, at)
            queue = summary.queue_visits[-1].queue if summary.queue_visits else ""
            began_at = self._period_began(entry.dnis, queue, at)
            known = await uow.missed_calls.of_period(number, began_at)
            if known is not None and await _is_counted(uow, known, summary.call_id, at):
                return known
            if known is not None and known.state == "open":
                missed = replace(
                    known, calls=known.calls + 1, last_at=at, call_id=summary.call_id, queue=queue or known.queue
                )
                await uow.records.link_call(known.record_id, summary.call_id)
                record = await uow.records.get(known.record_id)
            else:
                record = await self._record(uow, entry, number)
                missed = MissedCall(
                    id=known.id if known is not None else new_ulid(self._clock.now()),
                    number=number,
                    period_began_at=began_at,
                    queue=queue,
                    record_id=record.id,
                    call_id=summary.call_id,
                    calls=1 if known is None else known.calls + 1,
                    missed_at=at,
                    last_at=at,
                )
                await self._promise(uow, missed.record_id, number, queue, summary.call_id)
            await uow.missed_calls.save(missed)
        self._record_changed(record)
        self._changed()
        log.info("call_missed", call_id=summary.call_id, queue=queue, calls=missed.calls)
        return missed

    async def connected(self, call_id: CallId) -> None:
        """Somebody talks: if it is with one who is owed a call back, they have got through."""
        async with self._database.reading() as uow:
            party = self._parties.get(call_id, "")
            if not party:  # begun before we came, or a call outward whose number the log was told
                entry = await uow.calls.find(call_id)
                party = "" if entry is None else entry.dnis if entry.direction == "outbound" else entry.ani
            number = numbers.normal(party, self._region)
            owed = await uow.missed_calls.open_of(number) if number is not None else []
        if not owed:
            return
        now = self._clock.now()
        async with self._database.unit_of_work() as uow:
            for missed in owed:
                await uow.missed_calls.save(
                    replace(missed, state="recovered", ended_at=now, ended_by=f"call:{call_id}")
                )
                running = [
                    it for it in await uow.processes.of_record(missed.record_id) if _owes(it) and not it.closed_at
                ]
                # One whose start is still on its way comes before this, in the order of the outbox.
                to = {"process_id": running[-1].id} if running else {"record_id": missed.record_id}
                await uow.outbox.add(
                    "process_signal",
                    f"{GOT_THROUGH}/{missed.id}/{call_id}",
                    {**to, "event": GOT_THROUGH, "event_id": f"{GOT_THROUGH}/{call_id}"},
                    now,
                )
        self._changed()

    async def settle(self) -> None:
        """Close, until cancelled, what a callback has come to an end without or with the caller reached."""
        await asyncio.sleep(_SETTLE_EVERY_S)
        await now_and_again(self.settle_now, _SETTLE_EVERY_S, "missed_calls_not_settled")

    async def settle_now(self) -> None:
        """Those whose callback has ended are over."""
        ended: list[MissedCall] = []
        async with self._database.reading() as uow:
            open_ = await uow.missed_calls.still_open()
        for missed in open_:
            work = partial(self._settle_one, missed, ended)
            await self._aside.contain(_SETTLED, missed.id, work, about=missed.number, record_id=missed.record_id)
        if ended:
            self._changed()

    async def _settle_one(self, missed: MissedCall, all_ended: list[MissedCall]) -> None:
        async with self._database.reading() as uow:
            if self._how_ended(missed, await uow.processes.of_record(missed.record_id)) is None:
                return
        async with self._database.unit_of_work() as uow:
            known = await uow.missed_calls.lock(missed.id)
            how = self._how_ended(known, await uow.processes.of_record(known.record_id))
            if how is None or known.state != "open":
                return
            await uow.missed_calls.save(replace(known, state=how[0], ended_at=how[1], ended_by=how[2]))
        all_ended.append(missed)

    @staticmethod
    def _how_ended(
        missed: MissedCall, all_processes: list[ProcessRow]
    ) -> tuple[MissedState, datetime | None, str] | None:
        """The state, the time and the end of its callback's processes; None while one runs, or none was."""
        processes = [it for it in all_processes if _owes(it)]
        ended = [it for it in processes if it.closed_at is not None and it.closed_at >= missed.missed_at]
        if not ended or any(it.closed_at is None for it in processes):
            return None
        how = str(ended[-1].state.get("closed") or "")
        return "recovered" if how in _REACHED else "closed", ended[-1].closed_at, how

    async def _settled(self, uow: UnitOfWork, entry: CallEntry) -> bool:
        """Was this missed call counted already, or has its caller got through since?"""
        number = numbers.normal(entry.ani, self._region)
        if number is None:
            return True
        at = entry.ended_at or entry.started_at
        known = await uow.missed_calls.of_period(number, self._period_began(entry.dnis, entry.queue, at))
        if known is not None and entry.id in await uow.records.calls(known.record_id):
            return True
        return await uow.calls.talked(entry.ani, at)  # last: it looks through all calls since then

    async def page(
        self, *, before: str | None = None, state: MissedState | None = None, limit: int = 50
    ) -> list[tuple[MissedCall, OwedCallback | None]]:
        """The newest first, each with its callback."""
        async with self._database.reading() as uow:
            return [
                (missed, await _callback(uow, missed))
                for missed in await uow.missed_calls.page(limit, before=before, state=state)
            ]

    async def figures(self, begin: datetime) -> MissedFigures:
        """What was missed since then, and recovered."""
        async with self._database.reading() as uow:
            return missed_figures(await uow.missed_calls.since(begin))

    async def _record(self, uow: UnitOfWork, entry: CallEntry, number: str) -> Record:
        """What the callback runs on: the call's own record, one from an earlier missed call, or a new one."""
        of_call = [record for record in await uow.records.of_call(entry.id) if record.status == "open"]
        if of_call:
            return of_call[-1]
        for owed in await uow.missed_calls.open_of(number):
            record = await uow.records.get(owed.record_id)
            if record.status == "open":
                await uow.records.link_call(record.id, entry.id)
                return record
        return await self._open_record(uow, entry, owner=None)


async def _is_counted(uow: UnitOfWork, known: MissedCall, call_id: CallId, at: datetime) -> bool:
    """Whether this call is one of those that were missed: what was taken over is told again, in any order."""
    if known.call_id == call_id:
        return True
    # One that came later may be on the record by another way, as that of a caller who is known again.
    return at <= known.last_at and call_id in await uow.records.calls(known.record_id)


async def _callback(uow: UnitOfWork, missed: MissedCall) -> OwedCallback | None:
    orders = [order for order in await uow.work_orders.of_record(missed.record_id) if order.kind == CALLBACK]
    if not orders:
        return None
    attempt = orders[-1].payload.get("attempt")
    return OwedCallback(orders[-1].number, orders[-1].state, attempt if isinstance(attempt, int) else 1)


def _owes(process: ProcessRow) -> bool:
    """Is it a process that calls back?"""
    return process.name == CALLBACK


def _entry(summary: CallSummary, at: datetime) -> CallEntry:
    """For a call that the log has not written down yet."""
    return CallEntry(
        id=summary.call_id,
        pbx=summary.pbx,
        direction=summary.direction,
        ani=summary.ani,
        caller_name=summary.caller_name,
        dnis=summary.dnis,
        started_at=summary.started_at or at,
    )
