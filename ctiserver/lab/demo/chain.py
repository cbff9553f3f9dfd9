"""One call, all the way: what happened, when, as facts read from the server's own bus and database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from ctiserver.app.composition import App
from ctiserver.bus import Subscription
from ctiserver.errors import CtiError
from ctiserver.model.events import CallEvent
from ctiserver.model.ids import CallId
from ctiserver.model.json_value import Json
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder

T = TypeVar("T")
E = TypeVar("E", bound=CallEvent)
_LOOK_EVERY_S = 0.02


class ChainBroken(CtiError):
    """A stage of the chain did not come in time."""


@dataclass(slots=True)
class DemoChain:
    """The stages of one call so far."""

    app: App
    events: Subscription[CallEvent]
    emit: Callable[[dict[str, Json]], None]
    began_at: datetime | None = None
    stages: list[str] = field(default_factory=list)

    def tell(self, stage: str, at: datetime, **facts: Json) -> None:
        """Report one stage; ``seconds`` count from the first."""
        self.began_at = self.began_at or at
        self.stages.append(stage)
        self.emit(
            {
                "stage": stage,
                "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "seconds": round((at - self.began_at).total_seconds(), 3),
                **facts,
            }
        )

    async def event(self, kind: type[E], within_s: float, call_id: CallId | None = None) -> E:
        """The next event of a kind, of one call or any. Raises ChainBroken."""
        try:
            async with asyncio.timeout(within_s):
                async for event in self.events:
                    if isinstance(event, kind) and call_id in (None, event.call_id):
                        return event
        except TimeoutError:
            pass
        raise ChainBroken(f"no {kind.__name__} within {within_s:g} s")

    async def fact(self, what: str, read: Callable[[], Awaitable[T | None]], within_s: float) -> T:
        """Something in the database, once it is there. Raises ChainBroken."""
        try:
            async with asyncio.timeout(within_s):
                while (found := await read()) is None:
                    await asyncio.sleep(_LOOK_EVERY_S)
                return found
        except TimeoutError:
            raise ChainBroken(f"{what}: not within {within_s:g} s") from None

    async def key_heard(self, call_id: CallId) -> datetime | None:
        """When the last menu before the queue took its key."""
        async with self.app.database.reading() as uow:
            path = await uow.calls.path(call_id)
        menus = [step.at for step in path if step.data.get("kind") == "menu"]
        return menus[-1] if menus else None

    async def record(self, call_id: CallId) -> Record | None:
        """The record that the call opened."""
        async with self.app.database.reading() as uow:
            records = await uow.records.of_call(call_id)
        return records[-1] if records else None

    async def painted_at(self, call_id: CallId) -> datetime | None:
        """When a browser had drawn the pop."""
        async with self.app.database.reading() as uow:
            pops = await uow.pops.of_call(call_id)
        return next((pop.painted_at for pop in pops if pop.painted_at), None)

    async def disposed_at(self, record: Record) -> datetime | None:
        """When the agent's result was saved."""
        async with self.app.database.reading() as uow:
            timeline = await uow.records.timeline(record.id)
        return next((entry.at for entry in timeline if entry.kind == "disposed"), None)

    async def order(self, record: Record, kind: str) -> WorkOrder | None:
        """The record's work order of a kind."""
        async with self.app.database.reading() as uow:
            orders = await uow.work_orders.of_record(record.id)
        return next((order for order in orders if order.kind == kind), None)
