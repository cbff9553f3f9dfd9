"""From SQLite to PostgreSQL by the command: every row, compared by the test's own SQL, and served from there."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ctiserver.store.database import Database
from tests.store.keeping.conftest import Emptied
from tests.support.every_row import every_row, every_workflow_row
from tests.support.kept import kept_on_sqlite
from tests.support.rows import a_contact
from tests.support.served import Site

pytestmark = pytest.mark.postgres
#: What one database might keep otherwise than the other.
_ODD = """
    INSERT INTO audit (id, at, actor, act, subject, peer, detail) VALUES
    ('01M8QR343G19JXC1DZ19H38B01', '2026-03-29 01:59:59.999999', '王芳 "quoted" \t\\ back', 'odd', '', '',
     '{"b": [1e16, 0.1, -0.0, 1.50, true, null, "\\u738b\\n"], "a": {"z": 12345678901234567890, "": {}}}')
"""


def moved(site: Site, url: str) -> str:
    return site.done("db", "move", "--config", str(site.config), "--to", url)


def urls(site: Site) -> tuple[str, str]:
    return f"sqlite:///{site.folder}/data/ctiserver.sqlite", f"sqlite:///{site.folder}/data/workflow.sqlite"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = kept_on_sqlite(tmp_path / "kept")
    site.done("db", "upgrade", "--config", str(site.config))  # an older schema is refused
    return site


def change(site: Site, statement: str) -> None:
    with closing(sqlite3.connect(site.folder / "data/ctiserver.sqlite")) as connection, connection:
        connection.execute(statement)


def test_every_row_is_there_and_the_server_goes_on_with_it(site: Site, empty_postgres: Emptied) -> None:
    site.add_user("keeper", "admin")
    change(site, _ODD)
    with site.served() as server:
        server.log_in("keeper")
        before = server.shown()
        assert "serves this folder" in site.refused(
            "db", "move", "--config", str(site.config), "--to", empty_postgres()
        )
    url = empty_postgres()
    said = moved(site, url)
    sqlite_url, workflow_url = urls(site)
    rows = every_row(sqlite_url)
    assert every_row(url) == rows
    assert every_workflow_row(url) == every_workflow_row(workflow_url)
    for table, content in rows.items():
        assert f"{table:<26}{len(content):>10} rows" in said
    assert "Every row is the same on both sides." in said

    again = Site(site.folder, CTISERVER_DATABASE__URL=url)
    with again.served() as server:
        server.log_in("keeper")
        assert server.shown() == before
    asyncio.run(_add_contact(url))


async def _add_contact(url: str) -> None:
    """Its row in the index for the search is numbered by the database."""
    async with Database.open(url) as database, database.unit_of_work() as uow:
        await uow.contacts.add(a_contact())


def test_what_was_moved_is_not_moved_again(site: Site, empty_postgres: Emptied) -> None:
    url = empty_postgres()
    moved(site, url)
    assert "The database holds every row of this already; nothing was copied." in moved(site, url)
    change(site, "UPDATE records SET notes = 'changed since' WHERE id = (SELECT min(id) FROM records)")
    arguments = ("db", "move", "--config", str(site.config), "--to", url)
    assert site.refused(*arguments).startswith("--to: the database is not empty: it has tables (agents, ")


def test_a_row_that_postgresql_can_not_keep_is_named(site: Site, empty_postgres: Emptied) -> None:
    url = empty_postgres()
    change(site, "UPDATE calls SET caller_name = 'a' || char(0) || 'b' WHERE id = (SELECT min(id) FROM calls)")
    with closing(sqlite3.connect(site.folder / "data/ctiserver.sqlite")) as connection:
        (victim,) = connection.execute("SELECT min(id) FROM calls").fetchone()
    said = site.refused("db", "move", "--config", str(site.config), "--to", url)
    assert said.startswith(f"PostgreSQL can't keep a row of calls (id {victim}): ")
    change(site, "UPDATE calls SET caller_name = ''")
    assert "Every row is the same" in moved(site, url)  # nothing had been left there


def test_what_can_not_be_moved_is_one_sentence(site: Site, empty_postgres: Emptied, tmp_path: Path) -> None:
    arguments = ("db", "move", "--config", str(site.config), "--to")
    assert site.refused(*arguments, f"sqlite:///{tmp_path}/other.sqlite").startswith(
        "--to: this is not a PostgreSQL database"
    )
    assert "can't be used" in site.refused(*arguments, "postgresql://nobody@127.0.0.1:1/x")
    url = empty_postgres()
    change(site, "UPDATE alembic_version SET version_num = '0017'")
    assert "Run: ctiserver db upgrade" in site.refused(*arguments, url)
    there = Site(site.folder, CTISERVER_DATABASE__URL=url)
    said = there.refused("db", "move", "--config", str(site.config), "--to", url)
    assert said.startswith("database.url: the server is on PostgreSQL already")
