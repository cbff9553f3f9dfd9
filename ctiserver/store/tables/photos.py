"""Photos that field work takes: what lies in the folder of photos, by its id."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table, UniqueConstraint

from ctiserver.store.tables.written import id_, instant, metadata, ref, word

photos = Table(
    "photos",
    metadata,
    id_(),
    Column("key", String(120), nullable=False),
    ref("order_id", "work_orders.id", nullable=False, index=False),
    ref("record_id", "records.id", nullable=False),
    word("media_type"),
    Column("size", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    word("added_by"),
    instant("added_at"),
    UniqueConstraint("order_id", "key"),
)
