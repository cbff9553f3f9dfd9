"""A snapshot of a PBX: who it is, since when it runs, and all its channels, callers and members."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from ctiserver.errors import PbxRefused
from ctiserver.model.asterisk import OLDEST_SUPPORTED
from ctiserver.model.calls.signals import ChannelRow, EntryRow, MemberSeen, Snapshot, Who
from ctiserver.model.ids import Linkedid, QueueName, Uniqueid
from ctiserver.pbx.codec import AmiMessage
from ctiserver.pbx.translate import member_of
from ctiserver.pbx.trouble import PbxFault

log = structlog.get_logger(__name__)

#: The global variable of the dialplan that only it and we know.
DIALPLAN_KEY = "CTI_KEY"

Ask = Callable[..., Awaitable[list[AmiMessage]]]


class Identity(NamedTuple):
    """Which Asterisk process this is."""

    version: str
    started: str  #: as the PBX writes it, in its own time zone: only to tell one process from the next
    systemname: str  #: of asterisk.conf


async def identify(ask: Ask) -> Identity:
    """Ask the PBX who it is. Raises what ``ask`` does."""
    settings = (await ask("CoreSettings"))[0]
    status = (await ask("CoreStatus"))[0]
    version = settings.get("AsteriskVersion")
    started = f"{status.get('CoreStartupDate')} {status.get('CoreStartupTime')}"
    return Identity(version, started, settings.get("SystemName"))


class ProcessMark:
    """Tells an Asterisk process from the next one where both started within one second.

    Asterisk says the second that it started in and nothing finer. Only a process that was met in that second can be
    mistaken for its successor; it gets a global variable of the dialplan, which goes with it. Later processes are not
    asked: a reload with `clearglobalvars` takes such variables away, and would look like a restart.
    """

    def __init__(self) -> None:
        self._variable = f"CTI_MARK_{secrets.token_hex(4)}"
        self._is_set = False

    async def is_gone(self, ask: Ask) -> bool:
        """Whether the process that was marked is another one now; False where none is marked."""
        if not self._is_set:
            return False
        try:
            return not (await ask("Getvar", {"Variable": self._variable}))[0].get("Value")
        except PbxRefused:
            return False

    async def renew(self, ask: Ask, uptime_s: str) -> None:
        """Mark the process that is met now, if it is so young that it needs it. ``uptime_s``: as FullyBooted says."""
        self._is_set = False
        if uptime_s in ("0", "1"):
            try:
                await ask("Setvar", {"Variable": self._variable, "Value": "1"})
            except PbxRefused as refusal:
                log.warning("process_not_marked", why=str(refusal))
            else:
                self._is_set = True


async def dialplan_key(ask: Ask) -> str:
    """What our dialplan puts into its events: as CTI_KEY is set there, else as we set it now.

    Empty where the account may do neither: its events are judged by their looks then. Raises PeerLost and
    DeadlineExceeded.
    """
    try:
        key = (await ask("Getvar", {"Variable": DIALPLAN_KEY}))[0].get("Value")
        if not key:
            key = secrets.token_hex(16)
            await ask("Setvar", {"Variable": DIALPLAN_KEY, "Value": key})
    except PbxRefused as refusal:
        log.warning("dialplan_key_unknown", why=str(refusal))
        return ""
    return key


def refuse_old(version: str, where: str) -> None:
    """Raises PbxFault for a version with known holes. One that can't be read (a build from git) passes."""
    numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if numbers is None:
        return
    found = tuple(int(number or 0) for number in numbers.groups())
    newest = max(OLDEST_SUPPORTED)
    if found[0] > newest or ("cert" in version and found[0] in OLDEST_SUPPORTED):
        return
    if found < OLDEST_SUPPORTED.get(found[0], (newest,)):
        wanted = ", ".join(".".join(map(str, least)) for least in OLDEST_SUPPORTED.values())
        raise PbxFault(
            "too_old",
            f"Asterisk {version} is too old: it has known security holes",
            where=where,
            fix=f"Update it; the oldest supported ones are {wanted}",
        )


def epoch_of(now: datetime, uptime_s: str) -> datetime:
    """When the Asterisk that is up for so many seconds started, to the second."""
    started = now - timedelta(seconds=int(uptime_s) if uptime_s.isdigit() else 0)
    return started.replace(microsecond=0)


async def allowed_actions(ask: Ask) -> frozenset[str]:
    """The actions that the account is given; none where that is not told. Raises PeerLost, DeadlineExceeded."""
    try:
        [answer] = await ask("ListCommands")
    except PbxRefused:
        return frozenset()
    return frozenset(key for key, value in answer.items() if "(Priv:" in value)


async def take_snapshot(ask: Ask, at: float, *, restarted: bool, queues: bool = True) -> Snapshot:
    """All that the PBX has now. ``at`` is our time, in seconds since 1970; ``queues``: whether it can have any.

    Raises what ``ask`` does.
    """
    channels = await ask("CoreShowChannels", as_list=True)
    seats = await ask("QueueStatus", as_list=True) if queues else []
    return Snapshot(
        at,
        tuple(_channel(row) for row in channels if row.name == "CoreShowChannel"),
        tuple(_entry(row) for row in seats if row.name == "QueueEntry"),
        tuple(_members(seats, at)),
        restarted,
    )


def _members(rows: list[AmiMessage], at: float) -> list[MemberSeen]:
    members = (member_of(row, at) for row in rows if row.name == "QueueMember")
    return [member for member in members if member is not None]


def _channel(row: AmiMessage) -> ChannelRow:
    def known(key: str) -> str:
        value = row.get(key)
        return "" if value == "<unknown>" else value

    who = Who(
        Uniqueid(row.get("Uniqueid")),
        Linkedid(row.get("Linkedid")),
        row.get("Channel"),
        known("CallerIDNum"),
        known("CallerIDName"),
        row.get("Context"),
        row.get("Exten"),
    )
    return ChannelRow(
        who,
        row.get("BridgeId"),
        _seconds(row.get("Duration")),
        row.get("ChannelState") == "5",
        row.get("Application") == "VoiceMail",
    )


def _entry(row: AmiMessage) -> EntryRow:
    position, wait = row.get("Position"), row.get("Wait")
    return EntryRow(
        Uniqueid(row.get("Uniqueid")),
        QueueName(row.get("Queue")),
        int(position) if position.isdigit() else 0,
        float(wait) if wait.isdigit() else 0.0,
    )


def _seconds(clock: str) -> float:
    """``01:02:03`` as seconds; 0 where it is not that."""
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts):
        return 0.0
    total = 0
    for part in parts:
        total = total * 60 + int(part)
    return float(total)
