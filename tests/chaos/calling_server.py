"""A whole server that calls customers, to be killed around the one command that makes a telephone ring.

Run as ``python -m tests.chaos.calling_server FOLDER AGI_PORT AMI_PORT [--die before|after]``, the AMI secret in the
environment variable ``AMI_SECRET``. With ``--die`` it kills itself with SIGKILL when it asks the PBX to call: ``before``
the command's first byte is sent, or ``after`` its last one, when no response has been read. It prints ``ready``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]
from datetime import timedelta
from pathlib import Path
from typing import Any

from ctiserver.app.composition import running
from ctiserver.features.followups import service
from tests.support.customers import CustomerSite


def die(when: str) -> None:
    write = _SelectorSocketTransport.write

    def last(transport: Any, data: bytes) -> None:
        if b"Action: Originate" in bytes(data):
            if when == "after":
                write(transport, data)
            os.kill(os.getpid(), signal.SIGKILL)
        write(transport, data)

    _SelectorSocketTransport.write = last


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("agi_port", type=int)
    parser.add_argument("ami_port", type=int)
    parser.add_argument("--die", choices=["before", "after"])
    arguments = parser.parse_args()
    service._UNSEEN_AFTER = timedelta(seconds=3)
    if arguments.die:
        die(arguments.die)
    site = CustomerSite(arguments.folder, trunk_port=0, agi_port=arguments.agi_port)
    async with running(site.settings(arguments.ami_port, os.environ["AMI_SECRET"])) as app:
        await app.ready(30)
        print("ready", flush=True)  # noqa: T201 - the test reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
