"""Long-lived services under one root TaskGroup; one that fails is started again, for as long as it takes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from ctiserver.errors import UserFault
from ctiserver.metrics import REGISTRY

log = structlog.get_logger(__name__)

FAILURES = Counter(
    "ctiserver_service_failures_total",
    "How often a service failed and was started again",
    ("service",),
    registry=REGISTRY,
)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How long a service that failed rests before it is started again, and when it counts as well."""

    first_delay_s: float = 0.1
    longest_delay_s: float = 60.0
    longest_away_s: float = 5.0  #: likewise while what it needs is away: it is back at any moment
    well_after_s: float = 60.0  #: it has run so long without failing
    traceback_every_s: float = 60.0  #: of one service; the failures between are counted


@dataclass(frozen=True, slots=True)
class Failing:
    """A service that does not do its work now."""

    service: str
    failures: int  #: since it ran well
    reason: str  #: the kind of the last error, without what it says, which may hold numbers and names

    def __str__(self) -> str:
        return (
            f"the service {self.service} failed {self.failures} times ({self.reason}); it is tried again, see the log"
        )


class _Health:
    """How one service has fared since it last ran well."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self.failures = 0
        self.reason = ""
        self.delay_s = policy.first_delay_s
        self._told_at = float("-inf")
        self.untold = 0

    def failed(self, error: Exception, ran_s: float, now: float) -> bool:
        """Take a failure in; whether it is told with all that is known of it."""
        if ran_s >= self._policy.well_after_s:
            self.failures, self.delay_s = 0, self._policy.first_delay_s
        new = type(error).__name__ != self.reason
        self.failures, self.reason = self.failures + 1, type(error).__name__
        if new or now >= self._told_at + self._policy.traceback_every_s:
            self._told_at = now
            return True
        self.untold += 1
        return False

    def pause_s(self, longest_s: float) -> float:
        """How long to rest now; the next time longer."""
        pause_s = min(self.delay_s, longest_s) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, not a secret
        self.delay_s = min(self.delay_s * 2, longest_s)
        return pause_s


class Supervisor:
    """Starts services in a TaskGroup that somebody else owns; the one caller of ``create_task``.

    A service is a coroutine function that runs until cancelled. One that returns is done. One that raises is logged
    and started again after a growing, jittered pause, for ever: what fails in one feature must not end the menus, the
    queues and the log, which an end of the process would; ``/readyz`` says which one it is (:attr:`failing`).

    Only what the server can't do without ends it, and only at the start: a :class:`UserFault` of a service that is
    ``essential`` and has not failed before. What says that something of somebody else's is away is waited for likewise.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        policy: RestartPolicy | None = None,
        *,
        away: tuple[type[Exception], ...] = (),
    ) -> None:
        """``away``: errors which say that something of somebody else's is away; no traceback is worth its lines."""
        self._group = group
        self._policy = policy or RestartPolicy()
        self._away = away
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._health: dict[str, _Health] = {}
        self._began: dict[str, float] = {}
        self.names: set[str] = set()  #: of all that were ever started

    def start(
        self,
        name: str,
        service: Callable[[], Awaitable[None]],
        policy: RestartPolicy | None = None,
        *,
        essential: bool = False,
    ) -> asyncio.Task[None]:
        """Run ``service`` until it returns or is stopped. Names are unique while running.

        ``essential``: the server is of no use without it, and its UserFault at the start ends the TaskGroup.
        """
        if name in self._tasks and not self._tasks[name].done():
            raise ValueError(f"a service named {name} already runs")
        self.names.add(name)
        task = self._group.create_task(self._keep(name, service, policy or self._policy, essential), name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._tasks.pop(name, None) if self._tasks.get(name) is done else None)
        return task

    async def stop(self, name: str) -> None:
        """Cancel one service and wait for its end. Unknown names are not an error: it may have ended just now."""
        task = self._tasks.get(name)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def finished(self, names: Iterable[str]) -> None:
        """Wait until these services have ended by themselves."""
        tasks = [self._tasks[name] for name in names if name in self._tasks]
        if tasks:
            await asyncio.wait(tasks)

    def stop_all(self) -> None:
        """Cancel every service; the TaskGroup's owner sees them end."""
        for task in list(self._tasks.values()):
            task.cancel()

    @property
    def running(self) -> frozenset[str]:
        """The names of the services that run now."""
        return frozenset(name for name, task in self._tasks.items() if not task.done())

    @property
    def failing(self) -> tuple[Failing, ...]:
        """The services that failed and have not run well since, by name."""
        now = asyncio.get_running_loop().time()
        return tuple(
            Failing(name, health.failures, health.reason)
            for name, health in sorted(self._health.items())
            if health.failures
            and name in self._tasks
            and not (name in self._began and now - self._began[name] >= self._policy.well_after_s)
        )

    async def _keep(
        self, name: str, service: Callable[[], Awaitable[None]], policy: RestartPolicy, essential: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        health = self._health[name] = _Health(policy)
        while True:
            self._began[name] = loop.time()
            try:
                await service()
            except Exception as error:
                if isinstance(error, UserFault) and essential and not health.failures:
                    raise
                ran_s = loop.time() - self._began.pop(name)
                told = health.failed(error, ran_s, loop.time())
                FAILURES.labels(name).inc()
                away = isinstance(error, self._away)
                pause_s = health.pause_s(policy.longest_away_s if away else policy.longest_delay_s)
                self._tell(name, health, error, pause_s, told=told)
            else:
                health.failures = 0
                return
            await asyncio.sleep(pause_s)

    def _tell(self, name: str, health: _Health, error: Exception, pause_s: float, *, told: bool) -> None:
        """One line a failure that is new; of one that comes again and again, one a minute with its count."""
        if not told:
            return
        untold, health.untold = health.untold, 0
        said = {"service": name, "failures": health.failures, "not_told": untold, "restart_in_s": round(pause_s, 2)}
        if isinstance(error, (UserFault, *self._away)):
            log.warning("service_waits", reason=str(error), **said)
        else:
            log.error("service_failed", exc_info=error, **said)
