"""Use cases of photos.

The file is written before the row is committed, under a name that its content gives: after a crash between the two the
sender, who has no answer, sends it again, and it lands where it lay.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import structlog

from ctiserver.clock import Clock
from ctiserver.errors import CtiError
from ctiserver.features.photos import files
from ctiserver.model.ids import PhotoId, RecordId, WorkOrderId, new_ulid
from ctiserver.model.work import photo
from ctiserver.model.work.photo import Photo
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.store.database import Database

log = structlog.get_logger(__name__)


class NoPhoto(CtiError):
    """These bytes are not a JPEG, PNG or WebP picture, or not of the kind that they are sent as."""


class EnoughPhotos(CtiError):
    """The work order has as many photos as it may have."""


class NoRoom(CtiError):
    """The photo could not be written; it is to be sent again."""


class Photos:
    """The photos of work orders."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        folder: Path,
        changed: Callable[[Record, list[WorkOrder]], None] = lambda record, orders: None,
    ) -> None:
        """``changed`` is told after each commit."""
        self._database = database
        self._clock = clock
        self._folder = folder
        self._changed = changed

    async def add(
        self, order_id: WorkOrderId, key: str, content: bytes, *, sent_as: str, by: str
    ) -> tuple[Photo, bool]:
        """Keep a photo of a work order; it, and whether it is new: the ``key`` of one that is kept changes nothing.

        ``by``: a log-in. Raises NotFound; NoPhoto; EnoughPhotos; NoRoom.
        """
        kind = photo.media_type(content)
        if kind is None or kind != sent_as:
            raise NoPhoto(f"this file is not {sent_as}; send a JPEG, PNG or WebP")
        if (known := await self._known(order_id, key)) is not None:
            return known, False
        sha256 = hashlib.sha256(content).hexdigest()
        path = files.path_of(self._folder, order_id, sha256, kind)
        try:
            await asyncio.to_thread(files.write, path, content)
        except OSError as error:
            log.error("photo_not_written", path=str(path), why=str(error))
            raise NoRoom(f"the photo can't be stored now: {error.strerror}") from None
        now = self._clock.now()
        async with self._database.unit_of_work() as uow:
            order = await uow.work_orders.lock(order_id)  # of two who send the same, one comes after the other
            if (known := await uow.photos.by_key(order_id, key)) is not None:
                return known, False
            new = Photo(
                id=PhotoId(new_ulid(now)),
                key=key,
                order_id=order_id,
                record_id=order.record_id,
                media_type=kind,
                size=len(content),
                sha256=sha256,
                added_by=by,
                added_at=now,
            )
            await uow.photos.add(new)
            said = {"order": order.number, "photo": new.id}
            await uow.records.write_line(order.record_id, now, f"user:{by}", "photo_added", said)
            record = await uow.records.get(order.record_id)
        self._changed(record, [order])
        return new, True

    async def _known(self, order_id: WorkOrderId, key: str) -> Photo | None:
        async with self._database.reading() as uow:
            of_order = await uow.photos.of_orders([order_id])
        for known in of_order:
            if known.key == key:
                return known
        if len(of_order) >= photo.MOST_OF_AN_ORDER:
            raise EnoughPhotos(f"a work order has {photo.MOST_OF_AN_ORDER} photos at the most")
        return None

    async def of_record(self, record: RecordId) -> list[Photo]:
        """In the order they came."""
        async with self._database.reading() as uow:
            return await uow.photos.of_record(record)

    async def find(self, key: PhotoId) -> Photo | None:
        async with self._database.reading() as uow:
            return await uow.photos.find(key)

    def path(self, kept: Photo) -> Path:
        """Where the picture lies, if nobody took it away."""
        return files.path_of(self._folder, kept.order_id, kept.sha256, kept.media_type)
