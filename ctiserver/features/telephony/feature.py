"""Builds agents' phones: the browser phone, call control, calls from the desk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.telephony import push
from ctiserver.features.telephony.http import TelephonyHttp
from ctiserver.features.telephony.lines import Lines
from ctiserver.features.telephony.lost import LostTalks
from ctiserver.features.telephony.outgoing import Outgoing
from ctiserver.features.telephony.phones import Phones
from ctiserver.features.telephony.service import Telephony
from ctiserver.model.agent import Presence
from ctiserver.model.ids import QueueName
from ctiserver.model.person import Agent

__all__ = ["Needs", "Telephony", "TelephonyContribution", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What phones take from other features."""

    agents: Callable[[], list[tuple[Agent, Presence]]]
    queues_for: Callable[[Agent], dict[QueueName, int]]  #: the queues of an agent, each with the penalty
    unwanted: Callable[[str], Awaitable[bool]]  #: whether a contact with this number does not want to be called


@dataclass(frozen=True, slots=True, kw_only=True)
class TelephonyContribution(Contribution[Telephony]):
    """Call control, and the browsers' SIP lines."""

    lines: Lines


def build(context: FeatureContext, needs: Needs) -> TelephonyContribution:
    """Call control, SIP over WebSocket, and calls that agents place."""
    bus, clock, site, hub = context.bus, context.clock, context.site, context.hub
    phones = Phones(lambda: [agent for agent, _ in needs.agents()], context.pbxs, context.settings.pbxs)
    lost_talks = LostTalks(bus, clock, phones)
    lines = Lines(phones, clock, lost=lost_talks.page_lost)
    hub.logged_out.append(lines.log_out)
    telephony = Telephony(
        bus,
        site,
        phones,
        region=context.settings.region,
        changed=lambda agent_id, call: push.publish(hub, agent_id, call),
        unwanted=needs.unwanted,
    )
    http = TelephonyHttp(
        site,
        phones,
        telephony=telephony,
        lines=lines,
        lost=lost_talks,
        outgoing=Outgoing(
            context.database,
            clock,
            site,
            phones,
            place=telephony.place,
            queues_of=lambda agent: [str(name) for name in needs.queues_for(agent)],
        ),
        colleagues=lambda: [(agent, presence.state) for agent, presence in needs.agents()],
    )
    return TelephonyContribution(
        service=telephony,
        lines=lines,
        routes=http.routes(),
        topics=push.topics(telephony),
        services={"telephony": telephony.run, "lost-talks": lost_talks.run},
        background_jobs={"phone-lines": lines.run},
    )
