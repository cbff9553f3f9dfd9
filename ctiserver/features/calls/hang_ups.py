"""Flows learn of the end of calls that the dialplan has: from the bus, or from the call log where nobody heard it.

Nobody hears what ends while this server or its link to the PBX is away, nor the end of a call that was merged into an
older one and ends under its name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial

import structlog

from ctiserver.bus import Bus
from ctiserver.errors import CtiError
from ctiserver.ivr.runtime.ports import PortFailed
from ctiserver.ivr.runtime.runner import FlowService
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.events import CallEnded, CallOutcome
from ctiserver.model.ids import CallId, PbxName
from ctiserver.store.database import Database
from ctiserver.store.patience import now_and_again, until_stored
from ctiserver.store.setting_aside import SettingAside
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 15.0
#: The kind of work that is set aside: a flow that can't be told of its caller's end.
_HANG_UP = "hang_up"
#: Of which a caller who has gone needs nothing more.
_SERVED: frozenset[CallOutcome | None] = frozenset({"answered", "voicemail"})


class HangUps:
    """Tells flows of callers who hung up while the dialplan had the call, so that ``on_hangup`` runs: once a call."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        flows: FlowService,
        *,
        pbxs: Collection[PbxName],
        going_on: Callable[[PbxName], Collection[CallId]],
        behind: Callable[[PbxName], bool],
        aside: SettingAside,
    ) -> None:
        """``behind``: whether what happened to a PBX's calls that ended unseen is still to be told by its own log."""
        self._database = database
        self._bus = bus
        self._flows = flows
        self._pbxs = pbxs
        self._going_on = going_on
        self._behind = behind
        self._aside = aside
        self._aside.add_kind(_HANG_UP)
        self._found: frozenset[CallId] = frozenset()  #: by the last look

    async def run(self) -> None:
        """Follow the ends of calls until the bus closes; they wait for a database that is away."""
        await self._bus.follow("hung-up-flows", (CallEnded,), self._take_in, self._resync)

    async def _resync(self) -> None:
        """The first of the two looks into the call log that find an unheard end; :meth:`sweep` is the second."""
        await until_stored(self.look, "on_hangup")

    async def _take_in(self, event: CallEnded) -> None:
        if event.reason == "lost":
            return  # what happened to the caller is told later, by the PBX's own log
        work = partial(self._ended, event.call_id, served=event.summary.outcome in _SERVED)
        await until_stored(work, "on_hangup")

    async def sweep(self) -> None:
        """Look for ends that were not heard, until cancelled."""
        await asyncio.sleep(SWEEP_EVERY_S)
        await now_and_again(self.look, SWEEP_EVERY_S, "hang_ups_not_looked_for")

    async def look(self) -> None:
        """Run ``on_hangup`` for calls that two looks have found to be over, and whose flow was not told.

        Two, since who hears of an end is about to tell it, and so is queue_log what happened to a call that was lost.
        What flows kept in memory is written down first. Raises StoreUnavailable.
        """
        try:
            await self._flows.store_kept()
        except PortFailed as error:
            log.warning("flows_kept_in_memory", reason=str(error))
        async with self._database.reading() as uow:
            found = await uow.flow_states.of_ended_calls(self._pbxs)
        due = [call for call in found if call in self._found]
        self._found = frozenset(found)
        for call in due:
            await self._aside.contain(_HANG_UP, call, partial(self._look_at, call))

    async def _look_at(self, call: CallId) -> None:
        async with self._database.reading() as uow:
            end = await self._end(uow, call)
        if end is not None:
            log.info("hang_up_unheard", call_id=call, outcome=end.outcome)
            await self._ended(call, served=end.outcome in _SERVED)

    async def _end(self, uow: UnitOfWork, call: CallId) -> CallEntry | None:
        """What the log has of a call's end; None while it is not known, or goes on under an older call's name."""
        entry = await uow.calls.find(call)
        while entry is not None and entry.merged_into is not None:
            entry = await uow.calls.find(entry.merged_into)
        if entry is None or not entry.complete or entry.pbx not in self._pbxs:
            return None
        if self._behind(entry.pbx) or not {call, entry.id}.isdisjoint(self._going_on(entry.pbx)):
            return None
        return entry

    async def _ended(self, call: CallId, *, served: bool) -> None:
        """Raises StoreUnavailable, after which nothing was done."""
        async with self._database.reading() as uow:
            if await uow.flow_states.load(call) is None and not self._flows.has(call):
                return
        try:
            await self._flows.hung_up(call, served=served)
        except PortFailed as error:
            log.warning("on_hangup_put_off", call_id=call, reason=str(error))  # until the next look
        except CtiError as error:
            log.error("on_hangup_failed", call_id=call, reason=str(error))
            await self._drop(call)
        except Exception:  # the edge of one call: nothing of it may reach another
            log.exception("on_hangup_crashed", call_id=call)
            await self._drop(call)

    async def _drop(self, call: CallId) -> None:
        """Nobody will ever be able to go on with its state."""
        async with self._database.unit_of_work() as uow:
            await uow.flow_states.remove(call)
