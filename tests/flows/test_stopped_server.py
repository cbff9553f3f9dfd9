"""A server that hangs while a caller listens to it: the kernel still accepts, and nobody will ever speak again."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from tests.support.asking_server import PROMPT_S
from tests.support.eventually import eventually

#: The dead-man stands this long behind the running command (``agi.command_margin_s``).
MARGIN_S = 1.0


@pytest.mark.pbx
async def test_the_caller_of_a_server_that_hangs_falls_back_a_second_after_the_running_command(
    pbx: PrivatePbx, programs: Programs, tmp_path: Path
) -> None:
    port = pbx.agi.rpartition(":")[2]
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.asking_server", str(tmp_path), port), stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        async with asyncio.timeout(60.0), SipPhone.caller(programs, pbx, "13800138000") as caller:
            assert await server.stdout.readline() == b"ready\n"
            await caller.dial("4008001234")
            assert await server.stdout.readline() == b"Speak\n"

            async def hears() -> float:
                return caller.heard_s()

            loop = asyncio.get_running_loop()
            await caller.answered()
            began = loop.time()
            await eventually(hears, lambda seconds: seconds > 0)  # the prompt has begun and goes on
            server.send_signal(signal.SIGSTOP)

            async def asks_the_server() -> bool:
                return "!cti-call!flow!" in await pbx.cli("core show channels concise")

            assert await asks_the_server(), "nothing is taken from a server that may still speak"
            await eventually(asks_the_server, lambda asks: not asks, within_s=20.0)
            waited_s = loop.time() - began

            # The server goes on, and hears HANGUP: of a caller who is in the fallback's hands, and has not hung up.
            server.send_signal(signal.SIGCONT)
            told = []
            while b"ended\n" not in told:
                told.append(await server.stdout.readline())
            assert b"Tell\n" not in told, "on_hangup ran for a caller who is still there"
            assert "cti-" in await pbx.cli("core show channels concise")
            await caller.hang_up()
    finally:
        server.kill()
        await server.wait()
    # Half a second for Asterisk to begin, the rest for a busy machine: three seconds more would be a dead-man too far off.
    assert PROMPT_S < waited_s < PROMPT_S + MARGIN_S + 2.0
