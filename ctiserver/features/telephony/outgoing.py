"""Calls from the desk: the agent's phone first, then the number; once however often the wish is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from ctiserver.clock import Clock
from ctiserver.errors import DeadlineExceeded, PbxRefused, PeerLost, UserFault
from ctiserver.features.telephony.phones import Phones
from ctiserver.features.telephony.service import AGENTS, HOLD_FEATURE, ChannelRef, DoNotCall, Target
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.ids import AgentId, CallId, ContactId, RecordId, Uniqueid, WorkOrderId, call_id
from ctiserver.model.json_value import Json
from ctiserver.model.person import Agent
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.unit_of_work import UnitOfWork
from ctiserver.web.problems import Conflict

log = structlog.get_logger(__name__)

_RING_S = 30.0
_CLOCKS_APART_S = 86_400
#: Who asks for a call need not lift the handset, on phones that know one of these: docs/reference/softphones.md.
_ANSWERS_BY_ITSELF = {
    "PJSIP_HEADER(add,Call-Info)": "<sip:ctiserver.invalid>;answer-after=0",
    "PJSIP_HEADER(add,Alert-Info)": "<http://ctiserver.invalid>;info=alert-autoanswer;delay=0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Whom an agent wants to call, and from where on the desk."""

    id: str  #: the page's own: the same wish sent twice makes one call
    asked_at: int  #: seconds since 1970 by the page's clock, from which the call's id gets its place in time
    to: Target
    queue: str | None = None  #: on whose behalf; None: the agent's first
    contact_id: ContactId | None = None
    record_id: RecordId | None = None
    order_id: WorkOrderId | None = None


class Outgoing:
    """Agents calling out."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        site: Site,
        phones: Phones,
        *,
        place: Callable[[AgentId, Target], ChannelRef],
        queues_of: Callable[[Agent], list[str]],
    ) -> None:
        """``place``: where a target is in the dialplan, or a fault; ``queues_of``: the queues that ask for an agent."""
        self._database = database
        self._clock = clock
        self._site = site
        self._phones = phones
        self._place = place
        self._queues_of = queues_of

    async def call(self, agent_id: AgentId, wish: Wish, actor: str) -> CallId:
        """Ring the agent's phone, then the other's; the call's id. ``actor``: how a timeline names who asks.

        Raises DoNotCall, UserFault for a number or thing that is none, Conflict while the phone is in a call; PeerLost,
        DeadlineExceeded, PbxRefused.
        """
        agent = self._phones.agent(agent_id)
        pbx = self._phones.pbx(agent)
        if abs(wish.asked_at - self._clock.now().timestamp()) > _CLOCKS_APART_S:
            raise UserFault("the clock of this computer is wrong by more than a day", fix="Set it, and call again")
        channel_id = Uniqueid(f"{wish.id}-{wish.asked_at}.0")  # as Asterisk itself writes the second into one
        call = call_id(pbx.name, channel_id)
        async with self._database.reading() as uow:
            if await uow.calls.find(call) is not None:
                return call
        if wish.to.kind == "queue":
            raise UserFault("a queue can't be called", fix="Call one agent")
        place = self._place(agent_id, wish.to)
        if self._phones.standing(agent) is not None:
            raise Conflict("your phone is in a call")
        presented = self._presented(agent, wish.queue)
        # What the keys of a transfer dial is looked up among phones: in the context of the call it would go outside.
        variables = {"CTI_OUT_OPTIONS": "T", "DYNAMIC_FEATURES": HOLD_FEATURE, "__TRANSFER_CONTEXT": AGENTS}
        if place.context != AGENTS:
            variables["CTI_PRESENTED"] = presented
        if self._phones.browser_phone(agent) is not None:
            variables["PJSIP_HEADER(add,X-CTI-Answer)"] = wish.id
        else:
            variables |= _ANSWERS_BY_ITSELF
        if not await self._begin(agent, wish, call, exten=place.exten, presented=presented, actor=actor):
            return call
        try:
            await pbx.originate(
                agent.interface,
                channel_id=channel_id,
                context=place.context,
                exten=place.exten,
                caller_number=place.exten,
                timeout_s=_RING_S,
                variables=variables,
            )
        except (PeerLost, DeadlineExceeded, PbxRefused):
            await self._failed(call)
            raise
        log.info("call_out", agent=agent_id, call_id=call, to=wish.to.kind)
        return call

    def _presented(self, agent: Agent, queue: str | None) -> str:
        if queue is not None and queue not in self._site.queues:
            raise UserFault(f"there is no queue {queue}", where="queues.yaml", fix="Add it there")
        names = [queue] if queue is not None else self._queues_of(agent)
        return next((found for name in names if (found := self._site.queues[name].presented)), "")

    async def _begin(self, agent: Agent, wish: Wish, call: CallId, *, exten: str, presented: str, actor: str) -> bool:
        """Put the call into the log and to what it was started from; False if the wish was carried out before."""
        now = self._clock.now()
        async with self._database.unit_of_work() as uow:
            if await uow.calls.find(call) is not None:
                return False
            record_id = wish.record_id
            if wish.order_id is not None:
                record_id = (await uow.work_orders.get(wish.order_id)).record_id
            contact_id = wish.contact_id
            if record_id is not None:
                contact_id = contact_id or (await uow.records.get(record_id)).contact_id
            if exten.startswith("+"):
                contact_id = await self._callable(uow, exten, contact_id)
            await uow.calls.save(
                CallEntry(
                    id=call,
                    pbx=self._phones.pbx_name(agent),
                    direction="outbound",
                    ani=presented,
                    dnis=exten,
                    started_at=now,
                    agent_id=agent.id,
                    contact_id=contact_id,
                )
            )
            if record_id is not None:
                await uow.records.link_call(record_id, call)
                said: dict[str, Json] = {"call_id": call, "order_id": wish.order_id}
                await uow.records.write_line(record_id, now, actor, "called_out", said)
        return True

    async def _failed(self, call: CallId) -> None:
        """The PBX did not take the order; if it did all the same, its own word of the call's end stands in the end."""
        async with self._database.unit_of_work() as uow:
            entry = await uow.calls.lock(call)
            await uow.calls.save(replace(entry, ended_at=self._clock.now(), outcome="failed", complete=True))

    async def _callable(self, uow: UnitOfWork, number: str, contact_id: ContactId | None) -> ContactId | None:
        """The contact who is called, if that is one person. Raises DoNotCall if any of those meant says so."""
        meant = await uow.contacts.by_number(number)
        if contact_id is not None:
            meant.append(await uow.contacts.get(contact_id))
        if any(contact.do_not_call for contact in meant):
            raise DoNotCall("this contact has asked not to be called")
        return contact_id or (meant[0].id if len(meant) == 1 else None)
