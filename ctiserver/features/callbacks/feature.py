"""Builds callbacks that were promised to callers, and their places in queues."""

from __future__ import annotations

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.callbacks.service import Callbacks, Wish

__all__ = ["Callbacks", "Wish", "build"]


def build(context: FeatureContext) -> Contribution[Callbacks]:
    """Queued callbacks on every PBX."""
    callbacks = Callbacks(
        context.database,
        context.bus,
        context.clock,
        context.site,
        pbxs=context.pbxs,
        region=context.settings.region,
    )
    return Contribution(
        service=callbacks,
        services={"callbacks": callbacks.run},
        background_jobs={"callbacks-withdrawn": callbacks.withdraw},
    )
