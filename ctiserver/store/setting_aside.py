"""The edge of one piece of work that a service does: what can't be done is set aside, and stops nothing else.

A service that reads rows does each inside :meth:`SettingAside.contain`. Whatever a row raises is kept with it, shown to
admins (``/api/v1/set-aside``), and the next row is done. Only a database that is away is not the row's fault.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog
from prometheus_client import Counter

from ctiserver.clock import Clock
from ctiserver.metrics import REGISTRY
from ctiserver.model.audit import AuditAct
from ctiserver.model.ids import RecordId, new_ulid
from ctiserver.model.json_value import JsonObject
from ctiserver.model.set_aside import SET_ASIDE_KINDS, SetAside, reason_of, storable
from ctiserver.store.database import Database
from ctiserver.store.faults import Conflict, StoreUnavailable
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

SET_ASIDE = Counter("ctiserver_set_aside_total", "Pieces of work that could not be done", ("kind",), registry=REGISTRY)

_REF_MAX, _ABOUT_MAX, _ID_MAX = 200, 200, 26
Touch = Callable[[UnitOfWork, str], Awaitable[None]]


async def _untouched(uow: UnitOfWork, ref: str) -> None:
    """The row stays as it is: its service asks :meth:`SettingAside.has`."""


def _nobody() -> None:
    """Nobody is woken: the service looks by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How the rows of one kind of work leave their service's sight, and come back."""

    hide: Touch = _untouched
    show: Touch = _untouched
    wake: Callable[[], None] = _nobody  #: after ``show`` is committed


class SettingAside:
    """What is set aside, of every kind."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._kinds: dict[str, Kind] = {}
        self._known: set[tuple[str, str]] | None = None

    def add_kind(self, name: str, kind: Kind | None = None) -> None:
        """A service sets work of this kind aside. Raises ValueError for a name that is taken, or that no page knows."""
        if name in self._kinds or name not in SET_ASIDE_KINDS:
            raise ValueError(f"there is a kind of work named {name}, or the pages have no word for it")
        self._kinds[name] = kind or Kind()

    async def has(self, kind: str, ref: str) -> bool:
        """Whether this is set aside, or was dropped. Raises StoreUnavailable."""
        if self._known is None:
            async with self._database.reading() as uow:
                self._known = await uow.set_aside.keys()
        return (kind, storable(ref, _REF_MAX)) in self._known

    async def contain(
        self,
        kind: str,
        ref: str,
        work: Callable[[], Awaitable[object]],
        *,
        about: str = "",
        record_id: RecordId | None = None,
    ) -> bool:
        """Do ``work``; whether it was done. What was set aside before is not tried.

        Raises StoreUnavailable and Conflict, after which nothing of it was kept: it is to be done again.
        """
        if await self.has(kind, ref):
            return False
        try:
            await work()
        except (StoreUnavailable, Conflict):
            raise
        except Exception as error:  # the edge of one piece of work: nothing of it may reach another
            log.exception("work_set_aside", kind=kind, ref=ref)
            await self.put(kind, ref, error, about=about, record_id=record_id)
            return False
        return True

    async def put(
        self, kind: str, ref: str, error: Exception, *, about: str = "", record_id: RecordId | None = None
    ) -> None:
        """Set it aside, so that its service does not see it any more. Raises StoreUnavailable."""
        known = self._kinds[kind]
        key, now = storable(ref, _REF_MAX), self._clock.now()
        async with self._database.unit_of_work() as uow:
            await known.hide(uow, ref)
            before = await uow.set_aside.of(kind, key)
            item = SetAside(
                id=new_ulid(now),
                kind=kind,
                ref=key,
                about=storable(about, _ABOUT_MAX),
                record_id=None if record_id is None else RecordId(storable(record_id, _ID_MAX)),
                reason=reason_of(error),
                at=now,
            )
            if before is not None:
                item = replace(item, id=before.id, tries=before.tries + 1, state=before.state)
            await uow.set_aside.save(item)
        if self._known is not None:
            self._known.add((kind, key))
        SET_ASIDE.labels(kind).inc()

    async def done(self, kind: str, ref: str) -> None:
        """It could be done after all. Raises StoreUnavailable."""
        if not await self.has(kind, ref):
            return
        key = storable(ref, _REF_MAX)
        async with self._database.unit_of_work() as uow:
            item = await uow.set_aside.of(kind, key)
            if item is not None:
                await uow.set_aside.remove(item.id)
        self._forget(kind, key)

    async def page(self, limit: int, before: str | None = None) -> list[SetAside]:
        """Those that wait for a decision, the newest first."""
        async with self._database.reading() as uow:
            return await uow.set_aside.waiting(limit, before)

    async def find(self, key: str) -> SetAside | None:
        """One of them."""
        async with self._database.reading() as uow:
            return await uow.set_aside.find(key)

    async def again(self, key: str, *, actor: str, peer: str) -> None:
        """Have it done again. Raises NotFound."""
        async with self._database.unit_of_work() as uow:
            item = await uow.set_aside.lock(key)
            known = self._kinds.get(item.kind, Kind())
            await known.show(uow, item.ref)
            await uow.set_aside.remove(key)
            await uow.audit.note(
                self._clock.now(), actor, "set_aside_again", f"set_aside:{key}", peer=peer, detail=_said(item)
            )
        self._forget(item.kind, item.ref)
        known.wake()

    async def drop(self, key: str, *, actor: str, peer: str) -> None:
        """It is not to be done any more; what it was stays in the database. Raises NotFound."""
        async with self._database.unit_of_work() as uow:
            item = await uow.set_aside.lock(key)
            await uow.set_aside.save(replace(item, state="dropped"))
            await uow.audit.note(
                self._clock.now(), actor, "set_aside_dropped", f"set_aside:{key}", peer=peer, detail=_said(item)
            )

    async def note(self, act: AuditAct, key: str, kind: str, reason: str, *, actor: str, peer: str) -> None:
        """Keep in the audit log what was decided on something that is not kept here: an event in the bus' memory."""
        async with self._database.unit_of_work() as uow:
            await uow.audit.note(
                self._clock.now(),
                actor,
                act,
                f"set_aside:{key}",
                peer=peer,
                detail={"kind": kind, "reason": storable(reason, 500)},
            )

    def _forget(self, kind: str, key: str) -> None:
        if self._known is not None:
            self._known.discard((kind, key))


def _said(item: SetAside) -> JsonObject:
    return {"kind": item.kind, "ref": item.ref, "reason": item.reason}


def outbox_kind(wake: Callable[[], None] = _nobody) -> Kind:
    """Of work that is a row of the outbox: it waits in there, where nobody sees it."""

    async def hide(uow: UnitOfWork, ref: str) -> None:
        await uow.outbox.set_aside(ref, aside=True)

    async def show(uow: UnitOfWork, ref: str) -> None:
        await uow.outbox.set_aside(ref, aside=False)

    return Kind(hide=hide, show=show, wake=wake)
