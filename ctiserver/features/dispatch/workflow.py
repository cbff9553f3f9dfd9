"""The durable part, running: engine, relay, a beat that finds dead servers, and a sweep that finds lost timers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import structlog

from ctiserver.clock import Clock
from ctiserver.features.dispatch.advance import TIMER, TOPICS, Advance
from ctiserver.features.dispatch.engine import Handed, WorkflowEngine
from ctiserver.features.dispatch.relay import HANDED_ON, Relay
from ctiserver.model.ids import RecordId
from ctiserver.model.json_value import JsonObject
from ctiserver.settings import WorkflowSettings
from ctiserver.store.database import Database
from ctiserver.store.faults import StoreUnavailable
from ctiserver.store.patience import now_and_again
from ctiserver.store.repositories.outbox import OutboxRow
from ctiserver.store.repositories.processes import TimerRow
from ctiserver.store.setting_aside import Kind, SettingAside, outbox_kind
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

_BEAT_EVERY_S = 2.0
#: An executor not heard of for so long is dead, or as good as: should it wake again, what it was told once is known.
_DEAD_AFTER = timedelta(seconds=10)
_SWEEP_EVERY_S = 30.0
#: A timer that has not fired so long after it was due is looked for; under load timers fire a few seconds late.
_OVERDUE = timedelta(seconds=30)
#: How long finished rows are kept, for anyone who asks what happened.
_KEEP = timedelta(days=7)
_BATCH = 500
_AWAY = "workflow_store_away"
#: Kinds of work that is set aside: an advance of a process that fails, and a timer that the engine does not take.
_ADVANCE, _TIMER = "process", "process_timer"


class Workflow:
    """Engine, relay, beat and sweep on one database."""

    def __init__(
        self,
        database: Database,
        advance: Advance,
        clock: Clock,
        url: str,
        settings: WorkflowSettings,
        *,
        aside: SettingAside | None = None,
    ) -> None:
        self._database = database
        self._advance = advance
        self._clock = clock
        self._url = url
        self._settings = settings
        self.ready = asyncio.Event()  #: set while the engine runs
        self._has_run = False
        self._aside = aside or SettingAside(database, clock)
        self._aside.add_kind(HANDED_ON, outbox_kind())
        self._aside.add_kind(_ADVANCE, Kind(show=self._hand_again))
        self._aside.add_kind(_TIMER)
        self._engine: WorkflowEngine | None = None

    async def run(self) -> None:
        """Run until cancelled; a supervised service.

        Raises UserFault if the engine's database can't be used, and StoreUnavailable if it could be before.
        """
        async with WorkflowEngine.open(
            self._url,
            self._advance.together,
            self._clock,
            threads=self._settings.threads,
            polling_s=self._settings.polling_s,
            executor_id=self._settings.executor,
            again=self._has_run,
            ended=self._advanced,
        ) as engine:
            self._has_run, self._engine = True, engine
            self.ready.set()
            relay = Relay(self._database, TOPICS, lambda rows: _receive(engine, rows), self._clock, aside=self._aside)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(relay.run(), name="workflow-relay")
                    group.create_task(
                        now_and_again(partial(self.beat, engine), _BEAT_EVERY_S, _AWAY), name="workflow-beat"
                    )
                    group.create_task(
                        now_and_again(partial(self.sweep, engine), _SWEEP_EVERY_S, _AWAY), name="workflow-sweep"
                    )
            finally:
                self.ready.clear()
                self._engine = None

    async def _advanced(self, handed: Handed, error: Exception | None) -> None:
        """Show an advance that fails, which is tried again later and later; forget it when it went well after all."""
        if error is None:
            await self._aside.done(_ADVANCE, handed.id)
        else:
            said = handed.payload if isinstance(handed.payload, dict) else {}  # whatever stands in the outbox
            about, record = f"{handed.topic}, {said.get('process') or ''}", said.get("record_id")
            record_id = RecordId(record) if isinstance(record, str) else None
            await self._aside.put(_ADVANCE, handed.id, error, about=about, record_id=record_id)

    async def _hand_again(self, uow: UnitOfWork, ref: str) -> None:
        """Carry an advance that failed out now. Its own next try finds that it is done."""
        row = await uow.outbox.by_id(ref)
        if self._engine is None or row is None:
            raise StoreUnavailable("the workflow engine does not run, or has forgotten this; it tries again by itself")
        another = int(self._clock.now().timestamp())  # a number of failures that none of its own tries has
        await self._engine.hand([Handed(id=row.id, topic=row.topic, payload=row.payload, failures=another)])

    async def beat(self, engine: WorkflowEngine) -> None:
        """Say that this executor lives, and carry on what those had begun that don't any more."""
        now = self._clock.now()
        async with self._database.unit_of_work() as uow:
            await uow.executors.beat(self._settings.executor, now)
            silent = await uow.executors.silent_since(now - _DEAD_AFTER)
        # Again and again while they are silent: one that was stopped may wake, take work from the queue, and die.
        for executor in silent:
            taken = await engine.take_over([executor])
            if taken:
                log.warning("executor_taken_over", executor=executor, workflows=taken)

    async def sweep(self, engine: WorkflowEngine) -> None:
        """Hand timers on again that the engine does not have, and forget what is over."""
        now = self._clock.now()
        async with self._database.reading() as uow:
            overdue = await uow.timers.overdue(now - _OVERDUE, _BATCH)
            ended = await uow.timers.ended(_BATCH)
        for timer in overdue:
            await self._aside.contain(_TIMER, timer.id, partial(self._hand_timer, engine, timer), about=timer.key)
        await engine.purge(now - _KEEP)
        async with self._database.unit_of_work() as uow:
            await uow.timers.remove([timer.id for timer in ended])
            await uow.outbox.purge(now - _KEEP)
            await uow.executors.forget(now - _KEEP)

    async def _hand_timer(self, engine: WorkflowEngine, timer: TimerRow) -> None:
        status = await engine.query(timer.id)
        if status not in ("DELAYED", "ENQUEUED", "PENDING"):
            log.warning("timer_handed_again", process=timer.process_id, key=timer.key, engine_had=status)
            await engine.cancel([timer.id])
            payload: JsonObject = {"process_id": timer.process_id, "key": timer.key}
            await engine.hand([Handed(id=timer.id, topic=TIMER, payload=payload)])


async def _receive(engine: WorkflowEngine, rows: Sequence[OutboxRow]) -> None:
    await engine.hand([Handed(id=row.id, topic=row.topic, payload=row.payload, due_at=row.due_at) for row in rows])
