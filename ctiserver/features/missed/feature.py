"""Builds the list of missed calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.missed import push
from ctiserver.features.missed.http import routes
from ctiserver.features.missed.service import Missed, OpenRecord, PromiseCallback
from ctiserver.model.record import Record

__all__ = ["Missed", "Needs", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What missed calls take from other features."""

    open_record: OpenRecord
    promise_callback: PromiseCallback
    record_changed: Callable[[Record], None]


def build(context: FeatureContext, needs: Needs) -> Contribution[Missed]:
    """Missed calls, and when each is settled."""
    settings, site = context.settings, context.site
    zone = ZoneInfo(settings.time_zone)
    with_queue_log = frozenset(name for name, pbx in settings.pbxs.items() if pbx.queue_log is not None)

    def midnight(at: datetime) -> datetime:
        return at.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)

    def period_began(dnis: str, queue: str, at: datetime) -> datetime:
        number, waited_in = site.number(dnis), site.queues.get(queue)
        name = (number and number.calendar) or (waited_in and waited_in.calendar)
        calendar = context.hours().calendars.get(name) if name else None
        return midnight(at) if calendar is None else calendar.period_began(at)

    missed = Missed(
        context.database,
        context.bus,
        context.clock,
        pbxs=context.pbxs,
        region=settings.region,
        period_began=period_began,
        open_record=needs.open_record,
        promise=needs.promise_callback,
        record_changed=needs.record_changed,
        changed=lambda: push.publish(context.hub),
        told_later=lambda pbx: pbx in with_queue_log,
        aside=context.aside,
    )
    return Contribution(
        service=missed,
        routes=routes(missed, lambda: midnight(context.clock.now())),
        topics=push.topics(),
        services={"missed-calls": missed.run},
        background_jobs={"missed-calls-settling": missed.settle},
    )
