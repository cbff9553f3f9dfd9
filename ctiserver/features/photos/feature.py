"""Builds photos of work orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.photos.http import MayReachRecord, PhotosHttp
from ctiserver.features.photos.service import Photos
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder

__all__ = ["Needs", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What photos take from other features."""

    may_reach_record: MayReachRecord
    orders_changed: Callable[[Record, list[WorkOrder]], None]


def build(context: FeatureContext, needs: Needs) -> Contribution[Photos]:
    """Photos, kept as files in ``data_dir/photos``."""
    photos = Photos(context.database, context.clock, context.settings.data_dir / "photos", changed=needs.orders_changed)
    http = PhotosHttp(photos, may_reach_record=needs.may_reach_record)
    return Contribution(service=photos, routes=http.routes(), rules={"photo_id": http.may_reach})
