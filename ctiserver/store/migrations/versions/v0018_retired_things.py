"""Sites and devices: since when one is not in use any more, and the revision that two people at the desk differ by"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("sites", "devices"):
        with op.batch_alter_table(name) as table:
            table.add_column(sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True))
            table.add_column(sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
