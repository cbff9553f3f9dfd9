"""Builds callbacks that were promised to callers, and their places in queues."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.callbacks.promises import Promises, RecordOfCall
from ctiserver.features.callbacks.service import Callbacks
from ctiserver.model.work.record import Record

__all__ = ["Callbacks", "CallbacksContribution", "Needs", "Promises", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What callbacks take from other features."""

    record_of_call: RecordOfCall
    record_changed: Callable[[Record], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbacksContribution(Contribution[Callbacks]):
    """Callbacks, and what menus promise."""

    promises: Promises


def build(context: FeatureContext, needs: Needs) -> CallbacksContribution:
    """Queued callbacks on every PBX."""
    callbacks = Callbacks(
        context.database,
        context.bus,
        context.clock,
        context.site,
        pbxs=context.pbxs,
        region=context.settings.region,
    )
    promises = Promises(
        context.database, context.clock, callbacks, record_of_call=needs.record_of_call, changed=needs.record_changed
    )
    return CallbacksContribution(
        service=callbacks,
        promises=promises,
        services={"callbacks": callbacks.run},
        background_jobs={"callbacks-withdrawn": callbacks.withdraw},
    )
