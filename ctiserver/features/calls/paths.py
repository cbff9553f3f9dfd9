"""Which way a call took through its menu, and where it stands while the dialplan has it."""

from __future__ import annotations

from collections.abc import Sequence

from ctiserver.clock import Clock
from ctiserver.model.calls.call_entry import PathStep
from ctiserver.model.ids import CallId
from ctiserver.store.database import Database


class CallPaths:
    """Use cases of flows around a call's path. Each raises StoreUnavailable."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(self, steps: Sequence[PathStep]) -> None:
        """Store steps, in order."""
        async with self._database.unit_of_work() as uow:
            await uow.calls.add_steps(steps)

    async def keep_state(self, call_id: CallId, state: str, steps: Sequence[PathStep]) -> None:
        """Keep where the call stands in its menu, in place of what was kept before, and the path so far."""
        async with self._database.unit_of_work() as uow:
            await uow.calls.add_steps(steps)
            await uow.flow_states.save(call_id, {"state": state}, self._clock.now())

    async def kept_state(self, call_id: CallId) -> str | None:
        """What was kept, None if nothing was."""
        async with self._database.reading() as uow:
            kept = await uow.flow_states.load(call_id)
        return None if kept is None else str(kept["state"])

    async def forget_state(self, call_id: CallId, steps: Sequence[PathStep]) -> None:
        """Forget what was kept, and store the last of the path; unknown calls are no error."""
        async with self._database.unit_of_work() as uow:
            await uow.calls.add_steps(steps)
            await uow.flow_states.remove(call_id)
