"""What bad input gets from `ctiserver serve`: one sentence, what to do, exit status 2, nothing half-started."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from tests.support.ami import fake_ami
from tests.support.installation import Installation

pytestmark = pytest.mark.pbx


@pytest.fixture
def site(tmp_path: Path, session_pbx: PrivatePbx) -> Installation:
    return Installation(tmp_path / "site", session_pbx)


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield int(listening.getsockname()[1])


def test_unknown_key(site: Installation) -> None:
    site.edit("queues.yaml", "strategy:", "stratgy:")
    assert "queues.yaml:7:5: error CT-001: unknown key 'stratgy' (did you mean 'strategy'?)" in site.refused()


def test_a_flow_with_an_error(site: Installation) -> None:
    site.edit("flows/front_desk.flow.yaml", "start: language", "start: langauge")
    complaint = site.refused()
    assert "front_desk.flow.yaml:" in complaint
    assert "did you mean 'language'" in complaint
    assert not (site.folder / "data/ctiserver.sqlite").exists(), "nothing was begun"


def test_a_number_without_a_flow(site: Installation) -> None:
    site.edit("numbers.yaml", "front_desk@prod", "front_dsk@prod")
    assert "CT-009: no flow is named 'front_dsk' (did you mean 'front_desk'?)" in site.refused()


def test_a_wrong_ami_password(site: Installation) -> None:
    site.environment["CTISERVER_PBXS__MAIN__SECRET"] = "wrong"
    complaint = site.refused()
    assert "pbxs.main" in complaint
    assert "manager.conf" in complaint


async def test_an_asterisk_too_old(site: Installation) -> None:
    async with fake_ami(version="18.26.4") as old:
        site.environment["CTISERVER_PBXS__MAIN__PORT"] = str(old.port)
        site.environment["CTISERVER_PBXS__MAIN__SECRET"] = old.secret
        complaint = await asyncio.to_thread(site.refused)
    assert "18.26.4 is too old" in complaint


@pytest.mark.parametrize("setting", ["WEB", "AGI"])
def test_a_port_in_use(site: Installation, busy_port: int, setting: str) -> None:
    site.environment[f"CTISERVER_{setting}__PORT"] = str(busy_port)
    complaint = site.refused()
    assert str(busy_port) in complaint
    assert f"{setting.lower()}.port" in complaint


def test_a_broken_database_is_left_as_it_is(site: Installation) -> None:
    path = site.folder / "data/ctiserver.sqlite"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    before = path.read_bytes()
    complaint = site.refused()
    assert "database.url" in complaint
    assert "broken" in complaint
    assert path.read_bytes() == before


def test_a_database_of_a_newer_version(site: Installation) -> None:
    assert site.run("db", "upgrade", "--config", str(site.folder / "ctiserver.yaml")).returncode == 0
    path = site.folder / "data/ctiserver.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "newer" in site.refused()


def test_no_pbx(site: Installation) -> None:
    settings = site.folder / "ctiserver.yaml"
    lines = settings.read_text(encoding="utf-8").splitlines()
    begin = next(index for index, line in enumerate(lines) if line.startswith("pbxs:"))
    end = next(index for index, line in enumerate(lines) if line.startswith("database:"))
    settings.write_text("\n".join([*lines[:begin], *lines[end:]]), encoding="utf-8")
    for name in [name for name in site.environment if name.startswith("CTISERVER_PBXS")]:
        del site.environment[name]
    assert "no PBX is named" in site.refused()
