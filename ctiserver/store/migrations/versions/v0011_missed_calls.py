"""Callers who left unserved, one row a number and open period, and whether they were reached afterwards"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "missed_calls",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("period_began_at", _INSTANT, nullable=False),
        sa.Column("queue", sa.String(length=80), nullable=False),
        sa.Column("record_id", sa.String(length=26), nullable=False),
        sa.Column("call_id", sa.String(length=26), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("missed_at", _INSTANT, nullable=False),
        sa.Column("last_at", _INSTANT, nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.Column("ended_by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_missed_calls")),
        sa.ForeignKeyConstraint(["record_id"], ["records.id"], name=op.f("fk_missed_calls_record_id")),
        sa.UniqueConstraint("number", "period_began_at", name=op.f("uq_missed_calls_number_period_began_at")),
    )
    op.create_index(op.f("ix_missed_calls_record_id"), "missed_calls", ["record_id"], unique=False)
    op.create_index("ix_missed_calls_state_id", "missed_calls", ["state", "id"], unique=False)
    op.create_index(op.f("ix_missed_calls_missed_at"), "missed_calls", ["missed_at"], unique=False)
