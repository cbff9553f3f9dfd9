"""Builds screen-pops: the caller shown to the agent whose phone rings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.screenpop import push
from ctiserver.features.screenpop.http import ScreenPopHttp
from ctiserver.features.screenpop.service import ScreenPops
from ctiserver.model.ids import AgentId, Interface, PbxName

__all__ = ["Needs", "ScreenPops", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What screen-pops take from other features."""

    agent_at: Callable[[PbxName, Interface], AgentId | None]  #: whose phone this is


def build(context: FeatureContext, needs: Needs) -> Contribution[ScreenPops]:
    """Screen-pops, pushed to the agent alone."""
    pops = ScreenPops(
        context.database,
        context.bus,
        context.clock,
        pbxs=context.pbxs,
        region=context.settings.region,
        agent_at=needs.agent_at,
        changed=lambda agent_id, shown: push.publish(context.hub, agent_id, shown),
        browsers=lambda agent_id: push.browsers(context.hub, agent_id),
    )
    http = ScreenPopHttp(pops)
    return Contribution(
        service=pops,
        routes=http.routes(),
        topics=push.topics(pops),
        rules={"pop_id": http.may_reach},
        services={"screen-pops": pops.run, "pops-kept": pops.book.run},
    )
