"""A process that may outlive us: known by pid and start time, so that a pid used again is never signalled."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """One process of this machine. ``started`` is the kernel's start time, in clock ticks since boot."""

    pid: int
    started: int

    @classmethod
    def spawn(cls, command: Sequence[str], output: Path, *, dies_with_us: bool = False) -> Process:
        """Start ``command`` in a session of its own, which our terminal's Ctrl-C does not reach.

        With ``dies_with_us`` the kernel ends it should we be killed before we can. Call it from the main thread then:
        to the kernel "we" is the thread that started it.

        Raises OSError where it can't be started.
        """
        setpriv = shutil.which("setpriv") if dies_with_us else None
        if setpriv:
            if shutil.which(command[0]) is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
            command = [setpriv, "--pdeathsig", "TERM", "--", *command]
        pid = os.posix_spawn(
            command[0],
            list(command),
            os.environ,
            setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGPIPE),
        )
        return cls(pid, _start_time(pid) or 0)

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this pid now; one that has none never was alive."""
        return cls(pid, _start_time(pid) or 0)

    @property
    def alive(self) -> bool:
        """Whether it runs; one that ended and only waits to be collected does not."""
        return _start_time(self.pid) == self.started

    @property
    def _there(self) -> bool:
        """Whether it runs, or waits to be collected."""
        state = _state(self.pid)
        return state is not None and state[1] == self.started

    def send(self, number: signal.Signals) -> None:
        """Signal it, and nobody else. One that ended is not an error."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive:  # looked at after the handle was taken: the handle is this process's or useless
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)

    async def ended(self) -> None:
        """Wait until it has ended, and collect it if it was our child."""
        # Not by `alive`: the first of several threads may have ended, and none is collected before the last has.
        while self._there:
            try:
                handle = os.pidfd_open(self.pid)
            except ProcessLookupError:
                break
            loop = asyncio.get_running_loop()
            readable = asyncio.Event()
            loop.add_reader(handle, readable.set)
            try:
                if self._there:
                    await readable.wait()
                    break
            finally:
                loop.remove_reader(handle)
                os.close(handle)
        try:
            os.waitpid(self.pid, os.WNOHANG)  # noqa: ASYNC222 - does not wait
        except ChildProcessError:
            pass  # not our child: anyone who started it collects it

    async def stop(self, patience_s: float) -> None:
        """Ask it to end; after ``patience_s`` make it."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(patience_s):
                await self.ended()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it at once."""
        self.send(signal.SIGKILL)
        await self.ended()


def _state(pid: int) -> tuple[str, int] | None:
    """The kernel's letter for what it does, and its start time."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # "pid (name) state …": the name may hold blanks and brackets.
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _start_time(pid: int) -> int | None:
    state = _state(pid)
    return None if state is None or state[0] in "ZX" else state[1]
