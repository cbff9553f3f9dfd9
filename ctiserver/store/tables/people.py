"""Users, their sessions, and the agents among them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, String, Table, UniqueConstraint

from ctiserver.store.columns import TextTuple
from ctiserver.store.tables.written import id_, instant, long_text, metadata, revision, word

users = Table(
    "users",
    metadata,
    id_(),
    word("login", unique=True),
    long_text("name"),
    long_text("password_hash"),
    word("role"),
    word("language"),
    Column("skills", TextTuple, nullable=False),
    Column("regions", TextTuple, nullable=False),
    word("department", server_default=""),
    word("calendar", server_default=""),  # whose hours they work; empty: at any time
    instant("away_until", nullable=True),
    Column("active", Boolean, nullable=False),
    instant("created_at"),
    revision(),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("user_id", String(26), ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    instant("created_at"),
    instant("seen_at"),
    instant("expires_at", index=True),
)

agents = Table(
    "agents",
    metadata,
    Column("id", String(64), primary_key=True),  # a short name that people say
    Column("user_id", String(26), ForeignKey("users.id"), unique=True),
    long_text("name"),
    word("extension"),
    word("pbx"),
    Column("interface", String(128), nullable=False),
    Column("skills", TextTuple, nullable=False),
    Column("active", Boolean, nullable=False),
    revision(),
    UniqueConstraint("pbx", "interface"),
)

wrap_ups = Table(
    "wrap_ups",
    metadata,
    Column("agent_id", String(64), ForeignKey("agents.id"), primary_key=True),
    word("queue"),
    instant("until"),
    Column("extended", Boolean, nullable=False),
)
