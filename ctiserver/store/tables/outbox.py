"""What is to be handed on after a commit."""

from __future__ import annotations

from sqlalchemy import Column, Index, String, Table, text

from ctiserver.store.tables.written import id_, instant, json_, metadata, word

outbox = Table(
    "outbox",
    metadata,
    id_(),
    word("topic"),
    Column("key", String(200), nullable=False, unique=True),
    json_("payload"),
    instant("created_at"),
    instant("due_at", nullable=True),
    instant("handed_at", nullable=True),
    Index(
        "ix_outbox_due",
        "due_at",
        "id",
        sqlite_where=text("handed_at IS NULL"),
        postgresql_where=text("handed_at IS NULL"),
    ),
)
