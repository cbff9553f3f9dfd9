"""What was taken over from a PBX's own journal, and until when each PBX has been watched"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "journal_entries",
        sa.Column("pbx", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("call_id", sa.String(length=26), nullable=False),
        sa.Column("taken_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("pbx", "epoch", "key", name=op.f("pk_journal_entries")),
    )
    op.create_index(op.f("ix_journal_entries_call_id"), "journal_entries", ["call_id"], unique=False)
    op.create_table(
        "watches",
        sa.Column("pbx", sa.String(length=64), nullable=False),
        sa.Column("until", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("pbx", name=op.f("pk_watches")),
    )
