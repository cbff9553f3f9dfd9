"""What the PBXs are still to do about agents' seats: given one after another, and again where a link was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from ctiserver.errors import CtiError, DeadlineExceeded, PeerLost
from ctiserver.model.ids import AgentId, Interface, QueueName
from ctiserver.pbx.port import Pbx

log = structlog.get_logger(__name__)

_LONGEST = 1000
_AGAIN_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause the agent wherever they sit, or unpause them."""

    agent_id: AgentId
    paused: bool
    reason: str


@dataclass(frozen=True, slots=True)
class QueueMembership:
    """Seat the agent again where a restart of the PBX lost the seat."""

    agent_id: AgentId
    queue: QueueName
    interface: Interface
    name: str
    penalty: int


Order = Pause | QueueMembership


class Orders:
    """A queue of orders. One that found no PBX to take it waits until that is heard again."""

    def __init__(
        self,
        *,
        pbx_of: Callable[[AgentId], Pbx | None],
        due: Callable[[Pause], bool],
        pause: Callable[[Pause], Awaitable[None]],
        seated: Callable[[QueueMembership], None],
    ) -> None:
        """``pbx_of``: None for an agent who is gone. ``due``: whether a pause is still what the agent is to have.
        ``pause`` has it done. ``seated`` is told of each seat that a PBX has given."""
        self._pbx_of = pbx_of
        self._due = due
        self._pause = pause
        self._seated = seated
        self._waiting: asyncio.Queue[Order] = asyncio.Queue(maxsize=_LONGEST)
        self._owed: dict[AgentId, list[Order]] = {}

    def give(self, order: Order) -> None:
        """Have it done soon; it must not wait."""
        try:
            self._waiting.put_nowait(order)
        except asyncio.QueueFull:
            # The PBX has been away for a long time; its snapshot at the next connect says what is so.
            log.error("agent_order_dropped", agent=order.agent_id)

    def settled(self, agent_id: AgentId) -> None:
        """The agent themselves told the PBX what they want: what was owed before that is void."""
        self._owed.pop(agent_id, None)

    def heard_again(self, agent_id: AgentId) -> None:
        """The agent's PBX is there again: give what it still owes."""
        for order in self._owed.pop(agent_id, ()):
            self.give(order)

    async def run(self) -> None:
        """Give orders until cancelled."""
        while True:
            order = await self._waiting.get()
            pbx = self._pbx_of(order.agent_id)
            if pbx is None or (isinstance(order, Pause) and not self._due(order)):
                continue
            try:
                match order:
                    case Pause():
                        await self._pause(order)
                    case QueueMembership(queue=queue, interface=interface, name=name, penalty=penalty):
                        await pbx.queue_add(queue, interface, name=name, penalty=penalty)
                        self._seated(order)
            except PeerLost as error:
                log.warning("agent_order_put_off", agent=order.agent_id, error=str(error))
                self._owe(order)
            except DeadlineExceeded as error:
                # Too busy to answer, and not gone, or the link would know: a pause or a seat may be asked for twice.
                log.warning("agent_order_unanswered", agent=order.agent_id, error=str(error))
                await asyncio.sleep(_AGAIN_AFTER_S)
                self.give(order)
            except CtiError as error:  # refused by the PBX; an agent who is gone; a name that no AMI message can hold
                log.warning("agent_order_refused", agent=order.agent_id, error=str(error))

    def _owe(self, order: Order) -> None:
        owed = self._owed.setdefault(order.agent_id, [])
        if isinstance(order, Pause):
            owed[:] = [one for one in owed if isinstance(one, QueueMembership)]  # the last wish counts
        owed.append(order)
