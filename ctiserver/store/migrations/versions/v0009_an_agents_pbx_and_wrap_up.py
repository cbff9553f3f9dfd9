"""Which PBX an agent's phone is on, and until when after-call work lasts, for a server that is killed in it"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _anew()
    else:
        op.add_column("agents", sa.Column("pbx", sa.String(length=64), nullable=False, server_default=""))
        op.alter_column("agents", "pbx", server_default=None)
        op.drop_constraint(op.f("uq_agents_interface"), "agents", type_="unique")
        op.create_unique_constraint(op.f("uq_agents_pbx_interface"), "agents", ["pbx", "interface"])
    op.create_table(
        "wrap_ups",
        sa.Column("agent_id", sa.String(length=64), nullable=False),
        sa.Column("queue", sa.String(length=64), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("extended", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_wrap_ups_agent_id")),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_wrap_ups")),
    )


def _anew() -> None:
    """SQLite can't drop a constraint: the table is made again, its rows put back under the name that others point to.

    Those others are looked at when the transaction commits, so that nothing is missing then.
    """
    op.execute("PRAGMA defer_foreign_keys=ON")
    op.execute("CREATE TEMPORARY TABLE agents_before AS SELECT * FROM agents")
    op.drop_table("agents")
    op.create_table(
        "agents",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=26), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("extension", sa.String(length=64), nullable=False),
        sa.Column("pbx", sa.String(length=64), nullable=False),
        sa.Column("interface", sa.String(length=128), nullable=False),
        sa.Column("skills", _JSON, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_agents_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        sa.UniqueConstraint("pbx", "interface", name=op.f("uq_agents_pbx_interface")),
        sa.UniqueConstraint("user_id", name=op.f("uq_agents_user_id")),
    )
    columns = "id, user_id, name, extension, interface, skills, active, revision"
    op.execute(f"INSERT INTO agents (pbx, {columns}) SELECT '', {columns} FROM agents_before")  # noqa: S608
    op.execute("DROP TABLE agents_before")
