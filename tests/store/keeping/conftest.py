from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.database import postgres_cluster
from tests.support.kept import kept_on_postgresql, kept_on_sqlite
from tests.support.postgres import Cluster
from tests.support.served import Site

__all__ = ["postgres_cluster"]
_names = (f"kept_{os.getpid()}_{number}" for number in itertools.count())


class Place:
    """A site with real rows, and where another like it may be made."""

    def __init__(self, site: Site, url: str, workflow_url: str, cluster: Cluster | None) -> None:
        self.site = site
        self.url = url
        self.workflow_url = workflow_url
        self._cluster = cluster
        self.made: list[str] = []

    @property
    def files(self) -> bool:
        """Whether the databases are files."""
        return self._cluster is None

    def empty(self) -> str:
        """The URL of a new, empty PostgreSQL database; it is dropped at the end."""
        assert self._cluster is not None
        name = next(_names)
        self.made.append(name)
        return self._cluster.create(name)


Emptied = Callable[[], str]


@pytest.fixture
def empty_postgres(postgres_cluster: Cluster) -> Iterator[Emptied]:
    """Makes empty PostgreSQL databases, and drops them at the end."""
    made: list[str] = []

    def make() -> str:
        made.append(next(_names))
        return postgres_cluster.create(made[-1])

    yield make
    for name in made:
        postgres_cluster.drop(name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A copy of the last release's kept site, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        site = kept_on_sqlite(tmp_path / "kept")
        data = site.folder / "data"
        yield Place(site, f"sqlite:///{data}/ctiserver.sqlite", f"sqlite:///{data}/workflow.sqlite", None)
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    name = next(_names)
    site = kept_on_postgresql(tmp_path / "kept", cluster, name)
    it = Place(site, cluster.url(name), cluster.url(name), cluster)
    yield it
    for one in (name, *it.made):
        cluster.drop(one)
