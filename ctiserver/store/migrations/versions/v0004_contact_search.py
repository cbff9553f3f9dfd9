"""Contacts are found by any part of what is known of them: one text each, indexed by its three-character windows

SQLite has an index for that (FTS5's trigram tokenizer, since 3.34). PostgreSQL's pg_trgm is an extension that may not
be installed, and leaves out what the database's locale takes for no letter; so the windows are an array there, which
the GIN index that every PostgreSQL has can search.
"""

import sqlalchemy as sa
from alembic import op

from ctiserver.model.search_text import encoded

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SQLITE = (
    """
    CREATE VIRTUAL TABLE contact_windows USING fts5(
      text, content='contact_search', content_rowid='n', tokenize='trigram', columnsize=0
    )
    """,
    """
    CREATE TRIGGER contact_search_added AFTER INSERT ON contact_search BEGIN
      INSERT INTO contact_windows (rowid, text) VALUES (new.n, new.text);
    END
    """,
    """
    CREATE TRIGGER contact_search_removed AFTER DELETE ON contact_search BEGIN
      INSERT INTO contact_windows (contact_windows, rowid, text) VALUES ('delete', old.n, old.text);
    END
    """,
    """
    CREATE TRIGGER contact_search_changed AFTER UPDATE OF text ON contact_search BEGIN
      INSERT INTO contact_windows (contact_windows, rowid, text) VALUES ('delete', old.n, old.text);
      INSERT INTO contact_windows (rowid, text) VALUES (new.n, new.text);
    END
    """,
)
_POSTGRESQL = (
    """
    CREATE FUNCTION ctiserver_windows(whole text) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
      SELECT array_agg(DISTINCT substr(whole, n, 3)) FROM generate_series(1, length(whole) - 2) AS n
    $$
    """,
    "CREATE INDEX ix_contact_search_windows ON contact_search USING gin (ctiserver_windows(text))",
)


def upgrade() -> None:
    search = op.create_table(
        "contact_search",
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.String(length=26), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contacts.id"], name=op.f("fk_contact_search_contact_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_contact_search")),
        sa.UniqueConstraint("contact_id", name=op.f("uq_contact_search_contact_id")),
    )
    connection = op.get_bind()
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.exec_driver_sql(statement)
    contacts = connection.execute(sa.text("SELECT id, name, organisation FROM contacts ORDER BY id")).all()
    for key, *texts in contacts:
        for more in (
            "SELECT number FROM contact_numbers WHERE contact_id = :key ORDER BY position",
            "SELECT name || ' ' || address || ' ' || local_person FROM sites WHERE contact_id = :key",
            "SELECT local_number FROM sites WHERE contact_id = :key",
            "SELECT serial || ' ' || model FROM devices WHERE contact_id = :key",
        ):
            texts.extend(connection.execute(sa.text(more), {"key": key}).scalars())
        connection.execute(sa.insert(search).values(contact_id=key, text=encoded(texts)))
