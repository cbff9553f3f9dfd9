"""The hours as the PBX itself knows them, so that its fallback sends nobody into a queue that is closed.

The dialplan can't ask a server that is gone. So while it is there it sets globals in each PBX: when which calendar is
open, for four weeks ahead, and which calendar each number and queue has; ``dialplan/fallback.conf`` reads them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, time, timedelta

import structlog

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.errors import DeadlineExceeded, PeerLost
from ctiserver.model.calendar.opening_hours import Calendar
from ctiserver.model.events import PbxUp
from ctiserver.model.ids import PbxName
from ctiserver.pbx.port import Pbx, PbxRefused
from ctiserver.site.load import Site

log = structlog.get_logger(__name__)

#: Says that there is no calendar, unlike a variable that is not set.
NONE = "-"
#: Names end in days of the month, and the shortest month has 28.
_AHEAD = timedelta(days=28)
#: How often a new day, or a reload, is looked for.
_LOOK_EVERY_S = 30.0


class FallbackHours:
    """Keeps the hours in every PBX fresh."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        site: Callable[[], Site],
        *,
        calendars: Callable[[], Mapping[str, Calendar]],
        pbxs: Mapping[PbxName, Pbx],
    ) -> None:
        """``site`` and ``calendars`` give what holds now, since both are taken again by a reload."""
        self._bus = bus
        self._clock = clock
        self._site = site
        self._calendars = calendars
        self._pbxs = pbxs
        self._written: dict[PbxName, dict[str, str]] = {}
        self._writing = asyncio.Lock()
        self._wanted: tuple[object, dict[str, str]] = (None, {})

    async def run(self) -> None:
        """Write at each connect, and soon after a midnight or a reload what has changed; until the bus closes."""
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look())
            await self._bus.follow("fallback-hours", (PbxUp,), self._pbx_up, self.resync)
            looking.cancel()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self.write()

    async def _pbx_up(self, up: PbxUp) -> None:
        self._written.pop(up.pbx, None)  # it may have been restarted, and know nothing
        await self.write()

    async def resync(self) -> None:
        """Write everything: any PBX may have been restarted."""
        self._written.clear()
        await self.write()

    async def write(self) -> None:
        """Bring every PBX that is heard up to date; one that does not take it gets it at its next connect."""
        async with self._writing:
            await self._write()

    async def _write(self) -> None:
        wanted = self.wanted()
        for name, pbx in self._pbxs.items():
            known = self._written.setdefault(name, {})
            try:
                for variable, value in wanted.items():
                    if pbx.up and known.get(variable) != value:
                        await pbx.set_global(variable, value)
                        known[variable] = value
            except (PeerLost, DeadlineExceeded, PbxRefused) as error:
                log.warning("fallback_hours_not_written", pbx=name, reason=str(error))

    def wanted(self) -> dict[str, str]:
        """Every value, by its variable."""
        site, calendars, today = self._site(), self._calendars(), self._clock.now().astimezone(UTC).date()
        of, found = self._wanted
        if of == (id(site), id(calendars), today):
            return found
        found = {}
        begin = datetime.combine(today, time(), UTC)
        for name, calendar in sorted(calendars.items()):
            spans = list(open_spans(calendar, begin, begin + _AHEAD))
            for day in (begin + timedelta(days=ahead) for ahead in range(_AHEAD.days)):
                found[f"CTI_HOURS_{name}_{day:%d}"] = "&".join([f"{day:%Y%m%d}", *_of_day(spans, day)])
        for number, config in site.numbers.items():
            found[f"CTI_CALENDAR_number-{number}"] = config.calendar or NONE
        for queue, of_queue in site.queues.items():
            found[f"CTI_CALENDAR_queue-{queue}"] = of_queue.calendar or NONE
        self._wanted = ((id(site), id(calendars), today), found)
        return found


def open_spans(calendar: Calendar, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """When a calendar is open between two moments: from, until."""
    at = begin
    while at < end:
        change = min(calendar.next_change(at) or end, end)
        if calendar.at(at).state == "open":
            yield at, change
        at = change


def _of_day(spans: Iterable[tuple[datetime, datetime]], day: datetime) -> Iterator[str]:
    """The part of ``spans`` in the 24 hours from ``day`` on: ``0100-1000``."""
    end = day + timedelta(days=1)
    for opens, closes in spans:
        if opens < end and closes > day:
            until = "2400" if closes >= end else f"{closes:%H%M}"
            yield f"{max(opens, day):%H%M}-{until}"
