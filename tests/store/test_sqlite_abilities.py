"""Any SQLite that Python brings does, or the first sentence says what it lacks."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ctiserver.clock import SystemClock
from ctiserver.errors import UserFault
from ctiserver.features.dispatch.engine import Handed, WorkflowEngine
from ctiserver.features.operations.doctor import examine
from ctiserver.features.operations.finding import Finding
from ctiserver.settings import Settings, load_settings
from ctiserver.site.load import Site
from ctiserver.store import sqlite_abilities
from ctiserver.store.database import Database

#: What the workflow library writes into its schema, by the Python that made the file.
_BY_3_11, _BY_3_12 = "(strftime('%s','now') * 1000)", "(unixepoch('subsec') * 1000)"


class _Old(sqlite3.Connection):
    """SQLite 3.33, by what it refuses."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if "RETURNING" in sql:
            raise sqlite3.OperationalError('near "RETURNING": syntax error')
        if "trigram" in sql:
            raise sqlite3.OperationalError("no such tokenizer: trigram")
        return super().execute(sql, *parameters)


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = sqlite3.connect
    sqlite_abilities._lacking.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *args, **options: real(*args, **{**options, "factory": _Old}))
        patch.setattr(sqlite3, "sqlite_version", "3.33.0")
        yield
    sqlite_abilities._lacking.cache_clear()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    config = tmp_path / "ctiserver.yaml"
    config.write_text(
        "database: {url: 'sqlite:///ctiserver.sqlite'}\nweb: {port: 0}\nagi: {port: 0}\n", encoding="utf-8"
    )
    return load_settings(config, {})


async def _sqlite_line(settings: Settings) -> Finding:
    site = Site(directory=settings.prompts_dir)
    (line,) = [line async for line in examine(settings, site, (), SystemClock()) if line.check == "SQLite"]
    return line


def test_this_machines_sqlite_does() -> None:
    assert sqlite_abilities.refuse_unable("database.url") == sqlite3.sqlite_version


@pytest.mark.parametrize("python", [(3, 11), (3, 12)])
@pytest.mark.parametrize("made_by", [_BY_3_11, _BY_3_12])
async def test_the_engine_works_on_a_file_that_another_python_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: tuple[int, int], made_by: str
) -> None:
    monkeypatch.setattr("dbos._sys_db.sys", SimpleNamespace(**{**vars(sys), "version_info": python}))
    file, carried_out = tmp_path / "workflow.sqlite", asyncio.Event()

    async def advance(handed: Sequence[tuple[str, str, object]]) -> None:
        assert [row_id for _, row_id, _ in handed] == ["one"]
        carried_out.set()

    async with WorkflowEngine.open(f"sqlite:///{file}", advance, SystemClock()):
        pass
    _as_made_by(file, made_by)
    began_ms = time.time() * 1000
    async with WorkflowEngine.open(f"sqlite:///{file}", advance, SystemClock(), polling_s=0.01) as engine:
        await engine.hand([Handed(id="one", topic="start", payload={})])
        async with asyncio.timeout(20):
            await carried_out.wait()
    with closing(sqlite3.connect(file)) as connection:
        (created_ms,) = connection.execute("SELECT created_at FROM workflow_status").fetchone()
        (schema,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'workflow_status'").fetchone()
    assert made_by in schema
    assert began_ms - 1000 <= created_ms <= time.time() * 1000


def _as_made_by(file: Path, expression: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        for other in {_BY_3_11, _BY_3_12} - {expression}:
            connection.execute(
                "UPDATE sqlite_master SET sql = replace(sql, ?, ?)", (f"DEFAULT {other}", f"DEFAULT {expression}")
            )


@pytest.mark.parametrize(
    "value", ["now", "2026-12-01 08:00:00", "2026-12-01T08:00:00+08:00", 2461375.5, "rubbish", None]
)
def test_other_words_mean_what_sqlite_means_by_them(value: object) -> None:
    with closing(sqlite3.connect(":memory:")) as plain, closing(sqlite3.connect(":memory:")) as taught:
        taught.create_function("unixepoch", 1, sqlite_abilities._unixepoch)
        (expected,) = plain.execute("SELECT strftime('%s', ?)", (value,)).fetchone()
        (found,) = taught.execute("SELECT unixepoch(?)", (value,)).fetchone()
    assert found == (None if expected is None else pytest.approx(int(expected), abs=5 if value == "now" else 0))


async def test_one_that_lacks_something_is_refused_with_one_sentence(old: None, tmp_path: Path) -> None:
    with pytest.raises(UserFault) as raised:
        async with Database.open(f"sqlite:///{tmp_path}/data/ctiserver.sqlite", upgrade=True):
            pass
    assert raised.value.where == "database.url"
    assert raised.value.what.startswith(
        "SQLite 3.33.0, which this Python uses, lacks RETURNING (SQLite 3.35 and later)"
    )
    assert "trigrams" in raised.value.what
    assert "PostgreSQL" in str(raised.value.fix)
    assert not (tmp_path / "data").exists(), "something was made before it was refused"


async def test_so_is_one_for_the_workflow_engine_alone(old: None, tmp_path: Path) -> None:
    async def advance(_: object) -> None:
        raise AssertionError("nothing was handed over")

    with pytest.raises(UserFault, match=r"workflow\.url: SQLite 3\.33\.0"):
        async with WorkflowEngine.open(f"sqlite:///{tmp_path}/workflow.sqlite", advance, SystemClock()):
            pass


async def test_doctor_names_the_version(settings: Settings) -> None:
    line = await _sqlite_line(settings)
    assert (line.verdict, line.what) == ("good", f"version {sqlite3.sqlite_version}")


async def test_doctor_says_what_it_lacks(settings: Settings, old: None) -> None:
    line = await _sqlite_line(settings)
    assert line.verdict == "bad"
    assert "lacks RETURNING" in line.what
    assert line.fix
