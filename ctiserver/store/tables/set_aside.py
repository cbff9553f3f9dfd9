"""Work that could not be done."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table, UniqueConstraint

from ctiserver.store.tables.written import id_, instant, long_text, metadata, word

set_aside = Table(
    "set_aside",
    metadata,
    id_(),
    word("kind"),
    Column("ref", String(200), nullable=False),
    Column("about", String(200), nullable=False),
    Column("record_id", String(26), nullable=True),  # what it belongs to may be what is wrong with it: no foreign key
    long_text("reason"),
    word("state"),
    Column("tries", Integer, nullable=False),
    instant("at"),
    UniqueConstraint("kind", "ref"),
)
