"""Alembic's entry: runs inside a connection and transaction that ``ctiserver.store.schema`` holds."""

from alembic import context

from ctiserver.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite can't alter most things in place
    compare_type=True,
    transaction_per_migration=False,
)
context.run_migrations()
