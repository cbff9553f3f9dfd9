"""An agent's phone that does exactly what a SIPp scenario says: decline, forward, hold, REFER with Replaces."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs

_REGISTER = Path(__file__).parent / "sipp" / "register.xml"
_LONGEST_S = 60
_STARTS = 3
_LINGER_S = 2.0


@dataclass(frozen=True, slots=True)
class SippPhone:
    """A registered phone; its scenario runs from the first call on."""

    process: asyncio.subprocess.Process
    folder: Path

    async def done(self, within_s: float = 30.0) -> None:
        """Wait until every step of the scenario came about. Raises AssertionError with SIPp's words if one did not."""
        async with asyncio.timeout(within_s):
            status = await self.process.wait()
        assert status == 0, f"SIPp ended with {status}: {said(self.folder)}"


@asynccontextmanager
async def sipp_phone(
    programs: Programs, pbx: PrivatePbx, name: str, scenario: Path, *, calls: int = 1
) -> AsyncIterator[SippPhone]:
    """The phone ``name`` of the PBX, registered, doing ``scenario`` for so many calls."""
    folder = Path(tempfile.mkdtemp(prefix="ctiserver-sipp-"))
    try:
        for attempt in range(_STARTS):
            sip = free_port()
            common = (
                *programs.command("sipp"), f"127.0.0.1:{pbx.sip_port}", "-i", "127.0.0.1", "-p", str(sip),
                "-mi", "127.0.0.1", "-mp", str(free_port(frozenset({sip}))), "-nostdin", "-trace_err",
                "-timeout", str(_LONGEST_S), "-au", name, "-ap", pbx.phone_secrets[name], "-key", "agent", name,
            )  # fmt: skip
            if await _registered(common, folder, expires=600):
                break
            assert attempt < _STARTS - 1, f"the phone could not register: {said(folder)}"
        process = await _start((*common, "-sf", str(scenario), "-m", str(calls), "-aa"), folder)
        try:
            yield SippPhone(process, folder)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LINGER_S if process.returncode is None else 0):
                    await process.wait()  # it answers the last BYE, if that is all that it waits for
            if process.returncode is None:
                process.kill()
                await process.wait()
            assert await _registered(common, folder, expires=0), said(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _registered(common: tuple[str, ...], folder: Path, *, expires: int) -> bool:
    """Whether the PBX took it; not so if somebody was quicker to take the port."""
    process = await _start((*common, "-sf", str(_REGISTER), "-m", "1", "-key", "expires", str(expires)), folder)
    async with asyncio.timeout(_LONGEST_S):
        return await process.wait() == 0


async def _start(command: tuple[str, ...], folder: Path) -> asyncio.subprocess.Process:
    with (folder / "output").open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *command, cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )


def said(folder: Path) -> str:
    """SIPp's complaints, the last of them last."""
    texts = [path.read_text(errors="replace") for path in sorted(folder.glob("*_errors.log"))]
    return "\n".join(texts)[-3000:] or (folder / "output").read_text(errors="replace")[-1500:]
