"""What a menu promises a caller: to be called back, or that somebody hears the message they left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from ctiserver.clock import Clock
from ctiserver.errors import DeadlineExceeded, PbxRefused, PeerLost
from ctiserver.features.callbacks.service import Callbacks, Wish
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.ids import CallId, PbxName
from ctiserver.model.work.record import Record
from ctiserver.store.database import Database
from ctiserver.store.faults import StoreUnavailable
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

#: A call's record, and whether it was opened for this: then desks are told once it is committed.
RecordOfCall = Callable[[UnitOfWork, CallEntry], Awaitable[tuple[Record, bool]]]


class Promises:
    """Use cases of flows. A record is opened for a caller who has none, so that what they said is not lost."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        callbacks: Callbacks,
        *,
        record_of_call: RecordOfCall,
        changed: Callable[[Record], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._callbacks = callbacks
        self._record_of_call = record_of_call
        self._changed = changed

    async def call_back(self, call_id: CallId, number: str, queue: str) -> None:
        """The caller wishes to be called back. Raises NotFound for an unknown call, StoreUnavailable."""
        async with self._database.unit_of_work() as uow:
            record, opened = await self._record_of_call(uow, await uow.calls.get(call_id))
            wish = Wish(call_id=call_id, number=number, queue=queue, reason="promised")
            await self._callbacks.promise(uow, record.id, wish)
        if opened:
            self._changed(record)

    async def keep_place(self, call_id: CallId, number: str, queue: str, *, pbx: PbxName, priority: int) -> None:
        """Keep the caller's place in the queue; where that can't be done the promise stands all the same."""
        try:
            await self._callbacks.keep_place(call_id, number, queue, pbx=pbx, priority=priority)
        except (PeerLost, DeadlineExceeded, PbxRefused, StoreUnavailable) as error:
            log.warning("callback_without_place", call_id=call_id, reason=str(error))

    async def message_left(self, call_id: CallId, file: str, language: str) -> None:
        """The caller left a message in this file of the PBX. Raises NotFound for an unknown call, StoreUnavailable."""
        async with self._database.unit_of_work() as uow:
            record, opened = await self._record_of_call(uow, await uow.calls.get(call_id))
            said = {"file": file, "language": language}
            await uow.records.write_line(record.id, self._clock.now(), f"call:{call_id}", "message_left", said)
            wish = Wish(call_id=call_id, number=record.caller_number, queue="", reason="message")
            await self._callbacks.promise(uow, record.id, wish)
        if opened:
            self._changed(record)
