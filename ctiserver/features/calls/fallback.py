"""What happens to a call that the dialplan served without us: an entry, and a record or the reason for none."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from ctiserver.clock import Clock
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.calls.journal import JournalEntry
from ctiserver.model.ids import AgentId, CallId, PbxName, began_at
from ctiserver.model.json_value import Json
from ctiserver.model.work.record import Record
from ctiserver.store.unit_of_work import UnitOfWork

#: Who wrote it on the timeline: the dialplan, alone.
_PBX = "pbx"
#: The reason of a call whose caller is known to have gone without being served.
_UNSERVED = "left_unserved"
#: Outcomes of which that is so.
_IN_VAIN = frozenset({"abandoned", "timeout", "busy", "no_answer"})


class OpenRecord(Protocol):
    """Opens the record that messages become, for a call, or finds the one that is open; commits with ``uow``."""

    async def __call__(self, uow: UnitOfWork, call: CallEntry, *, owner: AgentId | None) -> Record: ...


class GotThrough(Protocol):
    """Ends the callback that was wished in a call, by a call that reached the caller; commits with ``uow``."""

    async def __call__(self, uow: UnitOfWork, wished_in: CallId, by: CallId) -> None: ...


class TakingOver:
    """Makes the log and the records say what the journal tells."""

    def __init__(self, open_record: OpenRecord, got_through: GotThrough, clock: Clock) -> None:
        self._open_record = open_record
        self._got_through = got_through
        self._clock = clock

    async def take_over(self, uow: UnitOfWork, pbx: PbxName, call: CallId, entry: JournalEntry) -> list[Record]:
        """One entry, to commit with ``uow``; the records that changed.

        - A message: on the call's record, or a new one, whose caller is to be called back. One that the flow has put
          there already stays as it is.
        - A caller whom the dialplan served: noted on the call's records. Without one: a record, for who talked with
          them to write down what it was about; unless nobody did, which is then the reason for none.
        - A caller who was called back and reached: nobody needs to do it any more.
        """
        if entry.wished_in is not None:
            await self._got_through(uow, entry.wished_in, call)
            return []
        known = await _entry(uow, pbx, call, entry)
        records = await uow.records.of_call(call)
        if entry.kind == "voicemail":
            return await self._message(uow, known, records, entry)
        return await self._served(uow, known, records, entry)

    async def _message(
        self, uow: UnitOfWork, known: CallEntry, records: list[Record], entry: JournalEntry
    ) -> list[Record]:
        if await _is_noted(uow, records, entry.file):
            return []
        record = records[-1] if records else await self._open_record(uow, known, owner=None)
        said: dict[str, Json] = {"file": entry.file, "status": entry.status}
        await uow.records.write_line(record.id, entry.at, _PBX, "message_left", said)
        # A callback for each call that left a message: an earlier one may have been done long ago.
        await uow.outbox.start_process(record.id, "callback", self._clock.now(), cause=known.id)
        known = await uow.calls.get(known.id)  # with the contact that the record was linked to
        await uow.calls.save(replace(known, outcome=known.outcome or "voicemail", no_record_reason=None))
        return [record]

    async def _served(
        self, uow: UnitOfWork, known: CallEntry, records: list[Record], entry: JournalEntry
    ) -> list[Record]:
        said = {"why": entry.why, "stage": entry.stage, "queue": entry.queue, "language": entry.language}
        known = replace(known, detail={**known.detail, "fallback": said})
        if not records and known.outcome in _IN_VAIN:
            await uow.calls.save(replace(known, no_record_reason=known.no_record_reason or _UNSERVED))
            return []
        await uow.calls.save(known)
        if not records and known.outcome == "voicemail":
            return []  # the message's own entry opens its record
        if not records:
            records = [await self._open_record(uow, known, owner=known.agent_id)]
            await uow.calls.save(replace(await uow.calls.get(known.id), no_record_reason=None))
        for record in records:
            await uow.records.write_line(record.id, entry.at, _PBX, "fallback", said)
        return records


async def _entry(uow: UnitOfWork, pbx: PbxName, call: CallId, entry: JournalEntry) -> CallEntry:
    """The call's entry; made now if nobody told of the call."""
    known = await uow.calls.find_to_change(call)
    if known is not None and known.detail.get("ended") == "unseen" and known.ended_at is not None:
        known = replace(known, ended_at=max(known.ended_at, entry.at))  # it lasted until then at the least
    if known is None:
        began = began_at(entry.uniqueid) or entry.at
        known = CallEntry(
            id=call,
            pbx=pbx,
            direction="inbound",
            started_at=min(began, entry.at),
            ended_at=entry.at,
            complete=True,
            detail={"linkedids": [entry.linkedid], "reconstructed": True, "ended": "unseen"},
        )
    known = replace(known, ani=known.ani or entry.caller, dnis=known.dnis or entry.dialled)
    await uow.calls.save(known)
    return known


async def _is_noted(uow: UnitOfWork, records: list[Record], file: str) -> bool:
    for record in records:
        for line in await uow.records.timeline(record.id):
            if line.kind == "message_left" and line.data.get("file") == file:
                return True
    return False
