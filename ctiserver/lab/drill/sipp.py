"""SIPp as callers and as agents' telephones: an independent SIP stack, which counts for itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ctiserver.errors import CtiError
from ctiserver.lab.drill import scenarios
from ctiserver.lab.drill.keys import write_keys
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.pid import Process

_REGISTER_S = 60.0
_STOP_PATIENCE_S = 2.0


class LoadFailed(CtiError):
    """SIPp could not do its part, so that the drill says nothing of ctiserver."""


@dataclass(frozen=True, slots=True)
class Load:
    """Callers of one drill or fault."""

    numbers: Sequence[str]
    dialled: str
    per_s: float
    hold_s: float  #: from the answer until the caller hangs up
    keys: Sequence[tuple[float, str]] = ()
    ports: Mapping[str, int] | None = None  #: where each number listens; None: SIPp takes a port, and hears nothing


@dataclass
class Callers:
    """Calls under way, and how SIPp says that they ended."""

    process: Process
    logged: Path
    load: Load
    started_at: float = field(default=0.0)

    async def done(self, within_s: float) -> dict[str, str]:
        """Wait until every call is over; by number: ``hung_up`` (by the caller), ``ended`` (by the PBX), ``failed``."""
        try:
            async with asyncio.timeout(within_s):
                await self.process.ended()
        except TimeoutError:
            raise LoadFailed(f"SIPp's callers were not done within {within_s:.0f} s") from None
        fates = dict.fromkeys(self.load.numbers, "failed")
        with contextlib.suppress(FileNotFoundError):
            for line in self.logged.read_text(encoding="utf-8").splitlines():
                number, _, fate = line.strip().partition(" ")
                if number in fates:
                    fates[number] = fate
        return fates


class Sipp:
    """SIPp in a folder of its own, towards one PBX."""

    def __init__(self, programs: Programs, folder: Path, sip_port: int) -> None:
        self._command = programs.command("sipp")
        self._folder = folder
        self._target = f"127.0.0.1:{sip_port}"
        self._runs = 0
        folder.mkdir(parents=True, exist_ok=True)

    def _spawn(self, name: str, scenario: str, fields: Sequence[str], *arguments: str) -> tuple[Process, Path]:
        """Each run has a folder of its own, since SIPp names its files after the scenario."""
        self._runs += 1
        folder = self._folder / f"{self._runs}-{name}"
        folder.mkdir()
        (folder / "scenario.xml").write_text(scenario, encoding="utf-8")
        injected: tuple[str, ...] = ()
        if fields:
            (folder / "fields.csv").write_text("\n".join(["SEQUENTIAL", *fields, ""]), encoding="utf-8")
            injected = ("-inf", str(folder / "fields.csv"))
        logged = folder / "calls.log"
        command = [
            *self._command,
            *("-sf", str(folder / "scenario.xml"), *injected, "-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin"),
            *("-trace_logs", "-log_file", str(logged), "-trace_err", "-error_file", str(folder / "errors.log")),
            *arguments,
            self._target,
        ]
        return Process.spawn(command, folder / "output", dies_with_us=True), logged

    async def _finished(self, process: Process, what: str) -> None:
        try:
            async with asyncio.timeout(_REGISTER_S):
                await process.ended()
        except TimeoutError:
            raise LoadFailed(f"{what} did not end in time; see {self._folder}") from None
        finally:  # also where the block that wanted it is over
            await process.kill()

    @contextlib.asynccontextmanager
    async def phones(self, secrets: Mapping[str, str], ring_s: float) -> AsyncIterator[None]:
        """Telephones that are registered, and answer anyone who rings after ``ring_s``, for the length of the block.

        They say nothing. A telephone that echoes (``-rtp_echo``) would send the keys back too that a caller presses in
        talk, and Asterisk's bridge then spins on them until the machine has no time for anybody.
        """
        port, media = free_port(), free_port()
        process, _ = self._spawn(
            "answering",
            scenarios.answering(round(1000 * ring_s)),
            (),
            *("-p", str(port), "-mp", str(media)),
        )
        fields = [f"{name};{secret}" for name, secret in secrets.items()]

        async def register() -> None:
            registering, _ = self._spawn(
                "registering", scenarios.registering(port), fields, *self._once(len(fields), per_s=20)
            )
            await self._finished(registering, "registering")

        async def stay_registered() -> None:
            while True:
                await asyncio.sleep(scenarios.REGISTERED_S / 2)
                await register()

        try:
            await register()
            staying = asyncio.create_task(stay_registered())
            try:
                yield
                if staying.done():
                    staying.result()  # raises why they are registered no more
            finally:
                staying.cancel()
                await asyncio.wait([staying])
        finally:
            await process.stop(_STOP_PATIENCE_S)

    async def log_in(self, secrets: Mapping[str, str], dialled: str = "*11") -> None:
        """Each telephone dials ``dialled``."""
        fields = [f"{name};{secret}" for name, secret in secrets.items()]
        process, _ = self._spawn(
            "logging-in", scenarios.logging_in(), fields, "-s", dialled, *self._once(len(fields), per_s=5)
        )
        await self._finished(process, "logging in")

    @contextlib.asynccontextmanager
    async def calling(self, load: Load) -> AsyncIterator[Callers]:
        """Callers who begin to call now. What still calls at the end of the block is ended."""
        capture = None
        if load.keys:
            capture = self._folder / f"keys-{self._runs}.pcap"
            write_keys(capture, load.keys)
        process, logged = self._spawn(
            "calling",
            scenarios.caller(
                None if capture is None else str(capture), round(1000 * load.hold_s), listens=load.ports is not None
            ),
            load.numbers if load.ports is None else [f"{number};{load.ports[number]}" for number in load.numbers],
            *("-s", load.dialled, *self._once(len(load.numbers), per_s=load.per_s)),
        )
        try:
            yield Callers(process, logged, load, asyncio.get_running_loop().time())
        finally:
            await process.stop(_STOP_PATIENCE_S)

    @staticmethod
    def _once(calls: int, *, per_s: float) -> list[str]:
        # SIPp's rate is a whole number in a period.
        period_ms = round(1000 / per_s)
        return [
            *("-m", str(calls), "-l", str(calls), "-r", "1", "-rp", str(period_ms)),
            *("-p", str(free_port()), "-mp", str(free_port())),
        ]
