"""kill -9 around the command that makes a customer's telephone ring: it rings once, whatever the server remembers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ctiserver.clock import SystemClock
from ctiserver.features.dispatch.service import Dispatch
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.work.record import Record
from ctiserver.store.database import Database
from tests.support.asterisk import programs
from tests.support.customers import CUSTOMER, CustomerSite, answers
from tests.support.dispatch import leave_start, until
from tests.support.rows import a_record, a_user

__all__ = ["programs"]
pytestmark = pytest.mark.pbx


@asynccontextmanager
async def server(site: CustomerSite, pbx: PrivatePbx, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server process, killed at the end of the block at the latest."""
    with (site.folder / "server.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.chaos.calling_server",
            str(site.folder), str(site.agi_port), str(pbx.ami_port), *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=log,
            env={**os.environ, "PYTHONPATH": ".", "AMI_SECRET": pbx.ami_secret},
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while line := await process.stdout.readline():  # its log comes the same way
            if line.startswith(b"ready"):
                return
    raise AssertionError("the server ended before it was ready")


async def about_to_be_called(database: Database) -> Record:
    """A record whose visit is offered; once that is done the customer is called."""
    mia, record = a_user("mia", role="technician"), a_record(caller_number=CUSTOMER)
    async with database.unit_of_work() as uow:
        await uow.users.add(mia)
        await uow.records.add(record)
        await leave_start(uow, record.id)
    dispatch = Dispatch(database, SystemClock())

    async def offered() -> bool:
        return bool(await dispatch.inbox(mia.id))

    await until(offered, "the visit is offered")
    (visit,) = await dispatch.inbox(mia.id)
    await dispatch.accept(visit.id, mia.id)
    await dispatch.complete(visit.id, mia.id, "done")
    return record


@pytest.mark.parametrize(
    ("dies", "reasons"),
    [("after", ["ended"]), pytest.param("before", ["not_seen", "ended"], marks=pytest.mark.chaos)],
)
async def test_a_customer_is_called_once(programs: Programs, tmp_path: Path, dies: str, reasons: list[str]) -> None:
    site = CustomerSite.write(tmp_path / "site", trunk_port=free_port(), agi_port=free_port())
    async with site.pbx(programs) as pbx, site.phone(programs, pbx) as phone:
        async with server(site, pbx, "--die", dies) as victim:
            await ready(victim)
            async with Database.open(f"sqlite:///{site.folder}/data/ctiserver.sqlite") as database:
                record = await about_to_be_called(database)
                async with asyncio.timeout(30):
                    assert await victim.wait() == -9
        if dies == "after":
            await phone.ringing()
        else:
            assert phone.rung == 0
        async with server(site, pbx) as heir:
            await ready(heir)
            await phone.ringing()
            await answers(phone, "5")
            async with Database.open(f"sqlite:///{site.folder}/data/ctiserver.sqlite") as database:

                async def closed() -> bool:
                    async with database.reading() as uow:
                        return (await uow.records.get(record.id)).status == "closed"

                await until(closed, "the record is closed", deadline_s=40)
                async with database.reading() as uow:
                    now = await uow.records.get(record.id)
                    calls = await uow.outbound_calls.of_record(record.id)
    assert phone.rung == 1
    assert (now.resolution, now.fields) == ("resolved", {"satisfaction": 5})
    assert [call.reason for call in calls] == reasons
