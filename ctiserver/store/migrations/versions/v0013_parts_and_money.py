"""Spare parts and money: stock, what was done to it, expense lines, settlements"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "settlements",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("payee", sa.String(length=128), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("total", sa.String(length=40), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlements")),
        sa.UniqueConstraint("payee", "month", name=op.f("uq_settlements_payee_month")),
    )
    op.create_table(
        "stock_levels",
        sa.Column("place", sa.String(length=64), nullable=False),
        sa.Column("part", sa.String(length=64), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("old_due", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "reserved >= 0 AND on_hand >= reserved AND old_due >= 0", name=op.f("ck_stock_levels_never_below_zero")
        ),
        sa.PrimaryKeyConstraint("place", "part", name=op.f("pk_stock_levels")),
    )
    op.create_table(
        "expense_lines",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("record_id", sa.String(length=26), nullable=False),
        sa.Column("order_id", sa.String(length=26), nullable=True),
        sa.Column("what", sa.String(length=64), nullable=False),
        sa.Column("quantity", sa.String(length=40), nullable=False),
        sa.Column("unit_price", sa.String(length=40), nullable=False),
        sa.Column("amount", sa.String(length=40), nullable=False),
        sa.Column("payer", sa.String(length=64), nullable=False),
        sa.Column("payee", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(length=128), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("settlement_id", sa.String(length=26), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["work_orders.id"], name=op.f("fk_expense_lines_order_id")),
        sa.ForeignKeyConstraint(["record_id"], ["records.id"], name=op.f("fk_expense_lines_record_id")),
        sa.ForeignKeyConstraint(["settlement_id"], ["settlements.id"], name=op.f("fk_expense_lines_settlement_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_expense_lines")),
        sa.UniqueConstraint("key", name=op.f("uq_expense_lines_key")),
    )
    op.create_index(op.f("ix_expense_lines_order_id"), "expense_lines", ["order_id"], unique=False)
    op.create_index("ix_expense_lines_payee_state", "expense_lines", ["payee", "state"], unique=False)
    op.create_index(op.f("ix_expense_lines_record_id"), "expense_lines", ["record_id"], unique=False)
    op.create_index(op.f("ix_expense_lines_settlement_id"), "expense_lines", ["settlement_id"], unique=False)
    op.create_index("ix_expense_lines_state_id", "expense_lines", ["state", "id"], unique=False)
    op.create_table(
        "stock_moves",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("place", sa.String(length=64), nullable=False),
        sa.Column("part", sa.String(length=64), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.String(length=26), nullable=True),
        sa.Column("record_id", sa.String(length=26), nullable=True),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["work_orders.id"], name=op.f("fk_stock_moves_order_id")),
        sa.ForeignKeyConstraint(["record_id"], ["records.id"], name=op.f("fk_stock_moves_record_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_moves")),
        sa.UniqueConstraint("key", name=op.f("uq_stock_moves_key")),
    )
    op.create_index(op.f("ix_stock_moves_order_id"), "stock_moves", ["order_id"], unique=False)
    op.create_index("ix_stock_moves_place_part_id", "stock_moves", ["place", "part", "id"], unique=False)
    op.create_index(op.f("ix_stock_moves_record_id"), "stock_moves", ["record_id"], unique=False)
    op.create_table(
        "stock_reservations",
        sa.Column("order_id", sa.String(length=26), nullable=False),
        sa.Column("place", sa.String(length=64), nullable=False),
        sa.Column("part", sa.String(length=64), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_stock_reservations_never_below_zero")),
        sa.ForeignKeyConstraint(["order_id"], ["work_orders.id"], name=op.f("fk_stock_reservations_order_id")),
        sa.PrimaryKeyConstraint("order_id", "place", "part", name=op.f("pk_stock_reservations")),
    )
