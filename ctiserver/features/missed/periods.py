"""When the period began in which a call counts: the opening hours of its number or queue, else the site's day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from ctiserver.model.calendar.span import WorkingTime
from ctiserver.site.load import Site


class Periods:
    """The periods of one site, by its calendars as they are now."""

    def __init__(self, site: Site, zone: ZoneInfo, hours: Callable[[], WorkingTime]) -> None:
        self._site = site
        self._zone = zone
        self._hours = hours

    def day_began(self, at: datetime) -> datetime:
        """The midnight before ``at``, in the site's time zone."""
        return at.astimezone(self._zone).replace(hour=0, minute=0, second=0, microsecond=0)

    def began(self, dnis: str, queue: str, at: datetime) -> datetime:
        """When the period of a call to ``dnis``, for ``queue``, began at time ``at``; the number's calendar goes first.

        Without a calendar, or with one that no longer exists, it is the day.
        """
        number, waited_in = self._site.number(dnis), self._site.queues.get(queue)
        name = (number and number.calendar) or (waited_in and waited_in.calendar)
        calendar = self._hours().calendars.get(name) if name else None
        return self.day_began(at) if calendar is None else calendar.period_began(at)
