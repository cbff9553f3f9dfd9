"""A day's call log against files: which calls are of the day, and what can't be compared is one sentence."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ctiserver.cli.reconcile import command
from ctiserver.errors import UserFault
from ctiserver.features.operations.reconciling import as_json, reconcile_day
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.ids import PbxName, Uniqueid, call_id
from ctiserver.settings import DatabaseSettings, PbxSettings, Settings
from ctiserver.store.database import Database

MAIN = PbxName("main")
DAY = date(2026, 11, 23)
#: 23 November begins here, in Shanghai.
MIDNIGHT = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)


class Log:
    """A call log and the PBX's own accounts, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder}/ctiserver.sqlite"
        self.cdr, self.queue_log = folder / "cdr.csv", folder / "queue_log"
        for path in (self.cdr, self.queue_log):
            path.touch()

    def settings(self, **pbx: Any) -> Settings:
        files = {"queue_log": self.queue_log, "cdr": self.cdr}
        return Settings(
            data_dir=self.folder, database=DatabaseSettings(url=self.url), pbxs={"main": PbxSettings(**(files | pbx))}
        )

    async def calls(self, *offsets_s: float, **changes: Any) -> None:
        """Calls of half a minute, that began so many seconds after midnight."""
        async with Database.open(self.url, upgrade=True) as database, database.unit_of_work() as uow:
            for offset_s in offsets_s:
                began = MIDNIGHT + timedelta(seconds=offset_s)
                uniqueid = self.uniqueid(offset_s)
                entry: dict[str, Any] = {
                    "id": call_id(MAIN, Uniqueid(uniqueid)),
                    "pbx": MAIN,
                    "direction": "inbound",
                    "ani": "138",
                    "started_at": began,
                    "ended_at": began + timedelta(seconds=30),
                    "outcome": "ivr",
                    "complete": True,
                    "detail": {"linkedids": [uniqueid]},
                }
                await uow.calls.save(CallEntry(**(entry | changes)))

    def cdrs(self, *offsets_s: float, length_s: int = 30) -> None:
        """What the PBX wrote of calls that began then."""
        lines = []
        for offset_s in offsets_s:
            began = int((MIDNIGHT + timedelta(seconds=offset_s)).timestamp())
            uniqueid = self.uniqueid(offset_s)
            lines.append(
                f'"{uniqueid}","{uniqueid}","138","PJSIP/trunk-1","",{began}.0,{began}.0,{began + length_s}.0,ANSWERED\n'
            )
        with self.cdr.open("a", encoding="utf-8") as file:
            file.writelines(lines)

    @staticmethod
    def uniqueid(offset_s: float) -> str:
        return f"{int((MIDNIGHT + timedelta(seconds=offset_s)).timestamp())}.1"


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


async def test_only_the_calls_that_began_that_day_are_compared(log: Log) -> None:
    yesterday, morning, evening, tomorrow = -10, 10, 86_390, 86_410
    await log.calls(yesterday, morning, evening, tomorrow)
    log.cdrs(yesterday, morning, evening, tomorrow)
    [one] = await reconcile_day(log.settings(), DAY)
    assert (one.calls, one.cdrs, one.queue_visits, one.differences) == (2, 2, 0, ())
    log.cdrs(86_395, 100_000, -50)  # calls that we know nothing of: one of that day
    [one] = await reconcile_day(log.settings(), DAY)
    assert [(found.what, found.linkedid) for found in one.differences] == [("the call", Log.uniqueid(86_395))]


async def test_a_call_that_goes_on_or_was_merged_is_not_compared(log: Log) -> None:
    await log.calls(10, complete=False, ended_at=None)
    await log.calls(20, no_record_reason="merged:X")
    await log.calls(30)
    log.cdrs(10, 20, 30)
    [one] = await reconcile_day(log.settings(), DAY)
    assert (one.calls, one.going_on, one.cdrs, one.differences) == (1, 1, 1, ())


async def test_a_source_that_is_not_named_is_not_asked(log: Log) -> None:
    await log.calls(10)
    [one] = await reconcile_day(log.settings(cdr=None), DAY)
    assert (one.cdrs, one.queue_visits, one.differences) == (None, 0, ())
    [one] = await reconcile_day(log.settings(queue_log=None), DAY)
    assert [found.theirs for found in one.differences] == ["no CDR"]
    assert json.loads(json.dumps(as_json(DAY, [one])))["pbxs"][0]["queue_visits"] is None


@pytest.mark.parametrize(
    ("pbx", "pbxs", "said"),
    [
        ({"cdr": None, "queue_log": None}, (), "name a cdr or a queue_log to compare with"),
        ({}, ("branch",), "there is no PBX 'branch'"),
        ({"cdr": Path("/nowhere/cdr.csv")}, (), "/nowhere/cdr.csv: can't be read"),
        ({"queue_log": Path("/nowhere/queue_log")}, (), "/nowhere/queue_log: can't be read"),
        ({"time_zone": "Mars/Olympus"}, (), "'Mars/Olympus' is not a time zone"),
    ],
)
async def test_what_cannot_be_compared_is_one_sentence(
    log: Log, pbx: dict[str, Any], pbxs: tuple[str, ...], said: str
) -> None:
    await log.calls(10)
    with pytest.raises(UserFault) as fault:
        await reconcile_day(log.settings(**pbx), DAY, pbxs)
    assert said in str(fault.value)


def test_the_command_says_it_with_its_exit_status(log: Log, tmp_path: Path) -> None:

    asyncio.run(log.calls(10))
    log.cdrs(10)
    config = tmp_path / "ctiserver.yaml"
    config.write_text(
        f"data_dir: {tmp_path}\npbxs:\n  main: {{cdr: cdr.csv, queue_log: queue_log}}\n", encoding="utf-8"
    )
    arguments = ["--day", "2026-11-23", "--config", str(config)]
    agreed = CliRunner().invoke(command, arguments)
    assert (agreed.exit_code, agreed.output) == (0, "main: 1 call, 1 CDR, 0 queue visits: no difference\n")
    log.cdrs(40)
    differs = CliRunner().invoke(command, [*arguments, "--json"])
    assert differs.exit_code == 1
    [difference] = json.loads(differs.output)["pbxs"][0]["differences"]
    assert (difference["source"], difference["call_id"], difference["linkedid"]) == ("cdr", None, Log.uniqueid(40))
