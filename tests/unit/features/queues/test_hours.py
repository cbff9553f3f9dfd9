"""The hours that the PBX is told, against the calendar itself, minute by minute."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.errors import PeerLost
from ctiserver.features.queues.hours import FallbackHours
from ctiserver.model.calendar.opening_hours import Calendar, CalendarFile
from ctiserver.model.events import PbxUp
from ctiserver.model.ids import PbxName
from ctiserver.site.files import NumberConfig, QueueConfig
from ctiserver.site.load import Site

NOW = datetime(2026, 11, 21, 23, 55, tzinfo=UTC)
MAIN = PbxName("main")


class FixedClock(Clock):
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Globals:
    """A PBX that keeps what it is given, and breaks when told to."""

    def __init__(self) -> None:
        self.up = True
        self.kept: dict[str, str] = {}
        self.writes = 0
        self.breaks_after = -1

    async def set_global(self, name: str, value: str) -> None:
        if self.writes == self.breaks_after:
            raise PeerLost("gone")
        self.writes += 1
        self.kept[name] = value


def calendar(name: str, zone: str, **weekly: list[str]) -> Calendar:
    written = {
        "schema": "calendar/1",
        "calendar": name,
        "time_zone": zone,
        "weekly": {key.replace("_", "-"): hours for key, hours in weekly.items()},
        "overrides": {"2026-12-01": {"hours": ["10:00-11:00", "23:00-02:00"]}},
    }
    return Calendar(CalendarFile.model_validate_json(json.dumps(written)), ZoneInfo("UTC"))


def told(pbx: Globals, name: str, at: datetime) -> bool:
    """What the dialplan makes of it: see [cti-hours]."""
    day, *spans = pbx.kept[f"CTI_HOURS_{name}_{at:%d}"].split("&")
    assert day == f"{at:%Y%m%d}"
    return any(span[:4] <= f"{at:%H%M}" < span[5:] for span in spans)


@pytest.fixture
def made(site: Site) -> tuple[FallbackHours, Globals, dict[str, Calendar]]:
    pbx = Globals()
    calendars = {
        "shop": calendar("shop", "Asia/Shanghai", mon_fri=["08:00-12:00", "13:00-20:00"], sat=["22:00-06:00"]),
        "far": calendar("far", "America/St_Johns", mon_sun=["00:00-24:00"]),
        "never": calendar("never", "UTC", mon=[]),
    }
    pbxs = {MAIN: pbx}
    return FallbackHours(Bus(), FixedClock(), lambda: site, calendars=lambda: calendars, pbxs=pbxs), pbx, calendars  # type: ignore[arg-type]


@pytest.fixture
def site(tmp_path: object) -> Site:
    return Site(
        directory=tmp_path,  # type: ignore[arg-type]
        numbers={"*": NumberConfig(flow="front_desk", calendar="shop"), "400": NumberConfig(flow="front_desk")},
        queues={"repair": QueueConfig(calendar="far"), "operators": QueueConfig()},
    )


async def test_every_minute_of_four_weeks_is_as_the_calendar_says(
    made: tuple[FallbackHours, Globals, dict[str, Calendar]],
) -> None:
    hours, pbx, calendars = made
    await hours.write()
    begin = NOW.replace(hour=0, minute=0)
    for name, known in calendars.items():
        for minute in range(0, 28 * 24 * 60, 5):
            at = begin + timedelta(minutes=minute)
            assert told(pbx, name, at) == (known.at(at).state == "open"), (name, at)
    assert {key: value for key, value in pbx.kept.items() if key.startswith("CTI_CALENDAR")} == {
        "CTI_CALENDAR_number-*": "shop",
        "CTI_CALENDAR_number-400": "-",
        "CTI_CALENDAR_queue-repair": "far",
        "CTI_CALENDAR_queue-operators": "-",
    }


async def test_what_a_pbx_did_not_take_it_gets_at_its_next_connect_and_nothing_twice(
    made: tuple[FallbackHours, Globals, dict[str, Calendar]],
) -> None:
    hours, pbx, _ = made
    pbx.breaks_after = 10
    await hours.write()
    assert len(pbx.kept) == 10
    pbx.breaks_after = -1
    await hours.write()
    whole = dict(pbx.kept)
    assert pbx.writes == len(whole) == 3 * 28 + 4
    await hours.write()
    assert pbx.writes == len(whole)


async def test_hours_that_missed_a_connect_write_everything_again(
    made: tuple[FallbackHours, Globals, dict[str, Calendar]],
) -> None:
    hours, pbx, _ = made
    await hours.write()
    whole = dict(pbx.kept)
    pbx.kept.clear()
    hours._bus = Bus(limit=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(hours.run())
        await asyncio.sleep(0)
        for _ in range(3):  # of a PBX that is not ours, so that no event alone makes it write to ours
            hours._bus.publish(PbxUp(pbx=PbxName("other"), at=NOW, version="22", epoch=NOW))
        hours._bus.close()
    assert pbx.kept == whole


async def test_a_pbx_that_comes_back_empty_is_told_all_of_it(
    made: tuple[FallbackHours, Globals, dict[str, Calendar]],
) -> None:
    hours, pbx, _ = made
    await hours.write()
    pbx.kept.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(hours.run())
        await asyncio.sleep(0)
        hours._bus.publish(PbxUp(pbx=MAIN, at=NOW, version="22", epoch=NOW))
        hours._bus.close()
    assert len(pbx.kept) == 3 * 28 + 4
