"""A day's call log against the PBX's own accounts of it: reads, compares, changes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ctiserver.errors import UserFault
from ctiserver.model.calls import call_detail
from ctiserver.model.calls.queue_log import visits
from ctiserver.model.calls.reconciliation import Difference, reconcile
from ctiserver.model.ids import Interface, PbxName, Uniqueid, call_id
from ctiserver.model.json_value import Json
from ctiserver.model.person import Agent
from ctiserver.pbx.log_files import read_cdrs, read_queue_log
from ctiserver.settings import PbxSettings, Settings
from ctiserver.store.database import Database

#: A call may last over midnight: what belongs to it is looked for in so much of the days around.
_AROUND = timedelta(hours=12)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What was compared of one PBX, and what differed. A source that is None is not named in ctiserver.yaml."""

    pbx: PbxName
    calls: int
    going_on: int  #: begun that day, and not over: not compared
    cdrs: int | None
    queue_visits: int | None
    differences: tuple[Difference, ...]


class _Day(NamedTuple):
    since: datetime
    until: datetime

    def holds(self, at: datetime) -> bool:
        return self.since <= at < self.until


async def reconcile_day(settings: Settings, day: date, pbxs: Sequence[str] = ()) -> list[Reconciliation]:
    """Compare one day, in the site's time zone, of these PBXs or of all that have files to compare with.

    Raises UserFault: no such PBX, none names a file, a file or the database can't be read.
    """
    for name in pbxs:
        if name not in settings.pbxs:
            raise UserFault(
                f"there is no PBX {name!r}", where="--pbx", fix=f"Name one of {', '.join(settings.pbxs) or 'pbxs'}"
            )
    chosen = {name: pbx for name, pbx in settings.pbxs.items() if name in pbxs or not pbxs}
    lacking = [name for name, pbx in chosen.items() if pbx.cdr is None and pbx.queue_log is None]
    if lacking and (pbxs or len(lacking) == len(chosen)):
        raise UserFault(
            "name a cdr or a queue_log to compare with",
            where=f"ctiserver.yaml: pbxs.{lacking[0]}",
            fix="Name the files, where this machine can read them; docs/reference/reconcile.md says which",
        )
    zone = _zone(settings.time_zone, "time_zone")
    wanted = _Day(
        datetime.combine(day, time(), zone).astimezone(UTC),
        datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC),
    )
    async with Database.open(settings.database_url) as database:
        return [
            await _reconcile(database, PbxName(name), pbx, zone, wanted)
            for name, pbx in chosen.items()
            if name not in lacking
        ]


async def _reconcile(database: Database, name: PbxName, pbx: PbxSettings, zone: ZoneInfo, day: _Day) -> Reconciliation:
    async with database.reading() as uow:
        around = await uow.calls.begun(name, day.since - _AROUND, day.until + _AROUND)
        agents = await uow.agents.everybody()
    begun = [entry for entry in around if day.holds(entry.started_at)]
    calls = [call_detail.summary(entry) for entry in begun if entry.complete and entry.merged_into is None]
    # Calls of the days around, and those that go on, are known, but not compared.
    known = {linkedid for call in calls for linkedid in call.linkedids}
    compared = {call.call_id for call in calls}
    others = {entry.id for entry in around} - compared

    def of_day(key: str, first_at: datetime) -> bool:
        call = call_id(name, Uniqueid(key))
        return key in known or call in compared or (call not in others and day.holds(first_at))

    rows = logged = None
    if pbx.cdr is not None:
        its_zone = _zone(pbx.time_zone, f"pbxs.{name}.time_zone") if pbx.time_zone else zone
        found = [row for row in read_cdrs(pbx.cdr, day.since - _AROUND, its_zone) if row.start < day.until + _AROUND]
        rows = _kept(((row.linkedid, row.start, row) for row in found), of_day)
    if pbx.queue_log is not None:
        written = read_queue_log(pbx.queue_log, day.since - _AROUND, pbx.systemnames)
        lines = [line for line in written if line.at < day.until + _AROUND]
        logged = _kept(((str(visit.uniqueid), visit.entered_at, visit) for visit in visits(lines)), of_day)
    return Reconciliation(
        pbx=name,
        calls=len(calls),
        going_on=sum(not entry.complete for entry in begun),
        cdrs=None if rows is None else len(rows),
        queue_visits=None if logged is None else len(logged),
        differences=tuple(reconcile(calls, rows, logged, _names(agents))),
    )


def _kept(keyed: Iterable[tuple[str, datetime, T]], of_day: Callable[[str, datetime], bool]) -> list[T]:
    groups: dict[str, list[tuple[datetime, T]]] = defaultdict(list)
    for key, at, item in keyed:
        groups[key].append((at, item))
    return [item for key, group in groups.items() if of_day(key, min(at for at, _ in group)) for _, item in group]


def _names(agents: Sequence[Agent]) -> dict[str, list[Interface]]:
    names: dict[str, list[Interface]] = defaultdict(list)
    for agent in agents:
        for name in dict.fromkeys((agent.name, str(agent.id))):
            names[name].append(agent.interface)
    return names


def _zone(name: str, setting: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise UserFault(
            f"{name!r} is not a time zone", where=f"ctiserver.yaml: {setting}", fix="Write it like Asia/Shanghai or UTC"
        ) from None


def as_json(day: date, compared: Sequence[Reconciliation]) -> dict[str, Json]:
    """For ``--json``."""
    return {
        "day": day.isoformat(),
        "pbxs": [
            {
                "pbx": one.pbx,
                "calls": one.calls,
                "going_on": one.going_on,
                "cdrs": one.cdrs,
                "queue_visits": one.queue_visits,
                "differences": [asdict(difference) for difference in one.differences],
            }
            for one in compared
        ],
    }
