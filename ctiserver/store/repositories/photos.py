"""Photos of work orders."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from ctiserver.model.ids import PhotoId, RecordId, WorkOrderId
from ctiserver.model.work.photo import Photo
from ctiserver.store import tables
from ctiserver.store.repository import Repository


class Photos(Repository[Photo, PhotoId]):
    """Photos, by id."""

    table = tables.photos
    kind = Photo

    async def by_key(self, order: WorkOrderId, key: str) -> Photo | None:
        """The one that its sender called so."""
        return await self._one(sa.select(self.table).where(self.table.c.order_id == order, self.table.c.key == key))

    async def of_orders(self, orders: Collection[WorkOrderId]) -> list[Photo]:
        """Those of several work orders, in the order they came."""
        if not orders:
            return []
        return await self._all(sa.select(self.table).where(self.table.c.order_id.in_(orders)).order_by(self.table.c.id))

    async def of_record(self, record: RecordId) -> list[Photo]:
        """In the order they came."""
        return await self._all(sa.select(self.table).where(self.table.c.record_id == record).order_by(self.table.c.id))
