"""Audio recordings of calls."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, String, Table, UniqueConstraint

from ctiserver.store.tables.written import id_, instant, json_, metadata, word

recordings = Table(
    "recordings",
    metadata,
    id_(),
    Column("call_id", String(26), nullable=False, index=True),
    word("pbx"),
    Column("file", String(255), nullable=False),
    Column("channel", String(128), nullable=False),
    Column("talk_only", Boolean, nullable=False),
    instant("started_at", index=True),
    instant("stopped_at", nullable=True),
    instant("found_at", nullable=True),
    Column("seconds", Float),
    Column("size", Integer),
    Column("sha256", String(64)),
    instant("removed_at", nullable=True),
    json_("masks"),
    UniqueConstraint("pbx", "file"),
)
