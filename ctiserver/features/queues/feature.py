"""Builds the state of queues, and fallback hours in the PBX."""

from __future__ import annotations

from collections.abc import Callable

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.queues import push
from ctiserver.features.queues.hours import FallbackHours
from ctiserver.features.queues.http import QueuesHttp
from ctiserver.features.queues.service import Queues
from ctiserver.site.load import Site

__all__ = ["Queues", "build", "build_fallback_hours"]


def build(context: FeatureContext) -> Contribution[Queues]:
    """Who waits in which queue, and which members are ready."""
    queues = Queues(
        context.bus,
        context.clock,
        context.site,
        pbxs=context.pbxs,
        closed=context.closed,
        changed=lambda state: push.publish(context.hub, state),
    )
    return Contribution(
        service=queues,
        routes=QueuesHttp(queues, context.site).routes(),
        topics=push.topics(queues),
        services={"queues": queues.run},
        background_jobs={"queue-closing": queues.drain},
    )


def build_fallback_hours(context: FeatureContext, site: Callable[[], Site]) -> Contribution[FallbackHours]:
    """Whether each number is open, kept in every PBX for when this server is away; ``site`` is the one in force now."""
    hours = FallbackHours(
        context.bus,
        context.clock,
        site,
        calendars=lambda: context.hours().calendars,
        pbxs=context.pbxs,
    )
    return Contribution(service=hours, services={"fallback-hours": hours.run})
