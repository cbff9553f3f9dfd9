"""Processes under way, their work orders and timers, and who carries them on."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from ctiserver.store.tables.written import id_, instant, json_, metadata, ref, revision, word

processes = Table(
    "processes",
    metadata,
    id_(),
    ref("record_id", "records.id", nullable=False),
    word("name"),
    Column("version", Integer, nullable=False),
    word("status"),
    json_("definition"),
    json_("state"),
    instant("started_at"),
    instant("updated_at"),
    instant("closed_at", nullable=True),
    revision(),
)

process_events = Table(  # what an instance was told, once each
    "process_events",
    metadata,
    Column("process_id", String(26), ForeignKey("processes.id", ondelete="CASCADE"), primary_key=True),
    Column("event_id", String(128), primary_key=True),
    instant("at"),
    word("kind"),
    Column("applied", Boolean, nullable=False),  # False: it came too late and changed nothing
    json_("data"),
)

work_orders = Table(
    "work_orders",
    metadata,
    id_(),
    word("number", unique=True),
    Column("key", String(200), nullable=False, unique=True),
    word("kind"),
    ref("record_id", "records.id", nullable=False),
    ref("process_id", "processes.id"),
    word("step"),
    word("state"),
    word("held_from", nullable=True),
    word("outcome", nullable=True),
    ref("assignee", "users.id", index=False),
    word("role"),
    instant("accept_by", nullable=True),
    instant("due_at", nullable=True),
    instant("planned_at", nullable=True),
    Column("late", Boolean, nullable=False),
    json_("payload"),
    json_("result"),
    instant("created_at"),
    instant("updated_at"),
    revision(),
    Index("ix_work_orders_assignee_state", "assignee", "state"),
    Index("ix_work_orders_role_state", "role", "state"),
    Index("ix_work_orders_kind_state_updated_at", "kind", "state", "updated_at"),
)

timers = Table(
    "timers",
    metadata,
    id_(),
    ref("process_id", "processes.id", nullable=False, index=False),
    Column("key", String(200), nullable=False),
    instant("due_at"),
    word("state"),
    instant("ended_at", nullable=True),
    UniqueConstraint("process_id", "key"),
    Index("ix_timers_state_due_at", "state", "due_at"),
)

executors = Table(  # servers that carry processes on, and when each was last heard of
    "executors",
    metadata,
    Column("id", String(64), primary_key=True),
    instant("beat_at"),
)
