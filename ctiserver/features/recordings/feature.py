"""Builds recordings: found, kept for a time, and played."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.recordings.http import MayReachCall, RecordingsHttp
from ctiserver.features.recordings.service import Recordings, folders

__all__ = ["Needs", "Recordings", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What recordings take from other features."""

    may_reach_call: MayReachCall


def build(context: FeatureContext, needs: Needs) -> Contribution[Recordings]:
    """Recordings of calls; who may reach a call may hear them."""
    settings = context.settings
    recordings = Recordings(
        context.database,
        context.bus,
        context.clock,
        pbxs=context.pbxs,
        folders=folders({name: pbx.recordings_dir for name, pbx in settings.pbxs.items()}),
        kept=timedelta(days=settings.recordings.retention_days),
        going_on=context.going_on,
        aside=context.aside,
    )
    http = RecordingsHttp(recordings, context.clock, may_reach_call=needs.may_reach_call)
    return Contribution(
        service=recordings,
        routes=http.routes(),
        rules={"recording_id": http.may_reach},
        services={"recordings": recordings.run},
        background_jobs={"recordings-found": recordings.tend},
    )
