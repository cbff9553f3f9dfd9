"""A caller's place in the queue, kept by a channel of ours.

When a caller wishes to be called back, the PBX itself makes a channel that waits in the queue at the caller's place
(``cti-callback`` in dialplan/cti.conf). An agent who answers it hears the caller ring. The wish is a work order as
well, which is over once the caller has been reached; where nobody may be dialled, or nobody answered, the order is
what remains, and people do it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.errors import DeadlineExceeded, PbxRefused, PeerLost
from ctiserver.model import numbers
from ctiserver.model.events import AgentConnected, CallbackTried, CallEnded, CallEvent, CallStarted
from ctiserver.model.ids import CallId, PbxName, RecordId, Uniqueid, call_id
from ctiserver.model.json_value import Json
from ctiserver.model.work.record import CALLBACK_ASKED
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.pbx.port import Pbx, current_events
from ctiserver.refused_calls import REFUSED
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.patience import until_stored
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

#: Nobody waits longer than this for an agent; then the order is what remains.
WAITS_S = 2 * 3600
GOT_THROUGH = "got_through"
#: The process that calls back.
PROCESS = "callback"
#: How soon it is tried again to withdraw what waits needlessly, when the PBX could not be told.
_AGAIN_S = 1.0
#: How the uniqueids of channels begin that keep a place; then the call in which it was wished, and a time.
_PREFIX = "callback-"


def _wished_in(uniqueid: Uniqueid) -> CallId | None:
    """The call in whose caller's stead a channel waits; None: it is no such channel."""
    return CallId(uniqueid.split("-")[1]) if uniqueid.startswith(_PREFIX) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Who is to be called back, and why."""

    call_id: CallId  #: the call in which it was promised
    number: str  #: as the caller gave it, or as it was shown
    queue: str  #: empty: none
    reason: str  #: ``promised``, ``missed``, ``message``


class Callbacks:
    """Use cases around promised calls back."""

    def __init__(
        self, database: Database, bus: Bus, clock: Clock, site: Site, *, pbxs: Mapping[PbxName, Pbx], region: str
    ) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._site = site
        self._pbxs = pbxs
        self._region = region
        self._waiting: dict[CallId, CallId] = {}  #: the call that waits → the call in which it was wished
        self._channels: dict[CallId, tuple[PbxName, str]] = {}  #: of those that wait
        self._needless: asyncio.Queue[CallId] = asyncio.Queue()  #: calls that wait

    async def run(self) -> None:
        """Follow the bus until it closes."""
        await self._bus.follow("callbacks", (CallEvent,), self._take_in, self.resync)

    def resync(self) -> None:
        """Take the channels that keep a place from the links to the PBXs. A caller who was reached unheard keeps the
        work order, and a person closes it."""
        self._waiting.clear()
        self._channels.clear()
        for event in current_events(self._pbxs.values()):
            if isinstance(event, CallStarted):
                self._began(event)
            elif isinstance(event, AgentConnected):
                self._channels.pop(event.call_id, None)

    async def _take_in(self, event: CallEvent) -> None:
        await until_stored(partial(self.heard, event), "callback")

    async def promise(self, uow: UnitOfWork, record: RecordId, wish: Wish) -> None:
        """Note on the record that its caller is to be called back, and start the process that makes the work order.

        A second promise of one call starts no second process. It commits with ``uow``.
        """
        now = self._clock.now()
        said: dict[str, Json] = {
            "number": wish.number,
            "queue": wish.queue,
            "reason": wish.reason,
            "call_id": wish.call_id,
        }
        await uow.records.write_line(record, now, f"call:{wish.call_id}", CALLBACK_ASKED, said)
        await uow.outbox.start_process(record, PROCESS, now, cause=wish.call_id)

    async def promise_for_missed(
        self, uow: UnitOfWork, record: RecordId, number: str, queue: str, call_id: CallId
    ) -> None:
        """As :meth:`promise`, to one whose call was missed."""
        await self.promise(uow, record, Wish(call_id=call_id, number=number, queue=queue, reason="missed"))

    async def keep_place(self, wished_in: CallId, number: str, queue: str, *, pbx: PbxName, priority: int) -> bool:
        """Let a channel wait in a caller's stead; False where the number may not be dialled.

        ``priority`` is app_queue's, as the caller would come back with it. Raises PeerLost, DeadlineExceeded,
        PbxRefused: then nothing waits.
        """
        outbound = self._site.outbound
        to = numbers.dialable(number, self._region, allow=outbound.allow, refuse=outbound.refuse)
        if to is None:
            REFUSED.note("callback")
            log.info("callback_without_place", call_id=wished_in, reason="no number that dialling.yaml allows")
            return False
        async with self._database.reading() as uow:
            records = await uow.records.of_call(wished_in)
            entry = await uow.calls.find(wished_in)
        uniqueid = Uniqueid(f"{_PREFIX}{wished_in}-{int(self._clock.now().timestamp())}.1")
        waiting = call_id(pbx, uniqueid)
        self._waiting[waiting] = wished_in
        if records:  # so that the agent whose phone rings has the record before them
            async with self._database.unit_of_work() as uow:
                await uow.records.link_call(records[-1].id, waiting)
        await self._pbxs[pbx].originate(
            f"Local/{to}@cti-callback/n",
            channel_id=uniqueid,
            context="cti-callback-queue",
            exten="wait",
            variables={
                "__CTI_CALLBACK_OF": wished_in,
                "__CTI_PRESENTED": "" if entry is None else entry.dnis,
                "CALLERID(name)": f"Callback {number}",
                "CTI_QUEUE": queue,
                "CTI_QUEUE_TIMEOUT": str(WAITS_S),
                "QUEUE_PRIO": str(priority),
            },
        )
        return True

    async def heard(self, event: CallEvent) -> None:
        """Take in one event of a call."""
        match event:
            case CallStarted():
                self._began(event)
            case AgentConnected():
                self._channels.pop(event.call_id, None)  # its time has come: nobody hangs it up any more
            case CallbackTried():
                log.info("called_back", wished_in=event.wished_in, reached=event.reached)
                if event.reached:
                    async with self._database.unit_of_work() as uow:
                        await self.got_through(uow, event.wished_in, event.call_id)
            case CallEnded():
                self._waiting.pop(event.call_id, None)
                self._channels.pop(event.call_id, None)
            case _:
                pass

    def _began(self, event: CallStarted) -> None:
        wished_in = _wished_in(event.uniqueid)
        if wished_in is not None:
            self._waiting[event.call_id] = wished_in  # we may have been restarted since it was made
            self._channels[event.call_id] = (event.pbx, event.channel)

    def orders_changed(self, orders: Iterable[WorkOrder]) -> None:
        """Somebody does the order by hand, or it is over: nothing needs to wait any more."""
        taken = {
            str(order.payload.get("call_id"))
            for order in orders
            if order.kind == "callback" and order.state not in ("draft", "offered")
        }
        for waiting, wished_in in list(self._waiting.items()):
            if wished_in not in taken or waiting not in self._channels:
                continue
            self._needless.put_nowait(waiting)

    async def withdraw(self) -> None:
        """Hang up what waits needlessly, until cancelled."""
        while True:
            await self._bus.take_in("callbacks-withdrawn", await self._needless.get(), self._withdraw_one)

    async def _withdraw_one(self, waiting: CallId) -> None:
        if waiting not in self._channels:
            return  # its time came first, or it is over
        pbx, channel = self._channels[waiting]
        try:
            await self._pbxs[pbx].hangup(channel)
        except (PeerLost, DeadlineExceeded) as error:
            log.warning("callback_not_withdrawn_yet", channel=channel, reason=str(error))
            asyncio.get_running_loop().call_later(_AGAIN_S, self._needless.put_nowait, waiting)
            return
        except PbxRefused as error:
            log.info("callback_gone", channel=channel, reason=str(error))
        self._channels.pop(waiting, None)

    async def got_through(self, uow: UnitOfWork, wished_in: CallId, by: CallId) -> None:
        """The order is over, since ``by`` has reached the caller: its process is told, once, to commit with ``uow``."""
        for record in await uow.records.of_call(wished_in):
            await uow.outbox.add(
                "process_signal",
                f"{GOT_THROUGH}/{record.id}/{by}",
                {"record_id": record.id, "event": GOT_THROUGH, "event_id": f"{GOT_THROUGH}/{by}"},
                self._clock.now(),
            )
