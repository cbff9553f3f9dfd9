"""Builds the list of missed calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.missed import push
from ctiserver.features.missed.http import routes
from ctiserver.features.missed.periods import Periods
from ctiserver.features.missed.service import Missed, OpenRecord, PromiseCallback
from ctiserver.model.work.record import Record

__all__ = ["Missed", "Needs", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What missed calls take from other features."""

    open_record: OpenRecord
    promise_callback: PromiseCallback
    record_changed: Callable[[Record], None]


def build(context: FeatureContext, needs: Needs) -> Contribution[Missed]:
    """Missed calls, and when each is settled."""
    settings = context.settings
    periods = Periods(context.site, ZoneInfo(settings.time_zone), context.hours)
    with_queue_log = frozenset(name for name, pbx in settings.pbxs.items() if pbx.queue_log is not None)

    missed = Missed(
        context.database,
        context.bus,
        context.clock,
        pbxs=context.pbxs,
        region=settings.region,
        period_began=periods.began,
        open_record=needs.open_record,
        promise=needs.promise_callback,
        record_changed=needs.record_changed,
        changed=lambda: push.publish(context.hub),
        told_later=lambda pbx: pbx in with_queue_log,
        aside=context.aside,
    )
    return Contribution(
        service=missed,
        routes=routes(missed, lambda: periods.day_began(context.clock.now())),
        topics=push.topics(),
        services={"missed-calls": missed.run},
        background_jobs={"missed-calls-settling": missed.settle},
    )
