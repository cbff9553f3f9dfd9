"""What each queue came to today, counted from the calls' events; a restarted server reads it from the call log.

Calls are held here only until the call log has them: a day of them would be as much memory as the rest of the server.
Who asks which calls a figure counts is answered from both.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import structlog

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.model.calls import call_detail
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.calls.service_level import Counted, CountedVisit, Figures, Thresholds, of_visit
from ctiserver.model.events import (
    CallEnded,
    CallerEnteredQueue,
    CallerLeftQueue,
    CallKnownLater,
    CallsMerged,
    PbxDown,
    PbxEvent,
    PbxUp,
    QueueVisit,
)
from ctiserver.model.ids import CallId, PbxName, QueueName
from ctiserver.pbx.port import Pbx, current_events
from ctiserver.site.files import QueueConfig
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.patience import until_stored

log = structlog.get_logger(__name__)

#: A queue's figures are told at most so often, however many calls move them; and the board's age every so many times.
_TELL_EVERY_S = 0.5
_AGE_EVERY = 10
#: How long an ended call is held at least, and how often is looked: its end may be told of by an event not heard yet.
_HELD = timedelta(minutes=1)
_LET_GO_EVERY_S = 30.0
#: Calls are looked up in the log so many at a time: the loop has others to serve meanwhile.
_LOOKED_UP = 200
#: A call that waits over midnight began at most so long before.
_BEFORE_MIDNIGHT = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """One queue today."""

    queue: QueueName
    thresholds: Thresholds
    figures: Figures


class Board:
    """Every queue's visits of the site's own day."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        site: Site,
        *,
        pbxs: Mapping[PbxName, Pbx],
        time_zone: str,
        told: Callable[[QueueFigures], object],
        aged: Callable[[], object],
    ) -> None:
        """``told`` is given each queue's new figures, ``aged`` is called when the age may have changed; neither may
        wait."""
        self._database = database
        self._bus = bus
        self._clock = clock
        self._site = site
        self._pbxs = pbxs
        self._zone = ZoneInfo(time_zone)
        self._told = told
        self._aged = aged
        self._day_begins = datetime.min.replace(tzinfo=self._zone)
        self._visits: dict[CallId, list[CountedVisit]] = {}  #: of calls that go on, and of those that ended just now
        self._ended: dict[CallId, datetime] = {}  #: of those, when they ended
        self._figures: dict[QueueName, Figures] = {QueueName(name): Figures() for name in site.queues}
        self._changed: dict[QueueName, None] = {}
        self._down_since: dict[PbxName, datetime] = {}
        self._age_changed = False
        self._stale = False
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Follow the bus until it closes."""
        await self._bus.follow("board", (PbxEvent,), self.heard, self.resync, begin=self._read)

    async def resync(self) -> None:
        """Take who waits from the links to the PBXs, and the rest of the day from the call log."""
        self._visits = {call_id: visits for call_id, visits in self._visits.items() if call_id in self._ended}
        self._down_since = {name: pbx.since for name, pbx in self._pbxs.items() if not pbx.up}
        self._age_changed = True
        self._count_anew()
        for event in current_events(self._pbxs.values()):
            self.heard(event)
        await until_stored(self._read, "board")

    async def tell(self) -> None:
        """Tell of new figures and of their age, until cancelled."""
        for tick in itertools.count():
            await asyncio.sleep(_TELL_EVERY_S)
            self._turn_day()
            for queue in self.take_changed():
                self._told(self.figures(queue))
            if self._age_changed or tick % _AGE_EVERY == 0:
                self._age_changed = False
                self._aged()

    def read_anew(self) -> None:
        """The call log knows of calls that nobody told us of, or knows better; it is read before long."""
        self._stale = True

    async def let_go(self) -> None:
        """Hold no call longer than the call log needs to have it, until cancelled."""
        while True:
            await asyncio.sleep(_LET_GO_EVERY_S)
            if self._stale:
                self._stale = False
                await until_stored(self._read, "board")
            await until_stored(self.let_go_of_the_logged, "board")

    async def let_go_of_the_logged(self, held: timedelta = _HELD) -> None:
        """Forget the calls that ended so long ago, where the call log has them. Raises StoreUnavailable."""
        until = self._clock.now() - held
        old = [call_id for call_id, at in self._ended.items() if at <= until]
        for part in (old[begin : begin + _LOOKED_UP] for begin in range(0, len(old), _LOOKED_UP)):
            async with self._database.reading() as uow:
                logged = await uow.calls.complete(part)
            for call_id in logged:
                del self._ended[call_id]
                self._visits.pop(call_id, None)

    def take_changed(self) -> list[QueueName]:
        """The queues whose figures changed since the last time."""
        changed, self._changed = list(self._changed), {}
        return changed

    @property
    def age_s(self) -> float:
        """How old the board's view is: nothing while every PBX is connected."""
        oldest = min(self._down_since.values(), default=None)
        return 0.0 if oldest is None else max(0.0, (self._clock.now() - oldest).total_seconds())

    def everything(self) -> list[QueueFigures]:
        """All queues, by name."""
        self._turn_day()
        return [self.figures(queue) for queue in sorted(self._figures)]

    def figures(self, queue: QueueName) -> QueueFigures:
        """One queue's figures of today; one that nothing is known of has none."""
        return QueueFigures(queue=queue, thresholds=self.thresholds(queue), figures=self._figures.get(queue, Figures()))

    async def counted(self, queue: QueueName, what: Counted, limit: int) -> list[CountedVisit]:
        """The newest ``limit`` of exactly those visits that a figure counts. Raises StoreUnavailable."""
        self._turn_day()
        limits, begins = self.thresholds(queue), self._day_begins
        held = [visit for visits in self._visits.values() for visit in visits]
        skipped = frozenset(self._visits)

        def of(visits: Iterable[CountedVisit]) -> list[CountedVisit]:
            return [v for v in visits if v.queue == queue and v.entered_at >= begins and limits.belongs(v, what)]

        found = of(held)
        # The log's are sought backwards until all are found that the figure counts: mostly those of the last hour.
        count = min(limit, getattr(self.figures(queue).figures, what))
        if len(found) < count:
            async for entries in self._logged_today():
                found += of(
                    visit
                    for entry in entries
                    if entry.id not in skipped
                    for visit in _visits(entry.id, call_detail.summary(entry).queue_visits)
                )
                if len(found) >= count:
                    break
        return sorted(found, key=lambda visit: visit.entered_at, reverse=True)[:limit]

    def thresholds(self, queue: QueueName) -> Thresholds:
        """What the queue is measured against."""
        level = self._site.queues.get(queue, QueueConfig()).service_level
        return Thresholds(level.answered_within, level.short_abandon)

    def heard(self, event: PbxEvent) -> None:
        """Take in one event of a PBX."""
        match event:
            case PbxUp():
                self._down_since.pop(event.pbx, None)
                self._age_changed = True
            case PbxDown():
                self._down_since.setdefault(event.pbx, event.at)
                self._age_changed = True
            case CallerEnteredQueue():
                self._put(
                    event.call_id,
                    [
                        *self._closed(event.call_id, event.at),
                        CountedVisit(call_id=event.call_id, queue=event.queue, entered_at=event.at),
                    ],
                )
            case CallerLeftQueue():
                self._left(event)
            case CallsMerged():
                absorbed = self._visits.get(event.absorbed, [])
                self._put(event.absorbed, [])
                moved = [replace(visit, call_id=event.call_id) for visit in absorbed]
                self._put(event.call_id, [*self._visits.get(event.call_id, []), *moved])
            case CallEnded():
                # The summary is the call's last word: what was missed meanwhile is in it.
                self._put(event.call_id, _visits(event.call_id, event.summary.queue_visits))
                if event.call_id in self._visits:
                    self._ended[event.call_id] = self._clock.now()
            case CallKnownLater():
                self.read_anew()
            case _:
                pass

    async def _read(self) -> None:
        """Today's ended calls, from the call log. Events may be taken in meanwhile."""
        async with self._reading:
            self._turn_day()
            until = self._clock.now() - _HELD
            self._count_anew()
            going_on = self._visits.keys() - self._ended.keys()
            async for entries in self._logged_today():
                for entry in entries:
                    if entry.complete and entry.id not in going_on:
                        await self._bus.take_in("board", entry, partial(self._read_entry, until=until))

    async def _logged_today(self) -> AsyncIterator[list[CallEntry]]:
        """Today's entries of the call log, the newest first, some at a time. Raises StoreUnavailable."""
        last: CallId | None = None
        while True:
            async with self._database.reading() as uow:
                entries = await uow.calls.page(_LOOKED_UP, before=last)
            yield entries
            if not entries or entries[-1].started_at < self._day_begins - _BEFORE_MIDNIGHT:
                return
            last = entries[-1].id

    def _read_entry(self, entry: CallEntry, until: datetime) -> None:
        self._put(entry.id, _visits(entry.id, call_detail.summary(entry).queue_visits))
        if entry.ended_at is not None and entry.ended_at <= until:
            self._visits.pop(entry.id, None)
        elif entry.id in self._visits:
            self._ended[entry.id] = self._clock.now()

    def _left(self, event: CallerLeftQueue) -> None:
        visits = list(self._visits.get(event.call_id, []))
        for index in reversed(range(len(visits))):
            visit = visits[index]
            if visit.queue == event.queue and visit.left_at is None:
                break
        else:  # the entering was before we came
            entered_at = event.at - timedelta(milliseconds=event.wait_ms or 0)
            visits.append(CountedVisit(call_id=event.call_id, queue=event.queue, entered_at=entered_at))
            index = len(visits) - 1
        visits[index] = replace(visits[index], left_at=event.at, outcome=event.outcome, agent=event.interface)
        self._put(event.call_id, visits)

    def _closed(self, call_id: CallId, at: datetime) -> list[CountedVisit]:
        """The call's visits so far; a caller stands in one queue at a time."""
        return [
            visit if visit.left_at is not None else replace(visit, left_at=at, outcome="unknown")
            for visit in self._visits.get(call_id, [])
        ]

    def _put(self, call_id: CallId, visits: list[CountedVisit]) -> None:
        before = self._visits.pop(call_id, [])
        visits = [visit for visit in visits if visit.entered_at >= self._day_begins]
        if visits == before:
            if visits:
                self._visits[call_id] = visits
            return
        for visit in before:
            self._figures[visit.queue] -= self._worth(visit)
            self._changed[visit.queue] = None
        if visits:
            self._visits[call_id] = visits
        self._count(visits)

    def _count(self, visits: Iterable[CountedVisit]) -> None:
        for visit in visits:
            self._figures[visit.queue] = self._figures.get(visit.queue, Figures()) + self._worth(visit)
            self._changed[visit.queue] = None

    def _worth(self, visit: CountedVisit) -> Figures:
        return of_visit(visit, self.thresholds(visit.queue))

    def _turn_day(self) -> None:
        """At midnight of the site's own day all counts start again; who waits then belongs to the day before."""
        today = self._clock.now().astimezone(self._zone).replace(hour=0, minute=0, second=0, microsecond=0)
        if today == self._day_begins:
            return
        self._day_begins = today
        todays = {call_id: [it for it in visits if it.entered_at >= today] for call_id, visits in self._visits.items()}
        self._visits = {call_id: visits for call_id, visits in todays.items() if visits}
        self._count_anew()

    def _count_anew(self) -> None:
        """Count the calls that are held, and no others."""
        self._figures = dict.fromkeys(self._figures, Figures())
        self._changed |= dict.fromkeys(self._figures)
        for visits in self._visits.values():
            self._count(visits)


def _visits(call_id: CallId, visits: Iterable[QueueVisit]) -> list[CountedVisit]:
    """A summary's visits, as far as it is known when they began."""
    return [
        CountedVisit(
            call_id=call_id,
            queue=visit.queue,
            entered_at=visit.entered_at,
            left_at=visit.left_at or visit.entered_at,
            outcome=visit.outcome,
            agent=visit.agent,
        )
        for visit in visits
        if visit.entered_at is not None
    ]
