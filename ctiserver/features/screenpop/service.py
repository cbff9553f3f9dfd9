"""Who is shown what while a phone rings, and when it was painted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import structlog

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.features.screenpop.book import PopBook
from ctiserver.model import numbers
from ctiserver.model.calls.call_entry import CallEntry, PathStep, Pop
from ctiserver.model.contact import Contact, Device, Premises, only
from ctiserver.model.events import (
    AgentConnected,
    AgentDisconnected,
    AgentRingEnded,
    AgentRinging,
    CallEnded,
    CallEvent,
    CallsMerged,
    CallStarted,
)
from ctiserver.model.ids import MONITORING, AgentId, CallId, Interface, PbxName, QueueName, new_ulid
from ctiserver.model.work.record import Record
from ctiserver.pbx.port import Pbx, current_events
from ctiserver.store.database import Database
from ctiserver.store.faults import StoreUnavailable

log = structlog.get_logger(__name__)

Phase = Literal["ringing", "talking", "ended"]
#: Callers whose numbers are kept for pops of calls that the call log has not written down yet.
_RECENT_CALLERS = 10_000
_GATHERED_WITHIN_S = 2.0
#: After a database that hung nobody is looked up for so long: pops are made one after another, and phones ring on.
_HUNG_FOR_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one agent's desk shows of a call."""

    pop_id: str
    agent_id: AgentId
    call_id: CallId
    phase: Phase
    since: datetime  #: of the phase
    ani: str
    caller_name: str
    dnis: str
    outbound: bool = False  #: we called: ``ani`` is whom, ``dnis`` the number we showed
    looked_up: bool = True  #: False: the database was away, and nothing is known but what the call itself says
    queue: QueueName | None
    called_at: datetime | None
    contacts: tuple[Contact, ...]  #: several when the number is shared: the agent chooses
    sites: tuple[Premises, ...]  #: of the one contact, as are the devices
    devices: tuple[Device, ...]
    records: tuple[Record, ...]  #: of this call
    open_records: tuple[Record, ...]  #: of the contact, but not of this call
    last_calls: tuple[CallEntry, ...]
    path: tuple[PathStep, ...]  #: how the caller came through the menus


class ScreenPops:
    """The desk's view of each agent's call."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        *,
        pbxs: Mapping[PbxName, Pbx],
        region: str,
        agent_at: Callable[[PbxName, Interface], AgentId | None],
        changed: Callable[[AgentId, Shown | None], None],
        browsers: Callable[[AgentId], int],
    ) -> None:
        """``changed`` pushes what an agent's desk shall show to that agent alone, at once; it must not wait.
        ``browsers``: how many show the agent's desk now."""
        self._database = database
        self._bus = bus
        self._clock = clock
        self._pbxs = pbxs
        self._region = region
        self._agent_at = agent_at
        self._changed = changed
        self._browsers = browsers
        self._shown: dict[AgentId, Shown] = {}
        self._beneath: dict[AgentId, Shown] = {}  #: a call under way, while another one rings or is on top of it
        self._callers: dict[CallId, CallStarted] = {}
        self._hung_until = 0.0  #: by the event loop's clock
        self.book = PopBook(database)

    async def run(self) -> None:
        """Follow the calls until the bus closes. Pops are made one after another, so that none comes after its end."""
        await self._bus.follow("screen-pops", (CallEvent,), self.heard, self.resync)
        self.book.close()

    async def resync(self) -> None:
        """Show each agent the call that rings or talks by the links to the PBXs; a talk that ended unheard is shown as
        ended, so that what the agent writes down stays."""
        going_on = current_events(self._pbxs.values())
        self._callers = {event.call_id: event for event in going_on if isinstance(event, CallStarted)}
        phones = [event for event in going_on if isinstance(event, AgentRinging | AgentConnected)]
        busy = {
            (agent_id, event.call_id)
            for event in phones
            if (agent_id := self._agent_at(event.pbx, event.interface)) is not None
        }
        for agent_id, shown in list(self._beneath.items()):
            if (agent_id, shown.call_id) not in busy:
                del self._beneath[agent_id]
        for agent_id, shown in list(self._shown.items()):
            if (agent_id, shown.call_id) in busy:
                continue
            if shown.phase == "ringing":
                self._show(agent_id, None)
            else:
                self._ended(shown)
        for event in phones:
            now = self._of(event)
            if now is None or (now.phase == "ringing" and isinstance(event, AgentConnected)):
                await self.heard(event)

    def shown_to(self, agent_id: AgentId) -> Shown | None:
        """What this agent's desk shows now."""
        return self._shown.get(agent_id)

    def talking_in(self, agent_id: AgentId) -> CallId | None:
        """The call in which the agent talks, as the desk shows it: for a moment longer than the phone is in it."""
        shown = self._shown.get(agent_id)
        return shown.call_id if shown is not None and shown.phase == "talking" else None

    async def heard(self, event: CallEvent) -> None:
        """Take in one event of a call."""
        match event:
            case CallStarted():
                self._callers[event.call_id] = event
                if len(self._callers) > _RECENT_CALLERS:
                    self._callers.pop(next(iter(self._callers)))
            case AgentRinging():
                agent_id = self._agent_at(event.pbx, event.interface)
                if agent_id is not None:
                    await self._pop(agent_id, event)
            case AgentConnected():
                await self._connected(event)
            case AgentRingEnded():
                shown = self._of(event)
                if shown is not None and shown.phase == "ringing" and event.outcome != "answered":
                    self._show(shown.agent_id, None)
            case AgentDisconnected():
                self._forget_beneath(event.call_id, self._agent_at(event.pbx, event.interface))
                self._ended(self._of(event))
            case CallsMerged():
                for shown in self._all_of(event.absorbed):
                    self._show(shown.agent_id, replace(shown, call_id=event.call_id))
            case CallEnded():
                self._callers.pop(event.call_id, None)
                for agent_id in list(self._beneath):
                    self._forget_beneath(event.call_id, agent_id)
                for shown in self._all_of(event.call_id):
                    if shown.phase == "ringing":
                        self._show(shown.agent_id, None)
                    else:
                        self._ended(shown)
            case _:
                pass

    async def painted(self, pop_id: str, agent_id: AgentId) -> bool:
        """The agent's browser has drawn the pop; False if it is none of theirs, or was told before."""
        first = await self.book.painted(pop_id, agent_id, self._clock.now())
        if first:
            log.info("pop_painted", pop=pop_id, agent=agent_id)
        return first

    async def refresh(self, agent_id: AgentId) -> Shown | None:
        """Read the call's records and contact again, after one was opened or linked by hand."""
        shown = self._shown.get(agent_id)
        if shown is None:
            return None
        fresh = await self._gather(shown)
        if self._shown.get(agent_id) is shown:
            self._show(agent_id, fresh)
        return fresh

    def dismiss(self, agent_id: AgentId) -> None:
        """The agent is done with a call that has ended: clear the desk."""
        shown = self._shown.get(agent_id)
        if shown is not None and shown.phase == "ended":
            self._show(agent_id, None)

    async def of_call(self, call_id: CallId) -> list[Pop]:
        """To whom a call was shown, when, and when it was painted."""
        return await self.book.of_call(call_id)

    async def _pop(self, agent_id: AgentId, event: AgentRinging) -> None:
        started = self._callers.get(event.call_id)
        if started is not None and started.uniqueid.startswith(MONITORING):
            return  # a supervisor's own phone, called to listen in: nobody calls them
        current = self._shown.get(agent_id)
        if current is not None and current.phase == "talking" and current.call_id != event.call_id:
            self._beneath[agent_id] = current
        shown = await self._gather_if_there(
            Shown(
                pop_id=new_ulid(self._clock.now()),
                agent_id=agent_id,
                call_id=event.call_id,
                phase="ringing",
                since=event.at,
                ani=started.ani if started else "",
                caller_name=started.caller_name if started else "",
                dnis=started.dnis if started else "",
                queue=event.queue,
                called_at=started.at if started else None,
                contacts=(),
                sites=(),
                devices=(),
                records=(),
                open_records=(),
                last_calls=(),
                path=(),
            )
        )
        self._show(agent_id, shown)
        reached = self._browsers(agent_id)
        pop = Pop(
            id=shown.pop_id,
            call_id=shown.call_id,
            agent_id=agent_id,
            contact_id=None if (contact := only(shown.contacts)) is None else contact.id,
            record_id=shown.records[-1].id if shown.records else None,
            sent_at=self._clock.now(),
            reason=self._reason(shown, reached),
        )
        self.book.take(pop)
        log.info("pop_sent", call_id=shown.call_id, agent=agent_id, browsers=reached, reason=pop.reason)

    def _reason(self, shown: Shown, reached: int) -> str | None:
        if not reached:
            return "no_browser"
        if not shown.looked_up:
            return "database_away"
        if shown.contacts or shown.records:
            return None
        return "withheld" if numbers.withheld(shown.ani) else "unknown_number"

    async def _gather_if_there(self, shown: Shown) -> Shown:
        """As far as the database answers in time: who it is that rings must be seen while it rings."""
        loop = asyncio.get_running_loop()
        try:
            if loop.time() < self._hung_until:
                raise StoreUnavailable("it did not answer")
            async with asyncio.timeout(_GATHERED_WITHIN_S):
                return await self._gather(shown)
        except TimeoutError:
            self._hung_until = loop.time() + _HUNG_FOR_S
            log.error("pop_not_looked_up", call_id=shown.call_id, error="no answer in time")
        except StoreUnavailable as error:
            log.error("pop_not_looked_up", call_id=shown.call_id, error=str(error))
        return replace(shown, looked_up=False)

    async def _gather(self, shown: Shown) -> Shown:
        """With all that is known of caller and call. Raises StoreUnavailable."""
        number = numbers.normal(shown.ani, self._region)
        async with self._database.reading(brief=True) as uow:
            entry = await uow.calls.find(shown.call_id)
            if entry is not None and entry.direction == "outbound":
                shown = replace(shown, outbound=True, ani=entry.dnis, caller_name="", dnis=entry.ani)
                number = numbers.normal(entry.dnis, self._region)
            elif entry is not None:
                number = number or numbers.normal(entry.ani, self._region)
                shown = replace(
                    shown,
                    ani=shown.ani or entry.ani,
                    caller_name=shown.caller_name or entry.caller_name,
                    dnis=shown.dnis or entry.dnis,
                    called_at=shown.called_at or entry.started_at,
                )
            records = await uow.records.of_call(shown.call_id)
            linked = [record.contact_id for record in records if record.contact_id is not None]
            if linked:
                contacts = [contact for key in dict.fromkeys(linked) if (contact := await uow.contacts.find(key))]
            else:
                contacts = await uow.contacts.by_number(number) if number is not None else []
            contact = only(contacts)
            one = None if contact is None else contact.id
            return replace(
                shown,
                looked_up=True,
                contacts=tuple(contacts),
                sites=tuple(await uow.contacts.sites(one)) if one else (),
                devices=tuple(await uow.contacts.devices(one)) if one else (),
                records=tuple(records),
                open_records=tuple(
                    record
                    for record in (await uow.records.open_of_contact(one) if one else ())
                    if record not in records
                ),
                last_calls=tuple(
                    call for call in (await uow.calls.of_contact(one, 6) if one else ()) if call.id != shown.call_id
                )[:5],
                path=tuple(await uow.calls.path(shown.call_id)),
            )

    async def _connected(self, event: AgentConnected) -> None:
        agent_id = self._agent_at(event.pbx, event.interface)
        if agent_id is None:
            return
        shown = self._of(event)
        if shown is None:
            # Picked up, transferred, or rung while we were away: the desk shows it all the same, late.
            await self._pop(
                agent_id,
                AgentRinging(
                    pbx=event.pbx,
                    at=event.at,
                    call_id=event.call_id,
                    linkedid=event.linkedid,
                    interface=event.interface,
                    queue=event.queue,
                ),
            )
            shown = self._of(event)
            if shown is None:
                return
        if not shown.looked_up:
            shown = await self._gather_if_there(shown)
        self._show(agent_id, replace(shown, phase="talking", since=event.at))

    def _ended(self, shown: Shown | None) -> None:
        if shown is not None and shown.phase == "talking":
            self._show(shown.agent_id, replace(shown, phase="ended", since=self._clock.now()))

    def _of(self, event: AgentRinging | AgentConnected | AgentRingEnded | AgentDisconnected) -> Shown | None:
        agent_id = self._agent_at(event.pbx, event.interface)
        shown = None if agent_id is None else self._shown.get(agent_id)
        return shown if shown is not None and shown.call_id == event.call_id else None

    def _all_of(self, call_id: CallId) -> list[Shown]:
        return [shown for shown in self._shown.values() if shown.call_id == call_id]

    def _forget_beneath(self, call_id: CallId, agent_id: AgentId | None) -> None:
        if agent_id in self._beneath and self._beneath[agent_id].call_id == call_id:
            del self._beneath[agent_id]

    def _show(self, agent_id: AgentId, shown: Shown | None) -> None:
        if shown is None:
            shown = self._beneath.pop(agent_id, None)  # a second call is over: back to the one under way
        if shown is None:
            self._shown.pop(agent_id, None)
        else:
            self._shown[agent_id] = shown
        self._changed(agent_id, shown)
