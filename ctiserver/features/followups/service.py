"""Calling customers: a work order that is done by calling becomes one call, and what it came to.

An attempt is marked ``asked`` and committed before the PBX is asked, and is never made again from then on: whatever
dies in between, a customer is called once at most for it. What is not known to have happened counts as "not reached",
and the process tries again when it would have tried again anyway, by another order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Literal

import structlog
from prometheus_client import Counter

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.errors import DeadlineExceeded, PbxRefused, PeerLost
from ctiserver.metrics import REGISTRY
from ctiserver.model import numbers
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.contact import Contact
from ctiserver.model.events import CallEnded
from ctiserver.model.ids import CallId, PbxName, Uniqueid, call_id
from ctiserver.model.json_value import Json, JsonObject
from ctiserver.model.work import outbound_call, work_order
from ctiserver.model.work.outbound_call import Limits, OutboundCall
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.pbx.port import Pbx
from ctiserver.site.files import Automatic
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.faults import Conflict, NotFound, StoreUnavailable
from ctiserver.store.patience import until_stored
from ctiserver.store.setting_aside import Kind, SettingAside
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

CALLS = Counter(
    "ctiserver_automatic_calls_total", "Calls that the server made or gave up", ("outcome",), registry=REGISTRY
)

#: Where the dialplan lets the server's own calls out, and where the person who answers them goes (dialplan/cti.conf).
OUT, ANSWERED = "cti-automatic", "cti-called"
_LOOK_EVERY_S = 1.0
#: Kinds of work that is set aside: a call that can't be decided on, and one whose end can't be noted.
_CALL, _END = "automatic_call", "automatic_call_end"
#: A call that was asked for so long ago and that the PBX, whose link is up, does not have, is over or never was.
_UNSEEN_AFTER = timedelta(seconds=15)
#: How long a contact's second call waits for their first, before it is looked at again.
_ONE_AT_A_TIME = timedelta(minutes=5)
#: What the flow tells: ``survey.answered`` …
_EVENT = "survey."


@dataclass(frozen=True, slots=True)
class FollowUpCall:
    """The verdict: this number may be called now."""

    number: str


@dataclass(frozen=True, slots=True)
class Later:
    """The verdict: not before then."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The verdict: no call. ``way``: somebody else tries; ``all``: nobody shall."""

    reason: str
    what: str


Verdict = FollowUpCall | Later | GiveUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Somebody has answered: what they are to hear, and about what."""

    flow: str
    record: Record
    contact: Contact | None
    number: str


class FollowUps:
    """Makes the calls that processes have planned, and tells the processes what came of them."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        site: Site,
        *,
        pbx: Pbx,
        others: Mapping[PbxName, Pbx] | None = None,
        region: str,
        hours: Callable[[], WorkingTime],
        going_on: Callable[[PbxName], Collection[CallId]],
        changed: Callable[[Record, list[WorkOrder]], None] = lambda record, orders: None,
        aside: SettingAside | None = None,
    ) -> None:
        """``pbx`` is the one that calls go out by, ``others`` those by which they may have gone before.

        ``hours`` gives the site's calendars as they are now; ``going_on`` the calls that a PBX, whose link is up,
        has now; ``changed`` is told after each commit."""
        self._database = database
        self._bus = bus
        self._clock = clock
        self._site = site
        self._pbx = pbx
        self._pbxs = {**(others or {}), pbx.name: pbx}
        self._region = region
        self._hours = hours
        self._going_on = going_on
        self._changed = changed
        self._held_up: str | None = None
        self._resting = False
        self._aside = aside or SettingAside(database, clock)
        self._aside.add_kind(_CALL, Kind(hide=_hide, show=_show))
        self._aside.add_kind(_END, Kind())

    @property
    def _automatic(self) -> Automatic:
        return self._site.automatic

    async def run(self) -> None:
        """Note how calls end, as the PBX tells, until the bus closes."""
        await self._bus.follow("follow-ups", (CallEnded,), self._take_in, self._resync)

    async def _resync(self) -> None:
        await until_stored(self.settle_unseen, "follow-up call")

    async def _take_in(self, event: CallEnded) -> None:
        await until_stored(partial(self._ended, event.call_id), "follow-up call")

    async def tend(self) -> None:
        """Make the calls that are due, and find those whose end nobody saw; until cancelled."""
        while True:
            try:
                await self.settle_unseen()
                await self.place()
            except (StoreUnavailable, Conflict) as error:
                log.warning("follow_ups_store_away", why=str(error))
            await asyncio.sleep(_LOOK_EVERY_S)

    # Making calls

    def rest(self) -> None:
        """Make no more calls: the server is about to end, and the person who answered would be hung up on."""
        self._resting = True

    async def place(self) -> int:
        """Ask the PBX for every call that may be made now; how many that were."""
        made = 0
        while self._pbx.up and not self._resting:
            taken = await self._take_one()
            if taken == "nothing":
                break
            if isinstance(taken, OutboundCall):
                made += 1
                await self._ask(taken)
        return made

    async def _take_one(self) -> OutboundCall | Literal["nothing", "decided"]:
        """As :meth:`_take`; a call that can't be decided on is set aside."""
        async with self._database.reading() as uow:
            key = await uow.outbound_calls.next_due(self._clock.now())
        if key is None:
            return "nothing"
        try:
            return await self._take()
        except (StoreUnavailable, Conflict):
            raise
        except Exception as error:  # the edge of one call: those behind it are made
            log.exception("automatic_call_set_aside", call=key)
            await self._aside.put(_CALL, key, error)
            return "decided"

    async def _take(self) -> OutboundCall | Literal["nothing", "decided"]:
        """Decide on the next call that is due, and keep that; the call, if it is to be made now."""
        now = self._clock.now()
        today = now.astimezone(self._hours().zone).replace(hour=0, minute=0, second=0, microsecond=0)
        async with self._database.unit_of_work() as uow:
            call = await uow.outbound_calls.claim(now)
            if call is None:
                return "nothing"
            order = await uow.work_orders.lock(call.order_id)
            if order.state != "offered":  # withdrawn, or a person did it
                await uow.outbound_calls.save(replace(call, state="over", ended_at=now, reason="withdrawn"))
                return "decided"
            record = await uow.records.get(call.record_id)
            verdict = await self._verdict(uow, call, record, now, today)
            held_up = await self._limit(uow, now, today) if isinstance(verdict, FollowUpCall) else None
            if held_up in ("minutes", "money") and order.due_at is not None and order.due_at <= now:
                verdict = GiveUp("held_up", "way")  # nobody knows when it could be; a person does it now
            match verdict:
                case GiveUp():
                    order = await self._end(uow, call, order, "unreachable", verdict.reason, verdict.what)
                case Later():
                    await uow.outbound_calls.save(replace(call, due_at=verdict.at))
                    return "decided"
                case FollowUpCall():
                    if held_up is not None:
                        self._say_held_up(held_up)
                        return "nothing"
                    channel = outbound_call.channel_id(order.id, call.attempt, now)
                    asked = replace(
                        call,
                        state="asked",
                        asked_at=now,
                        pbx=self._pbx.name,
                        channel_id=channel,
                        call_id=call_id(self._pbx.name, Uniqueid(channel)),
                        answers={"number": verdict.number},
                    )
                    await uow.outbound_calls.save(asked)
                    await uow.records.link_call(record.id, asked.call_id or CallId(""))
                    order = await self._keep(uow, work_order.step(order, "accept", now))
                    await self._note(uow, order, now, "customer_called", {"attempt": call.attempt})
        self._held_up = None
        self._changed(record, [order])
        return asked if isinstance(verdict, FollowUpCall) else "decided"

    async def _verdict(
        self, uow: UnitOfWork, call: OutboundCall, record: Record, now: datetime, today: datetime
    ) -> Verdict:
        automatic = self._automatic
        if not automatic.enabled:
            return GiveUp("not_enabled", "way")
        contact = None if record.contact_id is None else await uow.contacts.get(record.contact_id)
        if contact is not None and contact.do_not_call:
            return GiveUp("do_not_call", "all")
        sample = automatic.samples.get(call.flow)
        if sample is not None and not outbound_call.sampled(record.id, call.flow, sample.percent):
            return GiveUp("not_sampled", "all")
        if contact is not None and await uow.outbound_calls.talked_to(contact.id, now - automatic.rest, but=record.id):
            return GiveUp("asked_lately", "all")
        if contact is not None and await uow.outbound_calls.going_on_with(contact.id):
            return Later(now + _ONE_AT_A_TIME)
        number = self._number(record, contact)
        if number is None:
            return GiveUp("no_number", "way")
        hours = self._hours()
        opens = hours.next_open(now, call.hours)
        if opens > now:
            return Later(opens)
        a_day = None if sample is None else sample.a_day
        if a_day is not None and await uow.outbound_calls.answered(call.flow, today) >= a_day:
            return Later(hours.next_open(today + timedelta(days=1), call.hours))
        return FollowUpCall(number)

    def _number(self, record: Record, contact: Contact | None) -> str | None:
        """The first of the customer's numbers that may be called at all; the one they called from comes first."""
        outbound = self._site.outbound
        for number in (record.caller_number, *(() if contact is None else contact.numbers)):
            found = numbers.dialable(number, self._region, allow=outbound.allow, refuse=outbound.refuse)
            if found is not None:
                return found
        return None

    async def _limit(self, uow: UnitOfWork, now: datetime, today: datetime) -> str | None:
        """Which limit is reached, if one is."""
        _, pace = outbound_call.pace(self._automatic.calls_per_s)
        return outbound_call.held_up(self._limits(), await uow.outbound_calls.spent(now - pace, today))

    def _limits(self) -> Limits:
        automatic = self._automatic
        return Limits(
            calls_per_s=automatic.calls_per_s,
            at_once=automatic.at_once,
            minutes_a_day=automatic.minutes_a_day,
            money_a_day=None if automatic.money_a_day is None else Decimal(automatic.money_a_day),
            price_a_minute=Decimal(automatic.price_a_minute),
        )

    def _say_held_up(self, by: str) -> None:
        if by != self._held_up and by in ("minutes", "money"):
            log.warning("automatic_calls_held_up", limit=f"{by}_a_day")
        self._held_up = by

    async def _ask(self, call: OutboundCall) -> None:
        assert call.channel_id is not None
        number = str(call.answers["number"])
        try:
            await self._pbx.originate(
                f"Local/{number}@{OUT}/n",
                channel_id=Uniqueid(call.channel_id),
                context=ANSWERED,
                exten="s",
                caller_number=self._automatic.presented,
                timeout_s=self._automatic.ring.total_seconds(),
                variables={"__CTI_CALLED": call.id},
            )
        except PbxRefused as refusal:
            log.warning("automatic_call_refused", order=call.order_id, why=str(refusal))
            await self._settle(call.id, reason="refused_by_pbx")
        except (PeerLost, DeadlineExceeded) as error:
            # Whether the PBX calls is not known. It is not asked again; events, or their absence, will tell.
            log.warning("automatic_call_in_doubt", order=call.order_id, why=str(error))

    # What happens to them

    async def answered(self, key: str, call: CallId) -> Answered:
        """Somebody has answered the call ``key``. Raises NotFound if there is no such call, or it is over."""
        now = self._clock.now()
        async with self._database.unit_of_work() as uow:
            found = await uow.outbound_calls.lock(key)
            if found.state == "over" or found.call_id != call:
                raise NotFound(f"call {key} is not being made")
            record = await uow.records.get(found.record_id)
            contact = None if record.contact_id is None else await uow.contacts.get(record.contact_id)
            if found.answered_at is None:
                await uow.outbound_calls.save(replace(found, state="answered", answered_at=now))
        return Answered(flow=found.flow, record=record, contact=contact, number=str(found.answers["number"]))

    async def told(self, call: CallId, event: str, data: Mapping[str, Json]) -> None:
        """A flow told something; ``survey.…`` is what the customer said."""
        word = event.removeprefix(_EVENT)
        if not event.startswith(_EVENT) or word not in outbound_call.TOLD:
            return
        async with self._database.unit_of_work() as uow:
            found = await uow.outbound_calls.lock_by_call(call)
            if found is not None and found.state != "over":
                await uow.outbound_calls.save(replace(found, told=word, answers={**found.answers, **data}))

    async def settle_unseen(self) -> None:
        """Settle what was asked for and is not there: it ended, or never was, while nobody looked."""
        async with self._database.reading() as uow:
            asked = await uow.outbound_calls.under_way(self._clock.now() - _UNSEEN_AFTER)
        for call in asked:
            await self._aside.contain(_END, call.id, partial(self._settle_if_over, call), record_id=call.record_id)

    async def _settle_if_over(self, call: OutboundCall) -> None:
        placed_by = None if call.pbx is None else self._pbxs.get(call.pbx)
        if placed_by is not None and not placed_by.up:
            return  # whether it goes on is not known
        if placed_by is None or call.call_id not in self._going_on(placed_by.name):
            await self._settle(call.id, reason="not_seen" if call.answered_at is None else "ended")

    async def _ended(self, call: CallId) -> None:
        try:
            async with self._database.reading() as uow:
                found = await uow.outbound_calls.find_by_call(call)
            if found is not None and found.state != "over":
                await self._settle(found.id, reason="no_answer" if found.answered_at is None else "ended")
        except StoreUnavailable as error:
            log.warning("follow_up_end_not_noted", call=call, why=str(error))  # tend does it

    async def _settle(self, key: str, *, reason: str) -> None:
        now = self._clock.now()
        async with self._database.unit_of_work() as uow:
            call = await uow.outbound_calls.lock(key)
            if call.state == "over":
                return
            order = await uow.work_orders.lock(call.order_id)
            minutes = outbound_call.talk_minutes(call.answered_at, now)
            cost = str(minutes * Decimal(self._automatic.price_a_minute))
            call = replace(call, minutes=minutes, cost=cost)
            if order.is_open:
                outcome = outbound_call.came_to(order.kind, call.told)
                give_up = "all" if call.told == "refused" and outcome == "unreachable" else None
                order = await self._end(uow, call, order, outcome, reason, give_up)
            else:  # a person was faster, or the process went on
                await uow.outbound_calls.save(replace(call, state="over", ended_at=now, reason=reason))
            record = await uow.records.get(call.record_id)
        self._changed(record, [order])

    async def _end(  # noqa: PLR0917
        self, uow: UnitOfWork, call: OutboundCall, order: WorkOrder, outcome: str, reason: str, give_up: str | None
    ) -> WorkOrder:
        """The order came to an outcome: keep it, and tell its process."""
        now = self._clock.now()
        answers = {name: value for name, value in call.answers.items() if name != "number"}
        result: JsonObject = {
            **answers,
            "reason": reason,
            "minutes": call.minutes,
            **({} if give_up is None else {"give_up": give_up}),
        }
        await uow.outbound_calls.save(replace(call, state="over", ended_at=now, outcome=outcome, reason=reason))
        if order.state == "offered":
            order = work_order.step(order, "accept", now)
        order = replace(work_order.step(order, "complete", now), outcome=outcome, result={**order.result, **result})
        order = await self._keep(uow, order)
        await self._note(uow, order, now, f"order_{order.state}", {"outcome": outcome, **result})
        if order.process_id is not None:
            ended: JsonObject = {
                "key": order.key.partition("/")[2],
                "outcome": outcome,
                "by": None,
                "result": result,
            }
            await uow.outbox.add(
                "process_signal",
                f"order_ended/{order.id}/{order.revision}",
                {"process_id": order.process_id, "order_ended": ended},
                now,
            )
        CALLS.labels(outcome).inc()
        return order

    async def _keep(self, uow: UnitOfWork, order: WorkOrder) -> WorkOrder:
        await uow.work_orders.update(order)
        return replace(order, revision=order.revision + 1)

    async def _note(self, uow: UnitOfWork, order: WorkOrder, now: datetime, kind: str, data: JsonObject) -> None:
        said = {"order": order.number, "kind": order.kind, **data}
        await uow.records.write_line(order.record_id, now, "server", kind, said)


async def _hide(uow: UnitOfWork, key: str) -> None:
    await uow.outbound_calls.set_state(key, "set_aside")


async def _show(uow: UnitOfWork, key: str) -> None:
    await uow.outbound_calls.set_state(key, "waiting")
