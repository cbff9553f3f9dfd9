"""An audit log that the database lets nobody change"""

import sqlalchemy as sa
from alembic import op

from ctiserver.store.columns import JsonColumn

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SQLITE = tuple(
    f"CREATE TRIGGER audit_{what} BEFORE {what} ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    for what in ("UPDATE", "DELETE")
)
_POSTGRESQL = (
    """
    CREATE FUNCTION ctiserver_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
    """,
    """
    CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION ctiserver_append_only()
    """,
)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("act", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("peer", sa.String(length=64), nullable=False),
        sa.Column("detail", JsonColumn, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    for column in ("actor", "act", "subject"):
        op.create_index(op.f(f"ix_audit_{column}_id"), "audit", [column, "id"], unique=False)
    connection = op.get_bind()
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.exec_driver_sql(statement)
