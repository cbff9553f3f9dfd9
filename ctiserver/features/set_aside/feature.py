"""Builds the list of work that was set aside."""

from __future__ import annotations

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.set_aside.http import SetAsideHttp

__all__ = ["build"]


def build(context: FeatureContext) -> Contribution[None]:
    """The page of rows and events that services failed on."""
    http = SetAsideHttp(context.aside, context.bus)
    return Contribution(service=None, routes=http.routes(), rules={"aside_id": http.may_reach})
