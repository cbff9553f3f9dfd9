"""Databases and secrets are for their owner alone, whatever the umask says."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctiserver.private_files import keep_private, readable_by_others
from ctiserver.store.database import Database
from tests.support.eventually import eventually
from tests.support.whole_server import whole_server

_FILES = {"ctiserver.sqlite", "ctiserver.sqlite-wal", "workflow.sqlite", "workflow.sqlite-wal"}


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.glob("*.sqlite*")):
        with contextlib.suppress(FileNotFoundError):  # a -wal goes with its last connection
            found[path.name] = oct(stat.S_IMODE(path.stat().st_mode))
    return found


async def test_every_database_file_of_a_running_server_is_its_owners(tmp_path: Path) -> None:
    async with whole_server(tmp_path) as app:
        await app.features.records.open("repair", actor="user:x")

        async def looked() -> dict[str, str]:
            return modes(tmp_path / "data")

        # The workflow engine's -wal is there while one of its connections is open.
        found = await eventually(looked, lambda seen: seen.keys() >= _FILES)
    assert set(found.values()) == {"0o600"}


async def test_one_that_was_made_before_is_closed_to_others(tmp_path: Path) -> None:
    for name in ("old.sqlite", "old.sqlite-wal"):
        (tmp_path / name).touch(0o644)
    keep_private(tmp_path / "old.sqlite")
    assert set(modes(tmp_path).values()) == {"0o600"}
    async with Database.open(f"sqlite:///{tmp_path}/new.sqlite", upgrade=True):
        assert set(modes(tmp_path).values()) == {"0o600"}


def test_a_secret_that_others_may_read_is_found(tmp_path: Path) -> None:
    for name, mode in (("ami.secret", 0o644), ("sms.token", 0o600), ("crm.secret", 0o640)):
        (tmp_path / name).write_text("s")
        (tmp_path / name).chmod(mode)
    paths = [tmp_path / name for name in ("ami.secret", "sms.token", "crm.secret", "gone")]
    assert [path.name for path in readable_by_others(paths)] == ["ami.secret", "crm.secret"]
