"""Who calls, from where, about what: contacts, their numbers, sites and devices."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Date, ForeignKey, Integer, String, Table, Text

from ctiserver.store.tables.written import id_, instant, long_text, metadata, ref, revision, word

contacts = Table(
    "contacts",
    metadata,
    id_(),
    long_text("name"),
    long_text("organisation"),
    Column("email", String(320), nullable=False, server_default=""),
    word("language"),
    word("tier"),
    Column("do_not_call", Boolean, nullable=False),
    long_text("note"),
    instant("created_at"),
    instant("updated_at"),
    revision(),
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
    id_(),
    ref("contact_id", "contacts.id", nullable=False),
    long_text("name"),
    long_text("address"),
    word("region"),
    long_text("local_person"),
    word("local_number"),
    instant("retired_at", nullable=True),
    Column("revision", Integer, nullable=False, server_default="1"),
)

devices = Table(
    "devices",
    metadata,
    id_(),
    ref("contact_id", "contacts.id", nullable=False),
    ref("site_id", "sites.id"),
    word("serial", index=True),
    long_text("model"),
    Column("bought_on", Date),
    Column("warranty_until", Date),
    long_text("contract"),
    instant("retired_at", nullable=True),
    Column("revision", Integer, nullable=False, server_default="1"),
)

contact_search = Table(  # by what a contact is found; a migration makes the index over it, as each database has one
    "contact_search",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("contact_id", String(26), ForeignKey("contacts.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("text", Text, nullable=False),
)
