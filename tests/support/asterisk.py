"""A real Asterisk for tests: one for the session, handed out clean, and taken back only if it is clean."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx, silent
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs, find_programs
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from tests.support.eventually import eventually

T = TypeVar("T")


def apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own, beside whatever loop the tests have."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Asterisk, baresip, SIPp, espeak-ng."""
    return apart(find_programs(silent))


@pytest.fixture(scope="session")
def session_pbx(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePbx]:
    """The session's Asterisk; tests take ``pbx``. Its dialplan asks ``pbx.agi``, a port that is free until a test listens."""
    folder = tmp_path_factory.mktemp("pbx")
    pbx = apart(PrivatePbx.launch(folder, agi=f"127.0.0.1:{free_port()}", programs=programs))
    yield pbx
    apart(pbx.stop())


@pytest_asyncio.fixture
async def pbx(session_pbx: PrivatePbx) -> AsyncIterator[PrivatePbx]:
    """The session's Asterisk without calls, members, journal or hours; a test must leave neither channel nor process."""
    before = children()
    yield session_pbx
    if not session_pbx.alive:
        pytest.fail(f"Asterisk died; see {session_pbx.log_path}")
    await eventually(lambda: active_channels(session_pbx), lambda count: count == 0)
    for queue in load_site(shipped("config")).queues:
        for interface in await members(session_pbx, queue):
            await session_pbx.cli(f"queue remove member {interface} from {queue}")
    await session_pbx.cli("database deltree cti_journal")
    for line in (await session_pbx.cli("dialplan show globals")).splitlines():
        name = line.strip().partition("=")[0]
        if name.startswith("CTI_CALENDAR_"):  # opening hours that a server told it: the next test may run out of them
            await session_pbx.cli(f"dialplan set global {name} -")
    await eventually(lambda: _besides(before), lambda more: not more)


async def heard(phone: SipPhone) -> float:
    """How many seconds of sound it has heard."""
    return phone.heard_s()


def children() -> set[int]:
    """The processes that are ours, ended ones included."""
    own = os.getpid()
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended just now
        if int(fields[1]) == own:
            found.add(int(path.parent.name))
    return found


async def _besides(before: set[int]) -> set[int]:
    """The processes that a test has left behind; a few end a moment after it."""
    return children() - before


async def active_channels(pbx: PrivatePbx) -> int:
    text = await pbx.cli("core show channels count")
    return int(next(line for line in text.splitlines() if "active channel" in line).split()[0])


async def members(pbx: PrivatePbx, queue: str) -> list[str]:
    """The interfaces that sit in a queue now."""
    lines = (await pbx.cli(f"queue show {queue}")).splitlines()
    found = []
    for line in lines:
        word = line.strip().split(" ")[0]
        inner = line.strip().partition(" (")[2].partition(")")[0]
        if word.startswith("PJSIP/"):
            found.append(word)
        elif inner.startswith("PJSIP/"):
            found.append(inner)
    return found


async def registration(pbx: PrivatePbx, phone: str) -> str:
    """The phone's contact as it lies in AstDB on the disk, where it comes within a second or so; empty before."""
    return on_disk(pbx, f"/registrar/contact/{phone}*")


def on_disk(pbx: PrivatePbx, key: str) -> str:
    """The value of the first key of AstDB on the disk that is like ``key``; empty where none is, or it is half-written.

    Read without a lock. With one, Asterisk's commit fails while we read ("database is locked"), and it forgets for good
    what it was about to write. What is written and not committed yet is not believed: killed then, it is rolled back.
    """
    commit = pbx.astdb_path.with_name(f"{pbx.astdb_path.name}-journal")
    with (
        contextlib.suppress(sqlite3.DatabaseError),
        contextlib.closing(sqlite3.connect(f"{pbx.astdb_path.as_uri()}?mode=ro&immutable=1", uri=True)) as astdb,
    ):
        if commit.exists():
            return ""
        found = astdb.execute("SELECT value FROM astdb WHERE key GLOB ?", (key,)).fetchone()
        return "" if found is None or commit.exists() else str(found[0])
    return ""


async def journal(pbx: PrivatePbx) -> dict[str, list[str]]:
    """The dialplan's journal: key → fields."""
    found = {}
    for line in (await pbx.cli("database show cti_journal")).splitlines():
        if line.startswith("/cti_journal/"):
            key, _, value = line.removeprefix("/cti_journal/").partition(" ")
            found[key] = value.strip().removeprefix(":").strip().split("|")
    return found
