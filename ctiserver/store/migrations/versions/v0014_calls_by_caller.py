"""A caller's earlier calls are counted at each call: not by reading all calls of the last day"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_calls_ani_started_at", "calls", ["ani", "started_at"], unique=False)
