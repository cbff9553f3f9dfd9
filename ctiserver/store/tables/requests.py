"""What other systems asked for, so that asking again does nothing twice."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table

from ctiserver.store.tables.written import instant, json_, metadata

requests = Table(
    "requests",
    metadata,
    Column("user_id", String(26), ForeignKey("users.id"), primary_key=True),
    Column("key", String(128), primary_key=True),  # the Idempotency-Key that the other system chose
    Column("body_hash", String(64), nullable=False),
    json_("answer"),
    instant("at"),
)
