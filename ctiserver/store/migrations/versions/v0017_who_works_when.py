"""Departments, working hours and absence of people; repeat calls of records; the orders of a day"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("users") as table:
        table.add_column(sa.Column("department", sa.String(length=64), nullable=False, server_default=""))
        table.add_column(sa.Column("calendar", sa.String(length=64), nullable=False, server_default=""))
        table.add_column(sa.Column("away_until", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("records") as table:
        table.add_column(sa.Column("repeat_calls", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("repeat_call_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_work_orders_kind_state_updated_at", "work_orders", ["kind", "state", "updated_at"])
