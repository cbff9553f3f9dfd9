"""``server.json`` in data_dir: which process serves this folder, and what its last reload came to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ctiserver.errors import UserFault
from ctiserver.pid import Process

_LOOK_EVERY_S = 0.05


class ServerFile:
    """The file of one data folder; written by the server, read by ``ctiserver reload``."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "server.json"
        self._reloads = 0

    @contextmanager
    def written(self) -> Iterator[ServerFile]:
        """This process serves the folder for the length of the block. Raises UserFault if another one does."""
        other = self._process()
        if other is not None and other.alive:
            raise UserFault(
                f"process {other.pid} serves this folder already", where=str(self._path.parent), fix="Stop it first"
            )
        self._write("")
        try:
            yield self
        finally:
            self._path.unlink(missing_ok=True)

    def serving(self) -> int | None:
        """The process that serves the folder now; None if none does."""
        other = self._process()
        return other.pid if other is not None and other.alive else None

    def reloaded(self, result: str) -> None:
        """Note what a reload came to."""
        self._reloads += 1
        self._write(result)

    async def reload(self, within_s: float) -> str:
        """Ask the server to reload; gives what it says of it. Raises UserFault where none runs or answers."""
        server = self._process()
        if server is None or not server.alive:
            raise UserFault(
                "no ctiserver serves this folder", where=str(self._path.parent), fix="`ctiserver serve` starts one"
            )
        before = self._read().get("reloads")
        server.send(signal.SIGHUP)
        try:
            async with asyncio.timeout(within_s):
                while (said := self._read()).get("reloads") == before and server.alive:  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_EVERY_S)  # another process writes it
        except TimeoutError:
            raise UserFault(
                f"process {server.pid} did not reload within {within_s:g} s", fix="See the server's log"
            ) from None
        if "result" not in said or not server.alive:
            raise UserFault(f"process {server.pid} ended", fix="See the server's log")
        return str(said["result"])

    def _process(self) -> Process | None:
        said = self._read()
        return Process(said["pid"], said["started"]) if "pid" in said else None

    def _read(self) -> dict[str, Any]:
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def _write(self, result: str) -> None:
        own = Process.of(os.getpid())
        fresh = self._path.with_suffix(".new")
        said = {"pid": own.pid, "started": own.started, "reloads": self._reloads, "result": result}
        fresh.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
        fresh.replace(self._path)
