"""Builds text messages: what is sent, by which carrier."""

from __future__ import annotations

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.messages.carriers import carriers
from ctiserver.features.messages.http import MessagesHttp
from ctiserver.features.messages.service import Messages

__all__ = ["Messages", "build"]


def build(context: FeatureContext) -> Contribution[Messages]:
    """Messages to callers and technicians."""
    site, settings = context.site, context.settings
    messages = Messages(
        context.database,
        context.clock,
        site.messages,
        carriers(site.messages, site.directory, context.clock),
        region=settings.region,
        time_zone=settings.time_zone,
        language=settings.languages[0],
        aside=context.aside,
    )
    http = MessagesHttp(context.database, messages)
    return Contribution(
        service=messages,
        routes=http.routes(),
        rules={"message_id": http.may_reach},
        background_jobs={"messages": messages.run},
    )
