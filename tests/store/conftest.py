from pathlib import Path

import pytest

from ctiserver.store.database import Database
from tests.support.database import database, database_url, postgres_cluster, postgres_template

__all__ = ["database", "database_url", "postgres_cluster", "postgres_template"]


@pytest.fixture
def workflow_url(database: Database, database_url: str, tmp_path: Path) -> str:
    """Where the durable engine keeps what it does: beside SQLite's file, in PostgreSQL's own database."""
    return f"sqlite:///{tmp_path}/workflow.sqlite" if database.dialect == "sqlite" else database_url
