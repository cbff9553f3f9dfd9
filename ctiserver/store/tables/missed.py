"""Callers who left unserved."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, UniqueConstraint

from ctiserver.store.tables.written import id_, instant, metadata, ref, word

missed_calls = Table(
    "missed_calls",
    metadata,
    id_(),
    word("number"),
    instant("period_began_at"),
    Column("queue", String(80), nullable=False),
    ref("record_id", "records.id", nullable=False),
    Column("call_id", String(26), nullable=False),
    Column("calls", Integer, nullable=False),
    instant("missed_at", index=True),
    instant("last_at"),
    word("state"),
    instant("ended_at", nullable=True),
    Column("ended_by", String(128), nullable=False),
    UniqueConstraint("number", "period_began_at"),
    Index("ix_missed_calls_state_id", "state", "id"),
)
