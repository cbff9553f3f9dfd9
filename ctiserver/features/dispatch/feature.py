"""Builds work orders: given out, done, and the dispatcher's day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.dispatch import push
from ctiserver.features.dispatch.advance import Advance
from ctiserver.features.dispatch.day import Days
from ctiserver.features.dispatch.day_http import DayHttp
from ctiserver.features.dispatch.definitions import Definition
from ctiserver.features.dispatch.http import DispatchHttp
from ctiserver.features.dispatch.placing import Placing
from ctiserver.features.dispatch.service import Dispatch
from ctiserver.features.dispatch.workflow import Workflow
from ctiserver.model.ids import RecordId
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder

__all__ = ["DispatchContribution", "Needs", "OrdersChanged", "build", "build_workflow"]

OrdersChanged = Callable[[Record, list[WorkOrder]], None]
"""Told after the commit of a change to a record's orders; must not wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What work orders take from other features."""

    record_changed: Callable[[RecordId, int | None], None]
    callback_orders_changed: Callable[[list[WorkOrder]], None]  #: a queued callback may not be needed any more


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchContribution(Contribution[Dispatch]):
    """Work orders, and what other features tell of them."""

    placing: Placing
    orders_changed: OrdersChanged


def build(context: FeatureContext, needs: Needs) -> DispatchContribution:
    """Work orders with their topics."""
    database, clock = context.database, context.clock

    def orders_changed(record: Record, orders: list[WorkOrder]) -> None:
        needs.record_changed(record.id, None)
        push.publish(context.hub, orders)
        needs.callback_orders_changed(orders)

    dispatch = Dispatch(database, clock, changed=orders_changed)
    placing = Placing(database, clock, context.hours, changed=orders_changed)
    http = DispatchHttp(dispatch, placing, database, context.site)
    day_http = DayHttp(Days(database, clock, context.settings.field, context.hours), placing, database)
    return DispatchContribution(
        service=dispatch,
        placing=placing,
        orders_changed=orders_changed,
        routes=[*http.routes(), *day_http.routes()],
        topics=push.topics(),
        rules={"order_id": http.may_reach},
    )


def build_workflow(
    context: FeatureContext, definitions: Callable[[], Mapping[str, Definition]], orders_changed: OrdersChanged
) -> Contribution[Workflow]:
    """The engine that runs processes by their definitions as they are now. A test of pages alone has none."""
    database, clock, settings = context.database, context.clock, context.settings
    advance = Advance(database, definitions, clock, context.hours(), changed=orders_changed)
    workflow = Workflow(database, advance, clock, settings.workflow_url, settings.workflow, aside=context.aside)
    return Contribution(service=workflow, background_jobs={"workflow": workflow.run})
