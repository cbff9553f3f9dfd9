"""Builds the call log, and what catches up with calls that were not seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.calls.catching_up import CatchingUp
from ctiserver.features.calls.fallback import GotThrough, OpenRecord
from ctiserver.features.calls.hang_ups import HangUps
from ctiserver.features.calls.http import CallsHttp
from ctiserver.features.calls.paths import CallPaths
from ctiserver.features.calls.service import CallLogService
from ctiserver.ivr.runtime.runner import FlowService
from ctiserver.model.events import CallKnownLater, CallSummary
from ctiserver.model.ids import AgentId, CallId, PbxName
from ctiserver.model.work.record import Record
from ctiserver.web.access import Rule

__all__ = ["CallLogService", "CallPaths", "CallsContribution", "HangUps", "Needs", "build", "build_hang_ups"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the call log takes from other features."""

    at_phone: Sequence[Callable[[AgentId], CallId | None]]
    """The call that rings an agent or that they are in now; the first that knows one is believed."""
    open_record: OpenRecord
    record_changed: Callable[[Record], None]
    got_through: GotThrough
    known_later: Sequence[Callable[[CallSummary], Awaitable[object]]]
    """Each is awaited for a call that became known or clearer afterwards; they raise StoreUnavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsContribution(Contribution[CallLogService]):
    """The call log, and who may reach a call."""

    catching_up: CatchingUp
    may_reach: Rule
    paths: CallPaths


def build(context: FeatureContext, needs: Needs) -> CallsContribution:
    """The call log of every PBX."""
    database, clock, pbxs = context.database, context.clock, context.pbxs

    async def told(summary: CallSummary) -> None:
        for tell in needs.known_later:
            await tell(summary)
        context.bus.publish(CallKnownLater(pbx=summary.pbx, at=clock.now(), call_id=summary.call_id))

    def at_phone(agent_id: AgentId) -> CallId | None:
        return next((call for ask in needs.at_phone if (call := ask(agent_id)) is not None), None)

    catching_up = CatchingUp(
        database,
        clock,
        pbxs=pbxs,
        queue_logs={
            PbxName(name): pbx.queue_log for name, pbx in context.settings.pbxs.items() if pbx.queue_log is not None
        },
        signs=context.signs,
        going_on=context.going_on,
        open_record=needs.open_record,
        got_through=needs.got_through,
        changed=needs.record_changed,
        told=told,
        first_pbx=context.main,
        aside=context.aside,
    )
    calls = CallLogService(
        database,
        context.bus,
        clock,
        going_on=context.going_on,
        first_pbx=context.main,
        pbxs=pbxs,
        unseen=catching_up.wake,
        settled=catching_up.settled,
    )
    http = CallsHttp(database, calls, at_phone=at_phone)
    return CallsContribution(
        service=calls,
        catching_up=catching_up,
        may_reach=http.may_reach,
        paths=CallPaths(database, clock),
        routes=http.routes(),
        rules={"call_id": http.may_reach},
        services={"call-log": calls.run},
        background_jobs={"catching-up": catching_up.run},
    )


def build_hang_ups(context: FeatureContext, flows: FlowService, catching_up: CatchingUp) -> HangUps:
    """What tells flows of the end of calls; built once there are flows. Its two services start apart."""
    return HangUps(
        context.database,
        context.bus,
        flows,
        pbxs=tuple(context.pbxs),
        going_on=context.going_on,
        behind=catching_up.behind,
        aside=context.aside,
    )
