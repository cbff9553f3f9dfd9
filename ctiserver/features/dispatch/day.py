"""The dispatcher's day, read in one go: who works, which windows the day has, and every visit of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from ctiserver.clock import Clock
from ctiserver.features.dispatch.placing import MOVABLE, span_of
from ctiserver.model.calendar.opening_hours import Calendar
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import RecordId, UserId
from ctiserver.model.person import Role, User
from ctiserver.model.work.work_order import OrderKind, WorkOrder
from ctiserver.settings import FieldSettings
from ctiserver.store.database import Database
from ctiserver.store.repositories.records import Brief

#: Whose day it is, and what they do.
WHO: Role = "technician"
WHAT: OrderKind = "dispatch"
#: The hours of a day whose calendar says nothing of it.
_BEGINS, _ENDS = time(8), time(20)


@dataclass(frozen=True, slots=True)
class Window:
    """From ``begin`` to before ``end`` (aware UTC)."""

    begin: datetime
    end: datetime

    def __contains__(self, moment: object) -> bool:
        return isinstance(moment, datetime) and self.begin <= moment < self.end


@dataclass(frozen=True, slots=True)
class Row:
    """Somebody's day."""

    user: User
    open_orders: int  #: of all days
    off: tuple[bool, ...]  #: by window: whether they don't work, or are away


@dataclass(frozen=True, slots=True)
class FieldVisit:
    """One visit, and where the page puts it."""

    order: WorkOrder
    brief: Brief
    window: int | None  #: which of the day's; None: at no time yet, or at one of an earlier day
    late: bool

    @property
    def movable(self) -> bool:
        return self.order.state in MOVABLE


@dataclass(frozen=True, slots=True)
class Day:
    """What the page shows."""

    day: date
    today: date
    time_zone: str
    calendar: str  #: whose hours the windows have; empty: none, the hours are made up
    windows: Sequence[Window]
    rows: Sequence[Row]
    visits: Sequence[FieldVisit]


class Days:
    """Questions about days; nothing here changes anything."""

    def __init__(
        self, database: Database, clock: Clock, settings: FieldSettings, hours: Callable[[], WorkingTime]
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._hours = hours

    async def of(self, wanted: date | None = None) -> Day:
        """A date of the site's, today's if none is given."""
        now, hours = self._clock.now(), self._hours()
        today = now.astimezone(hours.zone).date()
        day = wanted or today
        begin, end = span_of(day, hours)
        async with self._database.reading() as uow:
            found = await uow.work_orders.of_day(WHAT, begin.astimezone(UTC), end.astimezone(UTC))
            # What is open and was planned for an earlier day is today's matter; what is for a later one is not yet.
            orders = [order for order in found if _belongs(order, begin, end, is_today=day == today)]
            briefs = await uow.records.briefs(list({order.record_id for order in orders}))
            has_some = {order.assignee for order in orders}
            people = [
                user
                for user in await uow.users.everybody()
                if user.id in has_some or (user.role == WHO and user.active)
            ]
            load = await uow.work_orders.load([user.id for user in people])
        calendar = hours.calendars.get(self._settings.calendar)
        length = timedelta(minutes=self._settings.window_minutes)
        planned = [
            order.planned_at for order in orders if order.planned_at is not None and begin <= order.planned_at < end
        ]
        windows = windows_of(_open_span(begin, end, calendar), planned, length, (begin, end))
        return Day(
            day=day,
            today=today,
            time_zone=hours.zone.key,
            calendar="" if calendar is None else calendar.name,
            windows=windows,
            rows=[_row(user, load, windows, hours) for user in sorted(people, key=_by_department)],
            visits=[_visit(order, briefs, windows, now) for order in orders],
        )


def windows_of(
    hours: tuple[datetime, datetime], planned: Iterable[datetime], length: timedelta, limits: tuple[datetime, datetime]
) -> list[Window]:
    """The day's windows: its hours, and as many more before and after as hold what is planned at odd times."""
    begin, end = hours
    moments = [moment.astimezone(UTC) for moment in planned]
    begin, end, first, last = (moment.astimezone(UTC) for moment in (begin, end, *limits))
    while begin > first and any(moment < begin for moment in moments):
        begin = max(first, begin - length)
    latest = max(moments, default=begin)
    windows: list[Window] = []
    while begin < end or (latest >= begin and begin < last):
        windows.append(Window(begin, min(begin + length, last) if begin >= end else begin + length))
        begin = windows[-1].end
    return windows


def _open_span(begin: datetime, end: datetime, calendar: Calendar | None) -> tuple[datetime, datetime]:
    """From the first opening to the last closing of the day."""
    opens = closes = None
    moment: datetime | None = begin
    while calendar is not None and moment is not None and moment < end:
        change = calendar.next_change(moment)
        if calendar.at(moment).state == "open":
            opens = opens or moment
            closes = min(change or end, end)
        moment = change
    if opens is None or closes is None:
        return datetime.combine(begin.date(), _BEGINS, begin.tzinfo), datetime.combine(
            begin.date(), _ENDS, begin.tzinfo
        )
    return opens, closes


def _belongs(order: WorkOrder, begin: datetime, end: datetime, *, is_today: bool) -> bool:
    if not order.is_open or order.planned_at is None:
        return True
    return begin <= order.planned_at < end or (is_today and order.planned_at < begin)


def _row(user: User, load: Mapping[UserId, int], windows: Sequence[Window], hours: WorkingTime) -> Row:
    calendar = hours.calendars.get(user.calendar)

    def off(window: Window) -> bool:
        if user.away_until is not None and user.away_until > window.begin:
            return True
        return calendar is not None and calendar.at(window.begin).state != "open"

    return Row(user, load.get(user.id, 0), tuple(off(window) for window in windows))


def _visit(order: WorkOrder, briefs: Mapping[RecordId, Brief], windows: Sequence[Window], now: datetime) -> FieldVisit:
    at = next((index for index, window in enumerate(windows) if order.planned_at in window), None)
    missed = (
        order.planned_at is not None
        and order.state in MOVABLE
        and now >= (windows[at].end if at is not None else order.planned_at)
    )
    overdue = order.due_at is not None and order.due_at <= now and order.state != "on_hold"
    return FieldVisit(order, briefs[order.record_id], at, order.is_open and (order.late or overdue or missed))


def _by_department(user: User) -> tuple[str, str]:
    return user.department, user.login
