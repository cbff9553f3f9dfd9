"""What was taken over from a PBX's own accounts, and until when each PBX has been watched."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table

from ctiserver.store.tables.written import instant, metadata

journal_entries = Table(
    "journal_entries",
    metadata,
    Column("pbx", String(64), primary_key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),  # when the dialplan wrote it, seconds
    Column("key", String(200), primary_key=True),
    Column("call_id", String(26), nullable=False, index=True),
    instant("taken_at"),
)

watches = Table("watches", metadata, Column("pbx", String(64), primary_key=True), instant("until"))
