"""Doctor's look at one PBX, through the very account that the server logs in with."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.errors import DeadlineExceeded, PbxRefused, PeerLost, UserFault
from ctiserver.features.operations.adoption import contexts_needed
from ctiserver.features.operations.finding import Finding, bad, good, of_fault, unseen
from ctiserver.model.ids import PbxName
from ctiserver.model.person import Agent
from ctiserver.pbx.codec import AmiMessage
from ctiserver.pbx.link import PbxLink
from ctiserver.pbx.log_files import read_queue_log, try_cdrs
from ctiserver.pbx.resync import Ask, refuse_old
from ctiserver.pbx.survey import PbxSurvey, device_state, survey
from ctiserver.settings import AgiSettings, PbxSettings
from ctiserver.site.load import Site
from ctiserver.system_name import is_secret

#: How far the PBX's clock may be from ours: queue times and records are compared across both.
CLOCKS_APART = timedelta(seconds=2)
_EVENT_WITHIN_S = 4.0
_LATER = ("rights", "event times", "forged events", "modules", "dialplan", "where the PBX asks", "queues", "phones")


class _Ear:
    """Hears our own event among whatever the PBX says."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(8)
        self._heard: asyncio.Future[AmiMessage] = asyncio.get_running_loop().create_future()
        self._tried: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def hear(self, message: AmiMessage) -> None:
        if message.name == "UserEvent" and message.get("Mark") == self.mark and not self._heard.done():
            self._heard.set_result(message)
        elif not self._tried.done():
            if message.name == "UserEvent" and message.get("Mark") == f"{self.mark}-try":
                self._tried.set_result("believed" if message.get("UserEvent") == "CtiForged" else "goes on")
            elif message.name == "OriginateResponse" and message.get("Channel").startswith("Local/s@cti-try"):
                self._tried.set_result("ended")

    async def tried(self) -> str:
        """What a call of our own came to: ``ended``, ``goes on`` past the check, ``believed`` what it forged.

        ``unknown``: none of it came, or our own event did not either, so that a forged one can't be told from none.
        """
        if not self._heard.done():
            return "unknown"
        try:
            async with asyncio.timeout(_EVENT_WITHIN_S):
                return await asyncio.shield(self._tried)
        except TimeoutError:
            return "unknown"

    async def event(self) -> AmiMessage | None:
        try:
            async with asyncio.timeout(_EVENT_WITHIN_S):
                return await asyncio.shield(self._heard)
        except TimeoutError:
            return None


async def pbx_findings(
    name: str, settings: PbxSettings, agi: AgiSettings, clock: Clock, *, site: Site | None, agents: Sequence[Agent]
) -> list[Finding]:
    """All lines about one PBX; ``site`` and ``agents`` are those of the PBX that has the agents, else None and none."""
    check = f"{name}: AMI"
    link = PbxLink(PbxName(name), settings, Bus(), clock)
    where = f"ctiserver.yaml: pbxs.{name}"
    ear = _Ear()
    try:
        async with link.asking(ear.hear) as ask:
            seen = await survey(ask)
            refuse_old(seen.version, f"{where}.host")
            return [
                good(check, f"logged in to Asterisk {seen.version} as {settings.username}"),
                _rights(name, settings, seen),
                await _event_times(name, ask, ear, clock),
                await _forging(name, ask, ear, seen),
                _modules(name, seen),
                _dialplan(name, seen),
                _globals(name, agi, seen, first=site is not None),
                *_own_accounts(name, settings, clock),
                *([_queues(name, seen, site), await _phones(name, ask, seen, agents)] if site is not None else []),
            ]
    except UserFault as fault:
        found = of_fault(check, fault)
    except (OSError, DeadlineExceeded, PeerLost) as error:
        reason = getattr(error, "strerror", None) or str(error)
        found = bad(
            check,
            f"{settings.host}:{settings.port} does not answer: {reason}",
            where=f"{where}.host, {where}.port",
            fix="Start the PBX; in its manager.conf, enabled = yes, bindaddr and port must let us in, and "
            "the account must read class system; `ctiserver pbx adopt` says what to add",
        )
    return [found, *(unseen(f"{name}: {later}", "AMI must work first") for later in _LATER)]


def _rights(name: str, settings: PbxSettings, seen: PbxSurvey) -> Finding:
    check = f"{name}: rights"
    if seen.weak:
        return bad(
            check,
            f"the account {settings.username} may not {', '.join(seen.weak)}",
            where=f"manager.conf on {settings.host}: [{settings.username}]",
            fix="Give it write = call,agent,user,originate,reporting and load app_queue, then `manager reload`",
        )
    if any(action in seen.actions for action in ("Command", "UpdateConfig")):
        return good(check, "enough, and more than is needed: config/manager.conf has the least that is")
    return good(check, "all that is needed")


async def _forging(name: str, ask: Ask, ear: _Ear, seen: PbxSurvey) -> Finding:
    """A call of our own, which rings nowhere, writes an event into its number as people who mean harm do."""
    check = f"{name}: forged events"
    if "cti-try" not in seen.contexts:
        return unseen(check, "the PBX's copy of cti.conf is of an earlier version: copy it again, then look again")
    order = {"Channel": "Local/s@cti-try/n", "Application": "Wait", "Data": "1", "Async": "true", "Timeout": "3000"}
    try:
        await ask("Originate", {**order, "Variable": f"CTI_TRY={ear.mark}-try"})
    except PbxRefused as refusal:
        return unseen(check, f"the try was refused: {refusal}")
    came = await ear.tried()
    if came == "unknown":
        return unseen(check, "the result of the test call is unknown: events must arrive first")
    if came in ("believed", "goes on"):
        return bad(
            check,
            "a call with a line's end in its number was not ended, or what it wrote was believed",
            where="cti.conf: [cti-clean]",
            fix="Copy cti.conf of this version again, and `dialplan reload`",
        )
    if is_secret(seen.systemname):
        return good(check, "such a call is ended, and the PBX signs its own events")
    return good(
        check,
        "such a call is ended; the PBX has no secret systemname, so events can't be verified: security.md",
    )


async def _event_times(name: str, ask: Ask, ear: _Ear, clock: Clock) -> Finding:
    """An event of our own must come back, and say when it happened."""
    check = f"{name}: event times"
    file = "manager.conf"
    try:
        await ask("UserEvent", {"UserEvent": "CtiDoctor", "Mark": ear.mark})
    except PbxRefused:
        return bad(check, "the account may not send events", where=file, fix="Add user to its write =")
    event = await ear.event()
    if event is None:
        return bad(
            check,
            "no events arrive",
            where=file,
            fix="Give the account read = system,call,agent,user,reporting,cdr, and no eventfilter against those",
        )
    try:
        at = datetime.fromtimestamp(float(event.get("Timestamp")), UTC)
    except ValueError:
        return bad(
            check,
            "events do not say when they happened",
            where=f"{file}: [general]",
            fix="Add timestampevents = yes, then `manager reload`",
        )
    apart = abs(at - clock.now())
    if apart > CLOCKS_APART:
        return bad(
            check,
            f"the PBX's clock is {apart.total_seconds():.0f} s from ours",
            fix="Synchronise both with the same time server (NTP)",
        )
    return good(check, "events arrive, with microsecond times, and the clocks agree")


def _modules(name: str, seen: PbxSurvey) -> Finding:
    check = f"{name}: modules"
    if seen.missing_modules:
        return bad(
            check,
            f"not loaded: {', '.join(seen.missing_modules)}",
            where="modules.conf",
            fix="Load them: " + "; ".join(f"module load {module}" for module in seen.missing_modules),
        )
    if "modules" in seen.unseen:
        return unseen(check, f"{seen.unseen['modules']}; `ctiserver pbx adopt --conf` reads modules.conf")
    return good(check, "all that the dialplan uses are loaded")


def _dialplan(name: str, seen: PbxSurvey) -> Finding:
    check = f"{name}: dialplan"
    if "contexts" in seen.unseen:
        return unseen(check, seen.unseen["contexts"])
    lacking = [context for context in contexts_needed() if context not in seen.contexts]
    if lacking:
        return bad(
            check,
            f"lacks {', '.join(lacking)}",
            where="extensions.conf",
            fix="#include cti.conf and fallback.conf of this version, then `dialplan reload`",
        )
    return good(check, f"has the {len(contexts_needed())} contexts of ctiserver")


def _globals(name: str, agi: AgiSettings, seen: PbxSurvey, *, first: bool) -> Finding:
    """CTI_AGI and the rest must lead here. ``first``: it is the first PBX of ctiserver.yaml."""
    check = f"{name}: where the PBX asks"
    where = "extensions.conf: [globals]"
    address = seen.globals.get("CTI_AGI", "")
    parts = urlsplit(address)
    try:
        port = parts.port or 4573
    except ValueError:
        port = -1
    if parts.scheme != "agi" or not parts.hostname or port < 0:
        what = f"CTI_AGI is {address!r}" if address else "CTI_AGI is not set"
        return bad(check, what, where=where, fix=f"CTI_AGI = agi://HOST-OF-CTISERVER:{agi.port or 4573}")
    if agi.port and port != agi.port:
        return bad(
            check,
            f"CTI_AGI names port {port}, ctiserver listens on {agi.port}",
            where=f"{where}; ctiserver.yaml: agi.port",
            fix="Make them the same",
        )
    if not seen.globals.get("CTI_DEADMAN_S"):
        return bad(check, "CTI_DEADMAN_S is not set", where=where, fix="CTI_DEADMAN_S = 1")
    said = seen.globals.get("CTI_PBX", "")
    if said != name and (said or not first):
        return bad(
            check,
            f"CTI_PBX is {said}" if said else "CTI_PBX is not set, and this is not the first PBX of ctiserver.yaml",
            where=where,
            fix=f"CTI_PBX = {name}: without it, its flows' calls are attributed to another PBX",
        )
    queue = seen.globals.get("CTI_QUEUE_FIRST", "")
    if queue and queue not in {queue.name for queue in seen.queues}:
        return bad(
            check,
            f"CTI_QUEUE_FIRST names the queue {queue}, which the PBX does not have",
            where=where,
            fix="Name one that it has, or none: callers then leave a message",
        )
    return good(check, f"{address}; without an answer, {f'queue {queue}' if queue else 'voicemail'}")


def _own_accounts(name: str, settings: PbxSettings, clock: Clock) -> list[Finding]:
    """The PBX's own accounts of its calls, where ctiserver.yaml names them."""
    check = f"{name}: its own logs"
    try:
        if settings.queue_log is not None:
            read_queue_log(settings.queue_log, clock.now(), settings.systemnames)
        if settings.cdr is not None:
            try_cdrs(settings.cdr)
    except UserFault as fault:
        return [of_fault(check, fault)]
    named = [str(path) for path in (settings.queue_log, settings.cdr) if path is not None]
    return [good(check, f"{', '.join(named)} can be read")] if named else []


def _queues(name: str, seen: PbxSurvey, site: Site) -> Finding:
    check = f"{name}: queues"
    there = {queue.name for queue in seen.queues}
    lacking = [queue for queue in site.queues if queue not in there]
    if lacking:
        return bad(
            check,
            f"the PBX has no queue {', '.join(lacking)}",
            where=str(site.directory / "queues.yaml"),
            fix=f"Make it in queues.conf and `queue reload all`, or name one that is there: {', '.join(sorted(there))}",
        )
    return good(check, f"all of queues.yaml are there: {', '.join(site.queues)}")


async def _phones(name: str, ask: Ask, seen: PbxSurvey, agents: Sequence[Agent]) -> Finding:
    """Each agent's phone, and each member's device, must be one that the PBX knows."""
    check = f"{name}: phones"
    strangers = [member.interface for member in seen.members if not member.known]
    if strangers:
        return bad(
            check,
            f"queue members whose device the PBX does not know: {', '.join(strangers)}",
            where="queues.conf",
            fix="Remove them, or correct the device or hint",
        )
    if not agents:
        return bad(
            check,
            "no agents exist yet",
            fix="ctiserver user add NAME --role agent --extension 101 --interface PJSIP/101",
        )
    states = {agent.id: await device_state(ask, agent.interface) for agent in agents}
    lost = [f"{agent.interface} of {agent.id}" for agent in agents if states[agent.id] == "INVALID"]
    if lost:
        return bad(
            check,
            f"the PBX does not know {', '.join(lost)}",
            where="accounts",
            fix="`ctiserver user list` shows them; make the endpoint, or add the agent with the right --interface",
        )
    if not all(states.values()):
        return unseen(check, "unknown to the PBX: func_devstate is not loaded")
    away = sum(state == "UNAVAILABLE" for state in states.values())
    return good(check, f"{len(agents)} agents' phones are known" + (f"; {away} not registered now" if away else ""))
