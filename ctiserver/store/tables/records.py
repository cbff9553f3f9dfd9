"""Service records, the calls they came from, and all that was done about them."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text

from ctiserver.store.tables.written import id_, instant, json_, long_text, metadata, ref, revision, word

counters = Table(  # of the numbers that people say: one row a prefix and day
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Integer, nullable=False),
)

records = Table(
    "records",
    metadata,
    id_(),
    word("number", unique=True),
    word("type"),
    word("status"),
    long_text("subject"),
    ref("contact_id", "contacts.id"),
    word("caller_number", index=True),
    ref("site_id", "sites.id", index=False),
    ref("device_id", "devices.id"),
    Column("owner", String(64), ForeignKey("agents.id"), index=True),
    word("payer"),
    Column("complainant", Text, nullable=False, server_default=""),
    word("complainant_number", server_default=""),
    Column("priority", Integer, nullable=False),
    Column("repeat_calls", Integer, nullable=False, server_default="0"),
    instant("repeat_call_at", nullable=True),
    word("disposition", nullable=True),
    word("resolution", nullable=True),
    long_text("notes"),
    json_("fields"),
    instant("opened_at", index=True),
    instant("updated_at"),
    instant("closed_at", nullable=True),
    revision(),
    CheckConstraint("(status = 'closed') = (closed_at IS NOT NULL)", name="closed_has_time"),
)

record_calls = Table(
    "record_calls",
    metadata,
    Column("record_id", String(26), ForeignKey("records.id", ondelete="CASCADE"), primary_key=True),
    Column("call_id", String(26), primary_key=True, index=True),
)

record_timeline = Table(
    "record_timeline",
    metadata,
    id_(),
    Column("record_id", String(26), ForeignKey("records.id", ondelete="CASCADE"), nullable=False),
    instant("at"),
    Column("actor", String(128), nullable=False),
    word("kind"),
    json_("data"),
    Index("ix_record_timeline_record_id_id", "record_id", "id"),
)
