"""Who complains or asks may be somebody else than the contact whose matter it is"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("records") as table:
        table.add_column(sa.Column("complainant", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("complainant_number", sa.String(length=64), nullable=False, server_default=""))
