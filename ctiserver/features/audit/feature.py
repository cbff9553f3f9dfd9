"""Builds the audit log's routes."""

from __future__ import annotations

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.audit.http import routes

__all__ = ["build"]


def build(context: FeatureContext) -> Contribution[None]:
    """The audit log for admins."""
    return Contribution(service=None, routes=routes(context.database))
