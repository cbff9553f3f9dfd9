"""The server under drill: `ctiserver serve` as a process of its own, which can be killed, stopped and restarted."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ctiserver.lab.drill.console import Console, ServerSilent
from ctiserver.pid import Process

_STARTS_WITHIN_S = 90.0
_LOOK_EVERY_S = 0.05
_CONSOLE = re.compile(r"the console is at (http://\S+)")


@dataclass
class Server:
    """One installation: its settings file, its process while there is one, and its console."""

    config: Path
    environment: Mapping[str, str]  #: beside ours
    log: Path
    process: Process | None = None
    console: Console = field(default_factory=lambda: Console(""))  #: of anyone who looks on

    @property
    def running(self) -> Process:
        """Its process. Raises ServerSilent where there is none."""
        if self.process is None or not self.process.alive:
            raise ServerSilent(f"the server does not run: {self.last_words()}")
        return self.process

    def spawn(self) -> None:
        """Start the process; returns at once."""
        command = [sys.executable, "-m", "ctiserver", "serve", "--config", str(self.config)]
        self.console.url = ""
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        set_before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)  # Process gives a child what we have
        try:
            self.process = Process.spawn(command, self.log, dies_with_us=True)
        finally:
            for name, value in set_before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    async def start(self) -> None:
        """Start it, and wait until it serves calls and console. Raises ServerSilent."""
        self.spawn()
        try:
            async with asyncio.timeout(_STARTS_WITHIN_S):
                while not self.console.url:
                    _ = self.running
                    found = _CONSOLE.search(self.said())
                    if found:
                        self.console.url = found[1]
                    else:
                        await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            raise ServerSilent(f"the server did not start: {self.last_words()}") from None

    def memory_mb(self) -> float:
        """What of its memory is resident."""
        pages = int(Path(f"/proc/{self.running.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_s(self) -> float:
        """Processor time that it has used since its start."""
        fields = Path(f"/proc/{self.running.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def said(self) -> str:
        """Its log since its last start."""
        with self.log.open("rb") as file:
            file.seek(self._read_from)
            return file.read().decode("utf-8", "replace")

    def last_words(self) -> str:
        """The end of its log."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return " / ".join(lines[-3:])

    async def kill(self) -> None:
        """SIGKILL: no clean end."""
        await self.running.kill()

    def ask_to_end(self) -> None:
        """SIGTERM. Wait with :meth:`ended`."""
        self.running.send(signal.SIGTERM)

    async def ended(self, within_s: float) -> None:
        """Wait for its end. Raises ServerSilent where it does not come."""
        assert self.process is not None
        try:
            async with asyncio.timeout(within_s):
                await self.process.ended()
        except TimeoutError:
            raise ServerSilent(f"the server did not end within {within_s:.0f} s of SIGTERM") from None

    def freeze(self) -> None:
        """SIGSTOP: the kernel still accepts connections for it, and nobody answers them."""
        self.running.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.running.send(signal.SIGCONT)

    async def end(self) -> None:
        """Whatever it is doing, it is over afterwards."""
        if self.process is not None:
            self.process.send(signal.SIGCONT)
            await self.process.kill()

    async def measures(self) -> dict[str, float]:
        """``/metrics``, by name with its labels. Raises ServerSilent."""
        lines = (await self.console.text("/metrics")).splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}
