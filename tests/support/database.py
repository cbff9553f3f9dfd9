"""A fresh database for a test, on each backend that ctiserver serves.

Migrations run once a session; each test gets a copy of what they made.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from threading import Thread

import pytest

from ctiserver.store.database import Database
from tests.support import postgres

_names = (f"test_{os.getpid()}_{number}" for number in itertools.count())
_TEMPLATE = "newest_schema"


def newest_sqlite(folder: Path) -> str:
    """The URL of a new SQLite database in ``folder`` with the newest schema and nothing in it."""
    (folder / "ctiserver.sqlite").write_bytes(_migrated_sqlite())
    return f"sqlite:///{folder}/ctiserver.sqlite"


@cache
def _migrated_sqlite() -> bytes:
    with tempfile.TemporaryDirectory(prefix="ctiserver-schema-") as folder:
        _migrate(f"sqlite:///{folder}/ctiserver.sqlite")
        return (Path(folder) / "ctiserver.sqlite").read_bytes()


def _migrate(url: str) -> None:
    async def migrate() -> None:
        async with Database.open(url, upgrade=True):
            pass

    # in a thread of its own, since the test that comes first has a loop running already
    thread = Thread(target=asyncio.run, args=(migrate(),))
    thread.start()
    thread.join()


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """The session's PostgreSQL. Who asks for it carries the marker ``postgres``."""
    with tempfile.TemporaryDirectory(prefix="ctiserver-pg-") as folder, postgres.cluster(Path(folder)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres_template(postgres_cluster: postgres.Cluster) -> str:
    """The name of a database with the newest schema, to copy."""
    _migrate(postgres_cluster.create(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of its own, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ctiserver.sqlite"
        return
    cluster: postgres.Cluster = request.getfixturevalue("postgres_cluster")
    name = next(_names)
    # a test that asks for an open ``database`` as well finds the newest schema there already
    template = request.getfixturevalue("postgres_template") if "database" in request.fixturenames else None
    yield cluster.create(name, template)
    cluster.drop(name)


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """An open database with the newest schema, once on SQLite and once on PostgreSQL."""
    if database_url.startswith("sqlite"):
        newest_sqlite(tmp_path)
    async with Database.open(database_url) as opened:
        yield opened
