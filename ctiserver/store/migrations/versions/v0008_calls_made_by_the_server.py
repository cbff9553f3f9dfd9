"""Calls that the server makes to customers, and what data has raised records already"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "outbound_calls",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("order_id", sa.String(length=26), nullable=False),
        sa.Column("record_id", sa.String(length=26), nullable=False),
        sa.Column("contact_id", sa.String(length=26), nullable=True),
        sa.Column("flow", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("hours", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("due_at", _INSTANT, nullable=False),
        sa.Column("pbx", sa.String(length=64), nullable=True),
        sa.Column("channel_id", sa.String(length=80), nullable=True),
        sa.Column("call_id", sa.String(length=26), nullable=True),
        sa.Column("asked_at", _INSTANT, nullable=True),
        sa.Column("answered_at", _INSTANT, nullable=True),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.Column("told", sa.String(length=64), nullable=True),
        sa.Column("outcome", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("cost", sa.String(length=64), nullable=False),
        sa.Column("answers", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbound_calls")),
        sa.ForeignKeyConstraint(["order_id"], ["work_orders.id"], name=op.f("fk_outbound_calls_order_id")),
        sa.ForeignKeyConstraint(["record_id"], ["records.id"], name=op.f("fk_outbound_calls_record_id")),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name=op.f("fk_outbound_calls_contact_id")),
        sa.UniqueConstraint("order_id", name=op.f("uq_outbound_calls_order_id")),
    )
    op.create_index("ix_outbound_calls_state_due_at", "outbound_calls", ["state", "due_at"], unique=False)
    op.create_index(op.f("ix_outbound_calls_asked_at"), "outbound_calls", ["asked_at"], unique=False)
    op.create_index(op.f("ix_outbound_calls_call_id"), "outbound_calls", ["call_id"], unique=False)
    op.create_index(op.f("ix_outbound_calls_contact_id"), "outbound_calls", ["contact_id"], unique=False)
    op.create_index(op.f("ix_outbound_calls_record_id"), "outbound_calls", ["record_id"], unique=False)
    op.create_table(
        "raised_records",
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("object_id", sa.String(length=26), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("record_id", sa.String(length=26), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("rule", "object_id", "due_on", name=op.f("pk_raised_records")),
        sa.ForeignKeyConstraint(["record_id"], ["records.id"], name=op.f("fk_raised_records_record_id")),
    )
