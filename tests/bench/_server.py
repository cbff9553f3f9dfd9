"""The whole server for a benchmark: ``ctiserver serve`` on a site of its own, in a process whose CPU time is its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.ports import free_port

_START_S = 60.0
_QUIET_S, _QUIET_SHARE = 3, 0.25


class Server:
    """``ctiserver serve`` between :meth:`start` and :meth:`stop`; what it stores and speaks stays."""

    def __init__(self, folder: Path, pbx: PrivatePbx, agi_port: int, *, numbers: Mapping[str, str]) -> None:
        """``numbers``: dialled number → flow."""
        self.folder = folder
        self._agi_port = agi_port
        self._environment = {
            **os.environ,
            "CTISERVER_PBXS__MAIN__PORT": str(pbx.ami_port),
            "CTISERVER_PBXS__MAIN__SECRET": pbx.ami_secret,
            "CTISERVER_WEB__PORT": str(free_port()),
            "CTISERVER_AGI__PORT": str(agi_port),
        }
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [sys.executable, "-m", "ctiserver", "init", str(folder)],
            env=self._environment,
            check=True,
            capture_output=True,
        )
        lines = [f'  "{dialled}": {{flow: {flow}, calendar: always}}\n' for dialled, flow in numbers.items()]
        (folder / "numbers.yaml").write_text("numbers:\n" + "".join(lines), encoding="utf-8")

    @property
    def prompts(self) -> Path:
        """Where it looks for what is spoken already."""
        return self.folder / "data/prompts"

    def start(self) -> None:
        """Start it, and wait until it answers FastAGI."""
        config = str(self.folder / "ctiserver.yaml")
        with (self.folder / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ctiserver", "serve", "--config", config], env=self._environment, stderr=log
            )
        until = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._agi_port), timeout=1.0).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((self.folder / "serve.log").read_text(encoding="utf-8")) from None
                time.sleep(0.1)

    def stop(self) -> None:
        """End it as an admin would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def quiet(self) -> float:
        """Wait until what it does at its start is done, such as speaking prompts; gives its share of a core then."""
        used: list[float] = []
        async with asyncio.timeout(_START_S):
            while len(used) < _QUIET_S or used[-1] - used[-_QUIET_S] > _QUIET_SHARE * (_QUIET_S - 1):
                used.append(cpu_s(self.pid))
                await asyncio.sleep(1.0)
        return (used[-1] - used[-_QUIET_S]) / (_QUIET_S - 1)


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
