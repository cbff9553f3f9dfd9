"""What is told to the world outside."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table

from ctiserver.store.columns import ExactDecimal
from ctiserver.store.tables.written import id_, instant, long_text, metadata, ref, word

messages = Table(
    "messages",
    metadata,
    id_(),
    Column("key", String(200), nullable=False, unique=True),
    word("via"),
    Column("to", String(320), nullable=False),
    long_text("subject"),
    long_text("text"),
    ref("record_id", "records.id"),
    word("state"),
    Column("attempts", Integer, nullable=False),
    instant("next_at"),
    long_text("error"),
    Column("cost", ExactDecimal, nullable=False),
    instant("created_at"),
    instant("sent_at", nullable=True),
    instant("delivered_at", nullable=True),
    Index("ix_messages_state_next_at", "state", "next_at"),
)

opt_outs = Table(  # numbers that want no SMS
    "opt_outs",
    metadata,
    Column("number", String(64), primary_key=True),
    instant("at"),
)
