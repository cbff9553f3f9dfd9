"""The databases of every release that was kept come to the newest schema, and the desk shows what was in them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ctiserver.store.schema import head
from tests.support.kept import RELEASES, kept_on_postgresql, kept_on_sqlite
from tests.support.postgres import Cluster
from tests.support.served import Site

Rows = dict[str, list[str]]

#: Columns that a later migration changes on purpose, with the reason; every other value must stay as it was.
CHANGED: dict[str, frozenset[str]] = {"alembic_version": frozenset({"version_num"})}


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def kept(request: pytest.FixtureRequest, release: str, tmp_path: Path) -> Iterator[tuple[Site, str]]:
    """A copy of a release's site, and the URL of its database."""
    if request.param == "sqlite":
        site = kept_on_sqlite(tmp_path / "kept", release)
        yield site, f"sqlite:///{site.folder}/data/ctiserver.sqlite"
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    name = f"upgraded_{os.getpid()}"
    yield kept_on_postgresql(tmp_path / "kept", cluster, name, release), cluster.url(name)
    cluster.drop(name)


def raw_rows(url: str, like: dict[str, list[str]] | None = None) -> tuple[Rows, dict[str, list[str]]]:
    """Every table's rows as the database itself says them, and its columns; of ``like``, only those columns."""
    parsed = sa.make_url(url)
    engine = sa.create_engine(
        parsed.set(drivername="postgresql+psycopg") if url.startswith("postgresql") else parsed, poolclass=sa.NullPool
    )
    rows: Rows = {}
    columns: dict[str, list[str]] = {}
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        names = [name for name in inspector.get_table_names() if not name.startswith("contact_windows")]
        for name in sorted(names):
            present = [column["name"] for column in inspector.get_columns(name)]
            columns[name] = [one for one in present if one not in CHANGED.get(name, ())]
            wanted = columns[name] if like is None else like.get(name, [])
            listed = ", ".join(f'"{column}"' for column in wanted)
            found = connection.execute(sa.text(f'SELECT {listed} FROM "{name}"')) if wanted else ()
            rows[name] = sorted(json.dumps([_said(value) for value in row], sort_keys=True) for row in found)
    return rows, columns


def _said(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | dict | list) else str(value)


def test_a_kept_database_is_upgraded_without_losing_a_value(kept: tuple[Site, str]) -> None:
    site, url = kept
    before, columns = raw_rows(url)
    assert sum(map(len, before.values())) > 50
    said = site.done("db", "upgrade", "--config", str(site.config))
    assert f"The schema is {head()}" in said
    after, _ = raw_rows(url, like=columns)
    assert {name: after.get(name) for name in before} == before


def test_the_desk_shows_what_the_release_had(kept: tuple[Site, str]) -> None:
    site, _ = kept
    site.add_user("keeper", "admin")
    with site.served() as server:
        server.log_in("keeper")
        records = {one["number"]: one for one in server.get("records")["records"]}
        assert len(records) == 3
        assert sorted(one["status"] for one in records.values()).count("closed") == 0
        calls = server.get("calls")["calls"]
        assert sorted(one["outcome"] for one in calls) == ["abandoned", "answered", "answered", "ivr"]
        found = server.get("contacts?q=KF-35GW")["contacts"]
        assert [one["name"] for one in found] == ["王芳"]
        whole = server.get(f"records/{records['R20261201-0001']['id']}")
        assert {one["kind"] for one in whole["work_orders"]} == {"dispatch", "follow_up"}
        assert [one["kind"] for one in whole["timeline"]][:1] == ["opened"]
