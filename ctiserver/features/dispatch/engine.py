"""The durable engine: keeps what it was handed until it was carried out, through any kill. DBOS, and nowhere else.

What is handed over together (starts, signals and timers of processes) is carried out together: one short durable
workflow for up to a few dozen, a few of them with each call of ``advance``. A workflow of its own for each costs thrice
what the advance itself does. What failed and is to be tried later is a workflow with a delay: a row in DBOS's database,
no thread and no coroutine. What ``advance`` does happens at least once: it must know what it has done.

DBOS brings threads of its own: a poller and up to ``threads`` workers. A worker hands its call to our event loop and
waits, so that our database is only ever used from that loop, and DBOS's blocking calls never run on it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import structlog
from dbos import DBOS, DBOSConfig, EnqueueOptions
from prometheus_client import Counter

from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.metrics import REGISTRY
from ctiserver.model.json_value import JsonObject
from ctiserver.private_files import keep_private
from ctiserver.store import sqlite_abilities
from ctiserver.store.faults import Conflict, StoreUnavailable, translated

log = structlog.get_logger(__name__)

ADVANCES = Counter(
    "ctiserver_process_advances_total",
    "Starts, signals and timers of processes carried out",
    ("topic", "outcome"),
    registry=REGISTRY,
)

#: Carries out several starts, signals and timers (topic, id, payload): all, or none with an error.
Advance = Callable[[Sequence[tuple[str, str, JsonObject]]], Awaitable[None]]
T = TypeVar("T")

_QUEUE = "advance"
_WORKFLOW = "advance"
_BUNDLE = "advance_together"
#: So many at most are carried out by one workflow: few enough that several servers share what waits.
_TOGETHER = 25
#: So many at most share a commit: few enough that other writers wait only briefly.
_IN_ONE_COMMIT = 8
#: Pinned: DBOS's default is a hash of the code, with which each upgrade would strand every open timer.
_VERSION = "1"
_PURGE_BATCH = 2_000
#: How long until an advance that failed is tried again: the first time, the second, … and then always the last.
_FAILED_AGAIN = (timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1))
_RETRY_FIRST_S, _RETRY_LONGEST_S = 0.05, 5.0


#: Told what happened to an advance that failed now, or had failed before: the error, or None if it went well after all.
Ended = Callable[["Handed", Exception | None], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """One thing to be carried out: now, or not before ``due_at``."""

    id: str
    topic: str
    payload: JsonObject
    due_at: datetime | None = None
    failures: int = 0  #: how often carrying it out has failed; each further attempt is a workflow of its own

    @property
    def workflow_id(self) -> str:
        return self.id if self.failures == 0 else f"{self.id}~{self.failures}"


class WorkflowEngine:
    """DBOS, launched. Made by :meth:`open`; one in a process at a time, as DBOS is."""

    def __init__(
        self,
        advance: Advance,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        callers: ThreadPoolExecutor,
        ended: Ended | None = None,
    ) -> None:
        self._advance = advance
        self._clock = clock
        self._loop = loop
        self._callers = callers
        self._ended = ended
        self._stopping = threading.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._sharing = asyncio.Lock()  #: one shared commit at a time: others would hold connections while they wait

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        advance: Advance,
        clock: Clock,
        *,
        threads: int = 4,
        polling_s: float = 0.1,
        executor_id: str = "local",
        again: bool = False,
        ended: Ended | None = None,
    ) -> AsyncIterator[WorkflowEngine]:
        """Run the engine on its database for the length of the block; what was left unfinished goes on at once.

        ``executor_id`` names this server among several on one PostgreSQL, and is the same after a restart.

        Raises UserFault if the database can't be used; where it could be before (``again``) StoreUnavailable instead,
        since then it is away and not wrong.
        """
        if _current.engine is not None:
            raise RuntimeError("an engine runs in this process already")
        with ThreadPoolExecutor(1, thread_name_prefix="workflow-calls") as callers:
            engine = cls(advance, clock, asyncio.get_running_loop(), callers, ended)
            _current.engine = engine
            try:
                try:
                    await engine._call(partial(_launch, url, threads, polling_s, executor_id))
                except UserFault as fault:
                    if again:
                        raise StoreUnavailable(str(fault)) from fault
                    raise
                yield engine
            finally:
                engine._stopping.set()
                for task in tuple(engine._running):
                    task.cancel()
                await engine._call(partial(DBOS.destroy, workflow_completion_timeout_sec=0))
                _current.engine = None

    async def hand(self, handed: Sequence[Handed]) -> None:
        """Start, signal, remind: keep all of these, durably, before this returns.

        The same again is the same workflow; one that comes again in other company is carried out again.
        """
        await self._call(partial(self._enqueue, tuple(handed)))

    async def cancel(self, ids: Sequence[str]) -> None:
        """Forget workflows of single rows that have not begun, or have failed for good."""
        if ids:
            await self._call(partial(DBOS.delete_workflows, list(ids)))

    async def take_over(self, executors: Sequence[str]) -> int:
        """Carry on what dead executors had begun; how many that was. Twice, or by two at once, does no harm."""
        return len(await self._call(partial(_recover, list(executors))))

    async def purge(self, before: datetime) -> None:
        """Forget what was carried out before then."""
        await self._call(partial(_purge, before))

    async def query(self, handed_id: str) -> str | None:
        """What the latest workflow of its own is: ``DELAYED``, ``ENQUEUED``, ``PENDING``, ``SUCCESS`` or ``ERROR``.

        None if it never had one, as what was handed together with others, or if that was purged.
        """
        attempts = await self._call(partial(_attempts, handed_id))
        return attempts[-1] if attempts else None

    def _enqueue(self, handed: tuple[Handed, ...]) -> None:
        now = self._clock.now()
        at_once: list[Handed] = []
        for one in handed:
            if one.due_at is None or one.due_at <= now:
                at_once.append(one)
                continue
            options = _options(_WORKFLOW, one.workflow_id)
            options["delay_seconds"] = (one.due_at - now).total_seconds()
            DBOS.enqueue_workflow_with_options(options, one.topic, one.id, json.dumps(one.payload), one.failures)
        for start in range(0, len(at_once), _TOGETHER):
            bundle = at_once[start : start + _TOGETHER]
            if len(bundle) == 1:
                (one,) = bundle
                DBOS.enqueue_workflow_with_options(
                    _options(_WORKFLOW, one.workflow_id), one.topic, one.id, json.dumps(one.payload), one.failures
                )
            else:
                content = json.dumps([[one.topic, one.id, one.payload, one.failures] for one in bundle])
                name = hashlib.sha256(" ".join(one.workflow_id for one in bundle).encode()).hexdigest()
                DBOS.enqueue_workflow_with_options(_options(_BUNDLE, f"together-{name[:40]}"), content)

    async def _call(self, work: Callable[[], T]) -> T:
        """One of DBOS's blocking calls, off the event loop, to its end even if cancelled.

        Raises StoreUnavailable where DBOS's database is away: a full disk, a server that is stopped.
        """
        with translated():
            return await self._loop.run_in_executor(self._callers, work)

    def carry_out(self, bundle: Sequence[Handed]) -> None:
        """Called on a DBOS thread: run these advances on our event loop, each again while the store is away."""
        delay_s = _RETRY_FIRST_S
        left = deque(bundle)
        while not self._stopping.is_set():
            try:
                asyncio.run_coroutine_threadsafe(self._advanced(left), self._loop).result()
            except (StoreUnavailable, Conflict) as error:
                log.warning("advance_put_off", row=left[0].id, topic=left[0].topic, why=str(error), again_in_s=delay_s)
                self._stopping.wait(delay_s)
                delay_s = min(delay_s * 2, _RETRY_LONGEST_S)
            except FutureCancelled:
                break
            else:
                return
        # Not an error of the workflow: it stays PENDING in DBOS's database, and the next start of the server runs it.
        raise Stopping

    async def _advanced(self, left: deque[Handed]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            while left:
                some = list(islice(left, _IN_ONE_COMMIT))
                if len(some) > 1 and await self._at_once(some):
                    for _ in some:
                        left.popleft()
                    continue
                for one in some:
                    await self._one(one)
                    left.popleft()
        finally:
            self._running.discard(task)

    async def _at_once(self, some: Sequence[Handed]) -> bool:
        """Carry these out with one commit; False if nothing came of it, so that each has to be tried by itself."""
        try:
            async with self._sharing:
                await self._advance([(one.topic, one.id, one.payload) for one in some])
        except Exception as error:  # noqa: BLE001 - whose it is, and what to do about it, is found by trying each alone
            log.debug("advances_parted", rows=len(some), why=str(error))
            return False
        for one in some:
            ADVANCES.labels(one.topic, "done").inc()
        return True

    async def _one(self, handed: Handed) -> None:
        try:
            await self._advance([(handed.topic, handed.id, handed.payload)])
            ADVANCES.labels(handed.topic, "done").inc()
            if handed.failures and self._ended is not None:
                await self._ended(handed, None)
        except (StoreUnavailable, Conflict):
            ADVANCES.labels(handed.topic, "put_off").inc()
            raise
        except Exception as error:
            # A fault of ours, or of what is stored. It must neither be lost nor hold up others: it is tried again
            # later and later, so that the next version of the server mends it.
            ADVANCES.labels(handed.topic, "failed").inc()
            wait = _FAILED_AGAIN[min(handed.failures, len(_FAILED_AGAIN) - 1)]
            log.exception("advance_failed", row=handed.id, topic=handed.topic, again_in_s=wait.total_seconds())
            await self.hand([replace(handed, failures=handed.failures + 1, due_at=self._clock.now() + wait)])
            if self._ended is not None:
                await self._ended(handed, error)


class Stopping(BaseException):
    """The server ends; BaseException, so that DBOS does not keep it as the workflow's result."""


class _Connection(sqlite3.Connection):
    """A connection of DBOS to SQLite: knows the words that DBOS writes, and keeps few pages.

    2 MiB of page cache, SQLite's default, for each of them would fill for hours.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sqlite_abilities.fill_gap(self)
        self.execute("PRAGMA cache_size=-128")  # KiB; the rest is the system's to cache


#: As our own connections to SQLite (ctiserver/store/database.py).
_SMALL: dict[str, Any] = {
    "connect_args": {"factory": _Connection, "cached_statements": 32},
    "pool_use_lifo": True,
}


class _Current:
    """Whom workflows that DBOS takes from its queue are for: DBOS is one to a process, and so is this."""

    engine: WorkflowEngine | None = None


_current = _Current()


@DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)
def _advance_workflow(topic: str, row_id: str, payload: str, failures: int = 0) -> None:
    engine = _current.engine
    if engine is None:
        raise Stopping
    engine.carry_out([Handed(id=row_id, topic=topic, payload=json.loads(payload), failures=failures)])


@DBOS.workflow(name=_BUNDLE, max_recovery_attempts=None)
def _bundle_workflow(content: str) -> None:
    engine = _current.engine
    if engine is None:
        raise Stopping
    engine.carry_out(
        [
            Handed(id=row_id, topic=topic, payload=payload, failures=failures)
            for topic, row_id, payload, failures in json.loads(content)
        ]
    )


def _options(workflow: str, workflow_id: str) -> EnqueueOptions:
    return EnqueueOptions(workflow_name=workflow, queue_name=_QUEUE, workflow_id=workflow_id, app_version=_VERSION)


def _launch(url: str, threads: int, polling_s: float, executor_id: str) -> None:
    logging.getLogger("dbos").setLevel(logging.WARNING)
    if url.startswith("sqlite"):
        sqlite_abilities.refuse_unable("workflow.url")
        _prepare_file(Path(url.partition(":///")[2]))
    config = DBOSConfig(
        name="ctiserver",
        system_database_url=url,
        db_engine_kwargs=_SMALL if url.startswith("sqlite") else {},
        sys_db_pool_size=threads + 4,
        sys_db_idle_transaction_timeout_sec=5.0,  # a server that was stopped must not hold up the others
        max_executor_threads=threads,
        application_version=_VERSION,
        executor_id=executor_id,
        log_level="WARNING",
        use_listen_notify=False,  # nobody waits for DBOS's events: a connection less
        # With none to look for a look costs nothing, and destroy() waits for the next one: a second, if left alone.
        notification_listener_polling_interval_sec=0.1,
        run_migrations=True,
    )
    try:
        DBOS(config=config)
        DBOS.launch()
        DBOS.register_queue(
            _QUEUE, worker_concurrency=threads * 16, polling_interval_sec=polling_s, on_conflict="always_update"
        )
    except Exception as error:
        DBOS.destroy()
        raise _unusable(error) from error


def _unusable(error: Exception) -> UserFault:
    return UserFault(
        f"the workflow engine's database can't be used ({' '.join(str(error).split())[:300]})",
        where="workflow.url",
        fix="Check the path or server; a broken SQLite file must be put back from its backup, not removed",
    )


def make_tables(url: str) -> None:
    """Make the engine's tables in a database of its own, or bring older ones to the newest.

    Blocking, for commands; a running server does it at its start. Raises UserFault.
    """
    logging.getLogger("dbos").setLevel(logging.WARNING)
    if url.startswith("sqlite"):
        _prepare_file(Path(url.partition(":///")[2]))
    try:
        DBOS.migrate(url)
    except Exception as error:
        raise _unusable(error) from error


def _recover(executors: list[str]) -> list[object]:
    # DBOS offers this to its own supervisor only, under this name; it hands PENDING workflows back to the queue.
    return list(DBOS._recover_pending_workflows(executors))


def _attempts(handed_id: str) -> list[str]:
    found = DBOS.list_workflows(workflow_id_prefix=handed_id, load_input=False, load_output=False)
    return [str(workflow.status) for workflow in found]


def _purge(before: datetime) -> None:
    finished = DBOS.list_workflows(
        status="SUCCESS", completed_before=before.isoformat(), limit=_PURGE_BATCH, load_input=False, load_output=False
    )
    if finished:
        DBOS.delete_workflows([workflow.workflow_id for workflow in finished])


def _prepare_file(path: Path) -> None:
    """Give DBOS's file the write-ahead log; it stays so. Unlike the default it does not make readers wait."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        keep_private(path)
        connection = sqlite3.connect(path, timeout=15)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        raise UserFault(
            f"the workflow engine's database {path} can't be used ({error})",
            where="workflow.url",
            fix="Check the path and its rights; a broken file must be put back from its backup, not removed",
        ) from error
