"""The tables. A change here comes with a migration; a test compares the two.

Names of columns are the names of the fields in ``ctiserver.model``. Ids are ULIDs unless said otherwise. A ``call_id``
has no foreign key: AGI may open a record before AMI has told of the call, and either may be lost to a restart.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from ctiserver.store.columns import JsonColumn, TextTuple, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id(name: str = "id") -> Column[str]:
    return Column(name, String(26), primary_key=True)


def _ref(name: str, target: str, *, nullable: bool = True, index: bool = True) -> Column[str]:
    return Column(name, String(26), ForeignKey(target), nullable=nullable, index=index)


def _word(name: str, **options: Any) -> Column[str]:
    return Column(name, String(64), nullable=options.pop("nullable", False), **options)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _at(name: str, *, nullable: bool = False, index: bool = False) -> Column[Any]:
    return Column(name, UtcDateTime, nullable=nullable, index=index)


def _json(name: str) -> Column[Any]:
    return Column(name, JsonColumn, nullable=False)


def _revision() -> Column[int]:
    return Column("revision", Integer, nullable=False)


# People

users = Table(
    "users",
    metadata,
    _id(),
    _word("login", unique=True),
    _text("name"),
    _text("password_hash"),
    _word("role"),
    _word("language"),
    Column("skills", TextTuple, nullable=False),
    Column("regions", TextTuple, nullable=False),
    Column("active", Boolean, nullable=False),
    _at("created_at"),
    _revision(),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("user_id", String(26), ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    _at("created_at"),
    _at("seen_at"),
    _at("expires_at", index=True),
)

agents = Table(
    "agents",
    metadata,
    Column("id", String(64), primary_key=True),  # a short name that people say
    Column("user_id", String(26), ForeignKey("users.id"), unique=True),
    _text("name"),
    _word("extension"),
    Column("interface", String(128), nullable=False, unique=True),
    Column("skills", TextTuple, nullable=False),
    Column("active", Boolean, nullable=False),
    _revision(),
)

# Who calls, from where, about what

contacts = Table(
    "contacts",
    metadata,
    _id(),
    _text("name"),
    _text("organisation"),
    _word("language"),
    _word("tier"),
    Column("do_not_call", Boolean, nullable=False),
    _text("note"),
    _at("created_at"),
    _at("updated_at"),
    _revision(),
)

contact_numbers = Table(
    "contact_numbers",
    metadata,
    Column("contact_id", String(26), ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True),
    Column("number", String(64), primary_key=True, index=True),
    Column("position", Integer, nullable=False),
)

sites = Table(
    "sites",
    metadata,
    _id(),
    _ref("contact_id", "contacts.id", nullable=False),
    _text("name"),
    _text("address"),
    _word("region"),
    _text("local_person"),
    _word("local_number"),
)

devices = Table(
    "devices",
    metadata,
    _id(),
    _ref("contact_id", "contacts.id", nullable=False),
    _ref("site_id", "sites.id"),
    _word("serial", index=True),
    _text("model"),
    Column("bought_on", Date),
    Column("warranty_until", Date),
    _text("contract"),
)

# Calls

calls = Table(
    "calls",
    metadata,
    _id(),
    _word("pbx"),
    _word("direction"),
    _word("ani"),
    _text("caller_name"),
    _word("dnis"),
    _at("started_at", index=True),
    _at("answered_at", nullable=True),
    _at("ended_at", nullable=True),
    _word("outcome", nullable=True),
    _word("hangup_by", nullable=True),
    Column("hangup_cause", Integer),
    _word("queue"),
    Column("agent_id", String(64), index=True),
    Column("wait_ms", Integer),
    Column("talk_ms", Integer),
    _ref("contact_id", "contacts.id"),
    _word("no_record_reason", nullable=True),
    Column("complete", Boolean, nullable=False),
    _json("detail"),
)

call_path = Table(
    "call_path",
    metadata,
    Column("call_id", String(26), primary_key=True),
    Column("seq", Integer, primary_key=True),
    _at("at"),
    _word("flow"),
    _word("version"),
    _word("node"),
    _word("outcome"),
    _json("data"),
)

flow_states = Table(
    "flow_states",
    metadata,
    Column("call_id", String(26), primary_key=True),
    _json("state"),
    _at("saved_at", index=True),
)

pops = Table(
    "pops",
    metadata,
    _id(),
    Column("call_id", String(26), nullable=False, index=True),
    Column("agent_id", String(64), ForeignKey("agents.id"), nullable=False, index=True),
    _ref("contact_id", "contacts.id", index=False),
    _ref("record_id", "records.id", index=False),
    _at("sent_at"),
    _at("painted_at", nullable=True),
    _word("reason", nullable=True),
)

# Records

counters = Table(  # of the numbers that people say: one row a prefix and day
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Integer, nullable=False),
)

records = Table(
    "records",
    metadata,
    _id(),
    _word("number", unique=True),
    _word("type"),
    _word("status"),
    _text("subject"),
    _ref("contact_id", "contacts.id"),
    _word("caller_number", index=True),
    _ref("site_id", "sites.id", index=False),
    _ref("device_id", "devices.id"),
    Column("owner", String(64), ForeignKey("agents.id"), index=True),
    _word("payer"),
    Column("priority", Integer, nullable=False),
    _word("disposition", nullable=True),
    _word("resolution", nullable=True),
    _text("notes"),
    _json("fields"),
    _at("opened_at", index=True),
    _at("updated_at"),
    _at("closed_at", nullable=True),
    _revision(),
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
    _id(),
    Column("record_id", String(26), ForeignKey("records.id", ondelete="CASCADE"), nullable=False),
    _at("at"),
    Column("actor", String(128), nullable=False),
    _word("kind"),
    _json("data"),
    Index("ix_record_timeline_record_id_id", "record_id", "id"),
)

# Work

processes = Table(
    "processes",
    metadata,
    _id(),
    _ref("record_id", "records.id", nullable=False),
    _word("name"),
    Column("version", Integer, nullable=False),
    _word("status"),
    _json("definition"),
    _json("state"),
    _at("started_at"),
    _at("updated_at"),
    _at("closed_at", nullable=True),
    _revision(),
)

process_events = Table(  # what an instance was told, once each
    "process_events",
    metadata,
    Column("process_id", String(26), ForeignKey("processes.id", ondelete="CASCADE"), primary_key=True),
    Column("event_id", String(128), primary_key=True),
    _at("at"),
    _word("kind"),
    Column("applied", Boolean, nullable=False),  # False: it came too late and changed nothing
    _json("data"),
)

work_orders = Table(
    "work_orders",
    metadata,
    _id(),
    _word("number", unique=True),
    Column("key", String(200), nullable=False, unique=True),
    _word("kind"),
    _ref("record_id", "records.id", nullable=False),
    _ref("process_id", "processes.id"),
    _word("step"),
    _word("state"),
    _word("held_from", nullable=True),
    _word("outcome", nullable=True),
    _ref("assignee", "users.id", index=False),
    _word("role"),
    _at("accept_by", nullable=True),
    _at("due_at", nullable=True),
    _at("planned_at", nullable=True),
    Column("late", Boolean, nullable=False),
    _json("payload"),
    _json("result"),
    _at("created_at"),
    _at("updated_at"),
    _revision(),
    Index("ix_work_orders_assignee_state", "assignee", "state"),
    Index("ix_work_orders_role_state", "role", "state"),
)

timers = Table(
    "timers",
    metadata,
    _id(),
    _ref("process_id", "processes.id", nullable=False, index=False),
    Column("key", String(200), nullable=False),
    _at("due_at"),
    _word("state"),
    _at("ended_at", nullable=True),
    UniqueConstraint("process_id", "key"),
    Index("ix_timers_state_due_at", "state", "due_at"),
)

outbox = Table(
    "outbox",
    metadata,
    _id(),
    _word("topic"),
    Column("key", String(200), nullable=False, unique=True),
    _json("payload"),
    _at("created_at"),
    _at("due_at", nullable=True),
    _at("handed_at", nullable=True),
    Index(
        "ix_outbox_due",
        "due_at",
        "id",
        sqlite_where=text("handed_at IS NULL"),
        postgresql_where=text("handed_at IS NULL"),
    ),
)

executors = Table(  # servers that carry processes on, and when each was last heard of
    "executors",
    metadata,
    Column("id", String(64), primary_key=True),
    _at("beat_at"),
)
