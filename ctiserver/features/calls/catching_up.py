"""What happened while nobody of us listened: told by the dialplan's journal and the PBX's queue_log.

After each connect, when the call log has closed what ended unseen; again when a call ends of which a part was missed,
or a message was left; and every now and then, for entries that came by other ways.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from ctiserver.clock import Clock
from ctiserver.errors import CtiError, DeadlineExceeded, PbxRefused, PeerLost, UserFault
from ctiserver.features.calls.fallback import GotThrough, OpenRecord, TakingOver
from ctiserver.features.calls.reasons import reason_for_none, stated
from ctiserver.model.calls import call_detail, mending
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.calls.journal import FAMILY, JournalEntry, read_entry
from ctiserver.model.calls.queue_log import LoggedVisit, visits
from ctiserver.model.events import CallSummary
from ctiserver.model.ids import CallId, PbxName, Uniqueid, began_at, call_id
from ctiserver.model.person import Agent, place_of
from ctiserver.model.work.record import Record
from ctiserver.pbx.log_files import read_queue_log
from ctiserver.pbx.port import Pbx
from ctiserver.store.database import Database
from ctiserver.store.faults import Conflict, Duplicate, StoreUnavailable
from ctiserver.store.setting_aside import Kind, SettingAside
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

#: How far before the last watch we look: what was heard then, and not yet written when we were killed.
_OVERLAP = timedelta(seconds=60)
#: Asterisk writes a line of queue_log a moment after it told us that the call is over.
_WRITTEN_AFTER_S = 1.0
EVERY_S = 30.0
#: Kinds of work that is set aside: a caller in queue_log, a call that was not told, an entry of the journal, and a
#: caller of whom nothing is known but that they waited.
_LOGGED, _TOLD, _JOURNAL, _UNSERVED = "queue_log", "call_told", "journal", "unserved"
_NEVER = datetime.min.replace(tzinfo=UTC)
_AWAY = (PeerLost, DeadlineExceeded, PbxRefused, StoreUnavailable)
#: Two wrote at once; the next time it may go.
_AT_ONCE = (Conflict, Duplicate)


async def _nobody(_: CallSummary) -> None:
    """Nobody wants to know."""


def _no_signs(_: PbxName) -> Collection[str]:
    return ()


class CatchingUp:
    """Use cases around what was missed. Whatever it does twice, it does once: each call's entry says what is known."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        pbxs: Mapping[PbxName, Pbx],
        queue_logs: Mapping[PbxName, Path],
        signs: Callable[[PbxName], Collection[str]] = _no_signs,
        going_on: Callable[[PbxName], Collection[CallId]],
        open_record: OpenRecord,
        got_through: GotThrough,
        changed: Callable[[Record], None],
        told: Callable[[CallSummary], Awaitable[object]] = _nobody,
        first_pbx: PbxName | None = None,
        every_s: float = EVERY_S,
        written_after_s: float = _WRITTEN_AFTER_S,
        aside: SettingAside | None = None,
    ) -> None:
        """``queue_logs``: where they can be read; ``signs``: each PBX's secret systemnames, by which their lines are
        known to be true. ``first_pbx`` is the PBX of agents who name none; None: there is but one. ``changed`` is told
        of each record after its commit, ``told`` of each call that became known or clearer: once, or again after a
        kill."""
        self._database = database
        self._clock = clock
        self._pbxs = pbxs
        self._queue_logs = queue_logs
        self._signs = signs
        self._going_on = going_on
        self._taking_over = TakingOver(open_record, got_through, clock)
        self._changed = changed
        self._told = told
        self._first_pbx = first_pbx
        self._every_s = every_s
        self._written_after_s = written_after_s
        self._missed_since: dict[PbxName, datetime] = {}
        self._settled_at: dict[PbxName, datetime] = {}
        self._ended_unseen: dict[PbxName, list[CallId]] = defaultdict(list)  #: of PBXs without queue_log
        self._untold: dict[CallId, CallSummary] = {}  #: committed, and not yet told
        self._behind = set(pbxs)
        self._woken = asyncio.Event()
        self._aside = aside or SettingAside(database, clock)
        self._aside.add_kind(_LOGGED, Kind(show=self._look_again))
        self._aside.add_kind(_TOLD, Kind(show=self._look_again))
        self._aside.add_kind(_JOURNAL, Kind(wake=self._woken.set))
        self._aside.add_kind(_UNSERVED, Kind(show=self._left_after_all))

    def behind(self, pbx: PbxName) -> bool:
        """Whether queue_log has still to tell what happened to calls of this PBX that nobody saw end."""
        return pbx in self._behind

    def wake(self, pbx: PbxName, missed_since: datetime) -> None:
        """Something of this PBX's calls was missed, from then on."""
        self._missed_since[pbx] = min(missed_since, self._missed_since.get(pbx, missed_since))
        self._behind.add(pbx)
        self._woken.set()

    def settled(self, pbx: PbxName, missed_since: datetime, ended: Sequence[CallEntry]) -> None:
        """The call log has closed the entries of calls that ended unseen, since this PBX was connected again."""
        self._settled_at[pbx] = self._clock.now()
        if pbx not in self._queue_logs:
            self._ended_unseen[pbx] += [entry.id for entry in ended]
        self.wake(pbx, missed_since)

    async def run(self) -> None:
        """Catch up whenever woken, and look into the journals every now and then, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._every_s):
                    await self._woken.wait()
            except TimeoutError:
                pass
            else:
                await asyncio.sleep(self._written_after_s)
            self._woken.clear()
            for name, pbx in self._pbxs.items():
                if pbx.up:
                    await self._attempt(name, pbx)

    async def _attempt(self, name: PbxName, pbx: Pbx) -> None:
        missed_since = self._missed_since.pop(name, None)
        try:
            await self.catch_up(pbx, missed_since)
        except Exception as error:
            if missed_since is not None:
                self._missed_since[name] = min(missed_since, self._missed_since.get(name, missed_since))
            if isinstance(error, UserFault):
                self._behind.discard(name)  # it may stay so: what waits for queue_log must not wait for ever
            if isinstance(error, (*_AWAY, *_AT_ONCE, UserFault)):
                log.warning("catching_up_put_off", pbx=name, reason=str(error))
            else:  # the edge of one PBX: nothing of it may reach another
                log.exception("catching_up_failed", pbx=name)
        else:
            if missed_since is not None and name not in self._missed_since:
                self._behind.discard(name)

    async def catch_up(self, pbx: Pbx, missed_since: datetime | None) -> None:
        """Take over what the PBX wrote down itself; ``missed_since`` is None if nothing of the calls was missed.

        Raises PeerLost, DeadlineExceeded, PbxRefused, StoreUnavailable, Conflict, Duplicate, and UserFault where
        queue_log can't be read: to be done again.
        """
        now = self._clock.now()
        again: CtiError | None = None
        for summary in [summary for summary in self._untold.values() if summary.pbx == pbx.name]:
            try:
                await self._tell(summary)
            except _AT_ONCE as error:
                again = error
        # Until the call log has looked at what ended unseen, nobody knows yet since when something was missed.
        settled = self._settled_at.get(pbx.name, _NEVER) >= pbx.since
        if missed_since is not None:
            try:
                await self._queue_log(pbx.name, missed_since)
            except (UserFault, *_AT_ONCE) as error:
                again = error
        await self._journal(pbx)
        await self._waited_in_vain(pbx.name)
        if again is not None:
            raise again
        if settled:
            async with self._database.unit_of_work() as uow:
                await uow.catching_up.watched(pbx.name, now)

    # -- queue_log ------------------------------------------------------------------------------------------------

    async def _queue_log(self, pbx: PbxName, missed_since: datetime) -> None:
        path = self._queue_logs.get(pbx)
        if path is None:
            return
        async with self._database.reading() as uow:
            watched = await uow.catching_up.watched_until(pbx)
            place = place_of(pbx, self._first_pbx)
            who = _who([agent for agent in await uow.agents.everybody() if agent.pbx == place])
        # One that is watched for the first time is taken as it is; queue_log has whole seconds.
        since = missed_since.replace(microsecond=0) if watched is None else min(missed_since, watched) - _OVERLAP
        signs = self._signs(pbx)
        logged = visits(await asyncio.to_thread(read_queue_log, path, since, signs))
        by_caller: dict[Uniqueid, list[LoggedVisit]] = defaultdict(list)
        for visit in logged:
            by_caller[visit.uniqueid].append(visit)
        told = 0
        again: CtiError | None = None
        for uniqueid, its_visits in by_caller.items():
            ref = f"{pbx}/{uniqueid}"
            if await self._aside.has(_LOGGED, ref):
                continue
            try:
                told += await self._mend(pbx, uniqueid, its_visits, who)
            except _AWAY:
                raise
            except _AT_ONCE as error:
                again = error
            except Exception as error:  # the edge of one call: nothing of it may reach another
                log.exception("call_not_told_by_queue_log", pbx=pbx, uniqueid=uniqueid)
                await self._aside.put(_LOGGED, ref, error, about=its_visits[0].queue)
        if told:
            log.info("calls_told_by_queue_log", pbx=pbx, calls=told)
        if again is not None:
            raise again

    async def _mend(self, pbx: PbxName, uniqueid: Uniqueid, logged: Sequence[LoggedVisit], who: mending.Who) -> bool:
        """Whether queue_log told anything of this caller's call that was not known."""
        call = call_id(pbx, uniqueid)
        async with self._database.unit_of_work() as uow:
            if call in self._going_on(pbx):
                return False  # what is missing of it is told when it has ended
            known = await uow.calls.find_to_change(call)
            if known is None:
                entry = mending.told(call, pbx, logged, who, began=began_at(uniqueid) or logged[0].entered_at)
            elif not known.complete or not call_detail.summary(known).reconstructed or known.merged_into:
                return False
            else:
                entry = mending.mended(known, logged, who)
            if entry == known:
                return False
            linked = bool(await uow.records.of_call(call))
            reason = None if linked else reason_for_none(call_detail.summary(entry), str(entry.detail.get("ended")))
            await uow.calls.save(replace(entry, no_record_reason=stated(known) or reason))
        await self._tell(call_detail.summary(entry))
        return True

    async def _tell(self, summary: CallSummary) -> None:
        """Tell of a call, or again with the next pass: once committed, nothing else says that it is still to do."""
        self._untold[summary.call_id] = summary
        try:
            await self._told(summary)
        except (*_AWAY, *_AT_ONCE):
            raise
        except Exception as error:
            log.exception("call_not_told", pbx=summary.pbx, call_id=summary.call_id)
            await self._aside.put(_TOLD, f"{summary.pbx}/{summary.call_id}", error, about=summary.ani)
        del self._untold[summary.call_id]

    async def _waited_in_vain(self, pbx: PbxName) -> None:
        """Where no queue_log tells what happened to callers who waited when we last saw them, they are taken as having
        left unserved: a call too many is better than one too few."""
        ended = self._ended_unseen[pbx]
        while ended:
            await self._aside.contain(_UNSERVED, f"{pbx}/{ended[0]}", partial(self._left_unserved, ended[0]))
            del ended[0]  # only now: it may have failed, and others may have been added meanwhile

    async def _left_unserved(self, call: CallId) -> None:
        async with self._database.unit_of_work() as uow:
            known = await uow.calls.find_to_change(call)
            if known is None or known.direction != "inbound" or not known.queue:
                return
            if known.outcome is not None or known.answered_at is not None:
                return
            entry = replace(known, outcome="abandoned")
            await uow.calls.save(entry)
        await self._tell(call_detail.summary(entry))

    # -- set aside ------------------------------------------------------------------------------------------------

    async def _look_again(self, uow: UnitOfWork, ref: str) -> None:
        """Read queue_log once more, from where this caller came in."""
        pbx, _, key = ref.partition("/")
        entry = await uow.calls.find(CallId(key))
        began = began_at(Uniqueid(key)) if entry is None else entry.started_at
        if entry is not None and entry.complete:
            self._untold[entry.id] = call_detail.summary(entry)
        self.wake(PbxName(pbx), began or self._clock.now() - _OVERLAP)

    async def _left_after_all(self, uow: UnitOfWork, ref: str) -> None:
        pbx, _, key = ref.partition("/")
        self._ended_unseen[PbxName(pbx)].append(CallId(key))
        self._woken.set()

    # -- the journal ----------------------------------------------------------------------------------------------

    async def _journal(self, pbx: Pbx) -> None:
        for key, value in (await pbx.read_tree(FAMILY)).items():
            try:
                entry = read_entry(key, value)
            except (ValueError, OverflowError):  # seconds that no clock reaches
                entry = None
            ref = f"{pbx.name}/{key}"
            if entry is None:
                if not await self._aside.has(_JOURNAL, ref):
                    log.warning("journal_entry_unreadable", pbx=pbx.name, key=key)
                    await self._aside.put(_JOURNAL, ref, ValueError("it is not an entry of the dialplan's journal"))
                continue
            if await self._aside.has(_JOURNAL, ref):
                continue
            try:
                await self._take_over(pbx, entry)
            except (*_AWAY, Conflict):
                raise
            except (
                Exception
            ) as error:  # the edge of one entry: it stays where it is, and those behind it are taken over
                log.exception("journal_entry_not_taken_over", pbx=pbx.name, key=key)
                await self._aside.put(_JOURNAL, ref, error)

    async def _take_over(self, pbx: Pbx, entry: JournalEntry) -> None:
        call = call_id(pbx.name, Uniqueid(entry.linkedid))
        records: list[Record] = []
        async with self._database.unit_of_work() as uow:
            # read inside: a call that ended a moment ago has its entry in the log
            if call in self._going_on(pbx.name):
                return
            if await uow.catching_up.take(pbx.name, entry.epoch, entry.key, call, self._clock.now()):
                records = await self._taking_over.take_over(uow, pbx.name, call, entry)
            known = await uow.calls.find(call)
        for record in records:
            self._changed(record)
        if known is not None:  # of a callback there may be no more than this
            await self._told(call_detail.summary(known))
        # Committed: only now may the PBX forget it. Killed in between, it is read again, and was taken already.
        await pbx.delete_key(FAMILY, entry.key)
        log.info("journal_entry_taken_over", pbx=pbx.name, call_id=call, kind=entry.kind, why=entry.why)


def _who(agents: Sequence[Agent]) -> mending.Who:
    """By device, id or name; a name that two have is nobody's."""
    known: dict[str, Agent] = {}
    names = [agent.name for agent in agents]
    for agent in agents:
        if names.count(agent.name) == 1:
            known[agent.name] = agent
    for agent in agents:
        known |= {agent.id: agent, agent.interface: agent}
    return known.get
