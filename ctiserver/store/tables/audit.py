"""Who did what that others must be able to look up later."""

from __future__ import annotations

from sqlalchemy import Column, Index, String, Table

from ctiserver.store.tables.written import id_, instant, json_, metadata, word

audit = Table(  # append-only: triggers refuse UPDATE and DELETE
    "audit",
    metadata,
    id_(),
    instant("at"),
    Column("actor", String(128), nullable=False),
    word("act"),
    Column("subject", String(128), nullable=False),
    word("peer"),
    json_("detail"),
    Index("ix_audit_actor_id", "actor", "id"),
    Index("ix_audit_act_id", "act", "id"),
    Index("ix_audit_subject_id", "subject", "id"),
)
