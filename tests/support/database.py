"""A fresh database for a test, on each backend that ctiserver serves."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ctiserver.store.database import Database
from tests.support import postgres

_names = (f"test_{os.getpid()}_{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """The session's PostgreSQL. Who asks for it carries the marker ``postgres``."""
    with tempfile.TemporaryDirectory(prefix="ctiserver-pg-") as folder, postgres.cluster(Path(folder)) as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of its own, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ctiserver.sqlite"
        return
    cluster: postgres.Cluster = request.getfixturevalue("postgres_cluster")
    name = next(_names)
    yield cluster.create(name)
    cluster.drop(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database with the newest schema, once on SQLite and once on PostgreSQL."""
    async with Database.open(database_url, upgrade=True) as opened:
        yield opened
