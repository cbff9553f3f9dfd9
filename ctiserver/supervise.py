"""Long-lived services under one root TaskGroup, restarted with limits."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog

from ctiserver.errors import UserFault

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often a service that fails may start anew before the whole server stops."""

    restarts: int = 10
    within_s: float = 60.0
    first_delay_s: float = 0.1
    longest_delay_s: float = 5.0


class Supervisor:
    """Starts services in a TaskGroup that somebody else owns; the one caller of ``create_task``.

    A service is a coroutine function that runs until cancelled. One that returns is done. One that raises is
    logged and started again after a growing, jittered delay; too many failures within the window end the
    TaskGroup, since a server that limps silently is worse than one that its init system restarts. A
    :class:`UserFault` is never retried: trying again does not mend a setting. What says that something of somebody
    else's is away is retried for as long as it takes: without a database the server still leads calls, and one that
    ended would not bring it back.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        policy: RestartPolicy | None = None,
        *,
        away: tuple[type[Exception], ...] = (),
    ) -> None:
        """``away``: errors which say that something of somebody else's is away."""
        self._group = group
        self._policy = policy or RestartPolicy()
        self._away = away
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(
        self, name: str, service: Callable[[], Awaitable[None]], policy: RestartPolicy | None = None
    ) -> asyncio.Task[None]:
        """Run ``service`` until it returns, is stopped, or fails too often. Names are unique while running."""
        if name in self._tasks and not self._tasks[name].done():
            raise ValueError(f"a service named {name} already runs")
        task = self._group.create_task(self._keep(name, service, policy or self._policy), name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._tasks.pop(name, None) if self._tasks.get(name) is done else None)
        return task

    async def stop(self, name: str) -> None:
        """Cancel one service and wait for its end. Unknown names are no error: it may have ended just now."""
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

    async def _keep(self, name: str, service: Callable[[], Awaitable[None]], policy: RestartPolicy) -> None:
        loop = asyncio.get_running_loop()
        failures: deque[float] = deque()
        delay_s = policy.first_delay_s
        while True:
            try:
                await service()
            except UserFault:
                raise
            except self._away as error:
                log.warning("service_waits", service=name, restart_in_s=round(delay_s, 2), reason=str(error))
            except Exception:
                now = loop.time()
                failures.append(now)
                while failures and failures[0] < now - policy.within_s:
                    failures.popleft()
                if len(failures) > policy.restarts:
                    log.error("service_failed_too_often", service=name, failures=len(failures), exc_info=True)
                    raise
                log.exception("service_failed", service=name, restart_in_s=round(delay_s, 2))
            else:
                return
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
            delay_s = min(delay_s * 2, policy.longest_delay_s)
