"""Builds outbound calls: follow-ups, and records that ask for care."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.followups.care import Care
from ctiserver.features.followups.service import FollowUps
from ctiserver.model.ids import PbxName, RecordId
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder

__all__ = ["FollowUps", "FollowUpsContribution", "Needs", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What outbound calls take from other features."""

    record_changed: Callable[[RecordId, int | None], None]
    orders_changed: Callable[[Record, list[WorkOrder]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpsContribution(Contribution[FollowUps]):
    """Outbound calls, and the rules that open records for them."""

    care: Care


def build(context: FeatureContext, needs: Needs) -> FollowUpsContribution:
    """The outbound dialler."""
    site, settings = context.site, context.settings
    care = Care(
        context.database,
        context.clock,
        site,
        zone=ZoneInfo(settings.time_zone),
        opened=lambda record: needs.record_changed(record.id, record.revision),
        aside=context.aside,
    )
    followups = FollowUps(
        context.database,
        context.bus,
        context.clock,
        site,
        pbx=context.pbxs[PbxName(site.automatic.pbx or context.main)],
        others=context.pbxs,
        region=settings.region,
        hours=context.hours,
        going_on=context.going_on,
        changed=needs.orders_changed,
        aside=context.aside,
    )
    return FollowUpsContribution(
        service=followups,
        care=care,
        services={"follow-ups": followups.run},
        background_jobs={"automatic-calls": followups.tend, "care-rules": care.tend},
        stop=followups.rest,
    )
