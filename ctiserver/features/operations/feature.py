"""Builds what watches over the server: health, readiness and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ctiserver.agi.server import AgiServer
from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.operations.health import Health
from ctiserver.features.operations.http import OperationsHttp
from ctiserver.features.operations.measures import Measures
from ctiserver.model.ids import PbxName
from ctiserver.pbx.link import PbxLink
from ctiserver.supervise import Failing

__all__ = ["Needs", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The running server's parts that are watched."""

    agi: AgiServer
    links: Mapping[PbxName, PbxLink]
    workflow_runs: Callable[[], bool]
    failing: Callable[[], tuple[Failing, ...]] = tuple  #: services that don't do their work now


def build(context: FeatureContext, needs: Needs) -> Contribution[None]:
    """Routes for those who watch over the server, without a log-in."""
    database = context.database
    http = OperationsHttp(
        Health(database, needs.agi, needs.links, workflow_runs=needs.workflow_runs, failing=needs.failing),
        Measures(database, needs.agi, context.hub, needs.links, context.clock),
        context.settings.web.metrics_allow,
        context.settings.web.trusted_proxies,
    )
    return Contribution(service=None, routes=http.routes())
