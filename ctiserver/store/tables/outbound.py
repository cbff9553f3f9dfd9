"""What the server begins by itself: calls to customers, and records raised by data."""

from __future__ import annotations

from sqlalchemy import Column, Date, Index, Integer, String, Table, UniqueConstraint

from ctiserver.store.tables.written import id_, instant, json_, metadata, ref, word

outbound_calls = Table(
    "outbound_calls",
    metadata,
    id_(),
    ref("order_id", "work_orders.id", nullable=False, index=False),
    ref("record_id", "records.id", nullable=False),
    ref("contact_id", "contacts.id"),
    word("flow"),
    Column("attempt", Integer, nullable=False),
    word("hours", nullable=True),
    word("state"),
    instant("due_at"),
    word("pbx", nullable=True),
    Column("channel_id", String(80)),
    Column("call_id", String(26), index=True),
    instant("asked_at", nullable=True, index=True),
    instant("answered_at", nullable=True),
    instant("ended_at", nullable=True),
    word("told", nullable=True),
    word("outcome", nullable=True),
    word("reason", nullable=True),
    Column("minutes", Integer, nullable=False),
    word("cost"),
    json_("answers"),
    UniqueConstraint("order_id"),
    Index("ix_outbound_calls_state_due_at", "state", "due_at"),
)

raised_records = Table(  # what data has raised a record, so that it does so once
    "raised_records",
    metadata,
    Column("rule", String(64), primary_key=True),
    Column("object_id", String(26), primary_key=True),
    Column("due_on", Date, primary_key=True),
    ref("record_id", "records.id", nullable=False, index=False),
    instant("at"),
)
