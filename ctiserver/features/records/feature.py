"""Builds service records, the reports that open them, and their timeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.records import push
from ctiserver.features.records.http import RecordsHttp
from ctiserver.features.records.of_calls import CallRecords
from ctiserver.features.records.reports import ContactsOf, Reports
from ctiserver.features.records.service import Records
from ctiserver.model.agent import Presence
from ctiserver.model.ids import RecordId
from ctiserver.model.person import Agent
from ctiserver.model.work.record import Record
from ctiserver.web.access import Rule

__all__ = ["CallRecords", "Needs", "Records", "RecordsContribution", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What records take from other features."""

    agents: Callable[[], list[tuple[Agent, Presence]]]
    contacts_of: ContactsOf


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsContribution(Contribution[Records]):
    """Records, and what other features tell and ask of them."""

    may_reach: Rule
    of_calls: CallRecords
    publish: Callable[[RecordId, int | None], None]  #: tell desks that a record, or something around it, changed


def build(context: FeatureContext, needs: Needs) -> RecordsContribution:
    """Service records with their topic."""
    hub = context.hub

    def changed(record: Record) -> None:
        push.publish(hub, record.id, record.revision)
        if record.repeat_call_at is not None and record.repeat_call_at == record.updated_at:
            owner = next((agent.user_id for agent, _ in needs.agents() if agent.id == record.owner), None)
            push.publish_repeat_call(hub, record, owner)

    records = Records(
        context.database,
        context.bus,
        context.clock,
        context.site,
        time_zone=context.settings.time_zone,
        pbxs=context.pbxs,
        changed=changed,
        first_pbx=context.main,
    )
    reports = Reports(context.database, context.clock, context.site, records=records, contacts_of=needs.contacts_of)

    of_calls = CallRecords(
        context.database, context.clock, context.site, records=records, contacts_of=needs.contacts_of
    )
    http = RecordsHttp(context.database, records, reports, context.site)
    return RecordsContribution(
        service=records,
        may_reach=http.may_reach,
        of_calls=of_calls,
        publish=lambda record_id, revision: push.publish(hub, record_id, revision),
        routes=http.routes(),
        topics=push.topics(context.database),
        rules={"record_id": http.may_reach},
        services={"records": records.run},
    )
