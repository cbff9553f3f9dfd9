"""Builds traces of processes, where the extra is installed and a collector is named."""

from __future__ import annotations

from ctiserver.errors import UserFault
from ctiserver.feature import Contribution, FeatureContext

__all__ = ["build"]


def build(context: FeatureContext) -> Contribution[None]:
    """Traces, if ``tracing.endpoint`` is set. Raises UserFault if the extra is not installed."""
    settings = context.settings.tracing
    if not settings.endpoint:
        return Contribution(service=None)
    try:
        from ctiserver.features.tracing.collector import collector  # noqa: PLC0415 - an extra that is off by default
        from ctiserver.features.tracing.service import Traces  # noqa: PLC0415
    except ImportError as error:
        raise UserFault(
            f"traces need the extra that is not installed ({error})",
            where="tracing.endpoint",
            fix="Run: pip install 'ctiserver[tracing]', or leave it empty",
        ) from None
    traces = Traces(context.database, context.clock, collector(settings))
    return Contribution(service=None, background_jobs={"traces": traces.run})
