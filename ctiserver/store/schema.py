"""The database's schema: which version it has, and how it comes to the newest."""

from __future__ import annotations

from functools import cache

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from ctiserver.errors import UserFault
from ctiserver.resources import package_file

#: Any number will do as long as every ctiserver uses the same: PostgreSQL's name for "the schema is being changed".
_ADVISORY_LOCK = 0x637469


def config() -> Config:
    """Alembic's configuration, without a file of its own."""
    made = Config()
    made.set_main_option("script_location", str(package_file("store", "migrations")))
    made.set_main_option("path_separator", "os")
    return made


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(config())


def head() -> str:
    """The newest schema that this ctiserver knows."""
    revision = _scripts().get_current_head()
    assert revision is not None
    return revision


def current(connection: sa.Connection) -> str | None:
    """The schema that the database has; None if it has none yet.

    Raises UserFault if it is one that this ctiserver does not know.
    """
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is not None and not known(revision):
        raise UserFault(
            f"the database has schema {revision}, which is newer than this ctiserver knows (its newest is {head()})",
            where="database.url",
            fix="Install the newer ctiserver again, or put back the backup made before the upgrade",
        )
    return revision


def known(revision: str) -> bool:
    """Whether this ctiserver knows that schema."""
    return revision in {script.revision for script in _scripts().walk_revisions()}


def upgrade(connection: sa.Connection) -> tuple[str | None, str]:
    """Bring the schema to the newest inside the connection's transaction: all of it or nothing.

    Returns the version before and after. Two processes that upgrade at once do it one after the other.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    before = current(connection)
    make(connection, "head")
    return before, head()


def make(connection: sa.Connection, revision: str) -> None:
    """Bring the schema to ``revision``, inside the connection's transaction."""
    settings = config()
    settings.attributes["connection"] = connection
    command.upgrade(settings, revision)
