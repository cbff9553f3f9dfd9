"""The call log: calls, their way through flows, pops."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table

from ctiserver.store.tables.written import id_, instant, json_, long_text, metadata, ref, word

calls = Table(
    "calls",
    metadata,
    id_(),
    word("pbx"),
    word("direction"),
    word("ani"),
    long_text("caller_name"),
    word("dnis"),
    instant("started_at", index=True),
    instant("answered_at", nullable=True),
    instant("ended_at", nullable=True),
    word("outcome", nullable=True),
    word("hangup_by", nullable=True),
    Column("hangup_cause", Integer),
    word("queue"),
    Column("agent_id", String(64), index=True),
    Column("wait_ms", Integer),
    Column("talk_ms", Integer),
    ref("contact_id", "contacts.id"),
    word("no_record_reason", nullable=True),
    Column("complete", Boolean, nullable=False),
    json_("detail"),
    Index("ix_calls_ani_started_at", "ani", "started_at"),  # every caller's earlier calls are counted
)

call_path = Table(
    "call_path",
    metadata,
    Column("call_id", String(26), primary_key=True),
    Column("seq", Integer, primary_key=True),
    instant("at"),
    word("flow"),
    word("version"),
    word("node"),
    word("outcome"),
    json_("data"),
)

flow_states = Table(
    "flow_states",
    metadata,
    Column("call_id", String(26), primary_key=True),
    json_("state"),
    instant("saved_at", index=True),
)

pops = Table(
    "pops",
    metadata,
    id_(),
    Column("call_id", String(26), nullable=False, index=True),
    Column("agent_id", String(64), ForeignKey("agents.id"), nullable=False, index=True),
    ref("contact_id", "contacts.id", index=False),
    ref("record_id", "records.id", index=False),
    instant("sent_at"),
    instant("painted_at", nullable=True),
    word("reason", nullable=True),
)
