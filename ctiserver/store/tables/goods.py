"""Spare parts and money: stock, what was done to it, expense lines, settlements."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from ctiserver.store.columns import ExactDecimal
from ctiserver.store.tables.written import id_, instant, long_text, metadata, ref, revision, word

stock_levels = Table(
    "stock_levels",
    metadata,
    Column("place", String(64), primary_key=True),
    Column("part", String(64), primary_key=True),
    Column("on_hand", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("old_due", Integer, nullable=False),
    CheckConstraint("reserved >= 0 AND on_hand >= reserved AND old_due >= 0", name="never_below_zero"),
)

stock_reservations = Table(  # how many of the reserved ones are for which order
    "stock_reservations",
    metadata,
    Column("order_id", String(26), ForeignKey("work_orders.id"), primary_key=True),
    Column("place", String(64), primary_key=True),
    Column("part", String(64), primary_key=True),
    Column("quantity", Integer, nullable=False),
    CheckConstraint("quantity >= 0", name="never_below_zero"),
)

stock_moves = Table(
    "stock_moves",
    metadata,
    id_(),
    Column("key", String(200), nullable=False, unique=True),
    word("kind"),
    word("place"),
    word("part"),
    Column("quantity", Integer, nullable=False),
    ref("order_id", "work_orders.id"),
    ref("record_id", "records.id"),
    Column("actor", String(128), nullable=False),
    instant("at"),
    Index("ix_stock_moves_place_part_id", "place", "part", "id"),
)

settlements = Table(
    "settlements",
    metadata,
    id_(),
    Column("payee", String(128), nullable=False),
    Column("month", String(7), nullable=False),
    Column("total", ExactDecimal, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("actor", String(128), nullable=False),
    instant("at"),
    UniqueConstraint("payee", "month"),
)

expense_lines = Table(
    "expense_lines",
    metadata,
    id_(),
    Column("key", String(200), nullable=False, unique=True),
    ref("record_id", "records.id", nullable=False),
    ref("order_id", "work_orders.id"),
    word("what"),
    Column("quantity", ExactDecimal, nullable=False),
    Column("unit_price", ExactDecimal, nullable=False),
    Column("amount", ExactDecimal, nullable=False),
    word("payer"),
    Column("payee", String(128), nullable=False),
    word("state"),
    Column("actor", String(128), nullable=False),
    instant("at"),
    Column("decided_by", String(128), nullable=False),
    instant("decided_at", nullable=True),
    long_text("reason"),
    ref("settlement_id", "settlements.id"),
    revision(),
    Index("ix_expense_lines_state_id", "state", "id"),
    Index("ix_expense_lines_payee_state", "payee", "state"),
)
