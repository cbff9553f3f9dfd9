"""What other systems asked for is done once, however often they ask"""

import sqlalchemy as sa
from alembic import op

from ctiserver.store.columns import JsonColumn

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "requests",
        sa.Column("user_id", sa.String(length=26), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("answer", JsonColumn, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_requests_user_id")),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_requests")),
    )
