"""Builds agents: who they are, and what each does now."""

from __future__ import annotations

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.agents import push
from ctiserver.features.agents.http import AgentsHttp
from ctiserver.features.agents.phone import AgentPhones
from ctiserver.features.agents.service import Agents

__all__ = ["AgentPhones", "Agents", "build"]


def build(context: FeatureContext) -> Contribution[Agents]:
    """Agents with their presence, and its topics."""
    agents = Agents(
        context.database,
        context.bus,
        context.clock,
        context.site,
        pbxs=context.pbxs,
        changed=lambda presence: push.publish(context.hub, agents, presence),
    )
    return Contribution(
        service=agents,
        routes=AgentsHttp(agents, context.site).routes(),
        topics=push.topics(agents),
        services={"agents": agents.run},
        start=agents.load,
    )
