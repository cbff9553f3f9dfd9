"""States of calls that the dialplan has: in the store, or in memory while the store is away."""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from dataclasses import replace

import structlog

from ctiserver.agi.session import Session
from ctiserver.ivr.language.requests import HandOver, Request
from ctiserver.ivr.language.state import PathStep
from ctiserver.ivr.runtime.deadlines import GRACE_S, PORT_TIMEOUT_S, while_on_line, within
from ctiserver.ivr.runtime.engine import without_sensitive
from ctiserver.ivr.runtime.ports import FlowPorts, PortFailed
from ctiserver.ivr.runtime.running import RunningCall
from ctiserver.model.ids import CallId

log = structlog.get_logger(__name__)


class KeptStates:
    """Saves, loads and deletes the states of calls; what the store did not take is kept in memory and saved later."""

    def __init__(self, ports: FlowPorts) -> None:
        self._ports = ports
        self._unsaved: dict[CallId, tuple[str, list[PathStep]]] = {}  #: state, and the path to store with it
        self._undeleted: dict[CallId, list[PathStep]] = {}  #: of flows that are over: the path to store
        self._saving = asyncio.Lock()

    def has_unsaved(self, call: CallId) -> bool:
        """Whether a call's state is in memory alone."""
        return call in self._unsaved

    async def load(self, call: CallId, session: Session | None) -> str | None:
        """A call's state as the store has it. Raises PortFailed."""
        return await while_on_line(session, PORT_TIMEOUT_S, self._ports.load_state(call))

    async def take_unsaved(self, call: CallId) -> tuple[str | None, list[PathStep]]:
        """A state that is in memory alone, to go on with; it is not saved any more."""
        if call not in self._unsaved:
            return None, []
        async with self._saving:
            return self._unsaved.pop(call, (None, []))

    def put_back(self, call: CallId, text: str, path: list[PathStep]) -> None:
        """Keep in memory what ``take_unsaved`` gave."""
        self._unsaved[call] = (text, path)

    async def save(self, call: RunningCall, session: Session) -> None:
        """Save a call's state before the dialplan gets the call; in memory where the store does not take it."""
        call.may_be_stored = True
        text = call.state.to_json()
        try:
            work = self._ports.save_state(call.id, text, call.path)
            await while_on_line(session, PORT_TIMEOUT_S, work, GRACE_S)
            call.path = []
        except PortFailed as error:
            # The caller does not wait for the store. Should we be killed as well, the fallback knows their queue.
            log.error("state_kept_in_memory", reason=str(error))
            self._unsaved[call.id] = (text, call.path)

    async def save_lost(self, call: RunningCall, request: Request) -> None:
        """Save the state of a call whose session broke off during ``request``: ``on_hangup`` waits for the call's end.

        A hand-over is saved as it would be had the server been killed: the dialplan may come back with it.
        """
        state = replace(without_sensitive(call.flow, call.state), lost=not isinstance(request, HandOver))
        self._undeleted.pop(call.id, None)
        try:
            await within(PORT_TIMEOUT_S, self._ports.save_state(call.id, state.to_json(), call.path))
            call.path = []
        except PortFailed as error:
            log.error("state_not_stored", reason=str(error))

    async def delete(self, call: RunningCall) -> None:
        """Delete the state of a flow that is over, and store the last of its path; later where the store is away."""
        try:
            await within(PORT_TIMEOUT_S, self._ports.delete_state(call.id, call.path))
        except PortFailed as error:
            log.error("state_not_deleted", reason=str(error))
            self._undeleted[call.id] = [*self._undeleted.get(call.id, ()), *call.path]

    async def finish_deleting(self, call: CallId) -> bool:
        """Whether a call's flow is over but its state was not deleted yet; it is now. Raises PortFailed."""
        if call not in self._undeleted:
            return False
        await within(PORT_TIMEOUT_S, self._ports.delete_state(call, self._undeleted[call]))
        del self._undeleted[call]
        return True

    async def store(self, active: AbstractSet[CallId]) -> None:
        """Bring the store up to date, but for the calls in ``active``. Raises PortFailed while the store is away."""
        for call in [*self._unsaved, *self._undeleted]:
            async with self._saving:
                if call in active:
                    continue
                if call in self._unsaved:
                    text, path = self._unsaved[call]
                    await within(PORT_TIMEOUT_S, self._ports.save_state(call, text, path))
                    del self._unsaved[call]
                elif call in self._undeleted:
                    path = self._undeleted[call]
                    await within(PORT_TIMEOUT_S, self._ports.delete_state(call, path))
                    if self._undeleted.get(call) is path:
                        del self._undeleted[call]
