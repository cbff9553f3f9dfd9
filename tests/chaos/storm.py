"""An Asterisk that speaks 25,000 events a second: a process of its own, so that the server's loop is the server's alone.

It takes an AMI client in, answers what a link asks at its start, then says a recorded stream at an even pace, several
times over under other uniqueids, and prints how long it was kept waiting, since Asterisk throws off who does not read.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from tests.support.ami import FakeAmi

#: A time, or a uniqueid, which a PBX with a system name puts that name before.
_ID = re.compile(rb"(: (?:\w+-)?)(\d{10})(?=\.\d+\r\n)")
_SLICE_S = 0.02


def rounds(stream: bytes, times: int) -> Iterable[bytes]:
    """The stream's events several times, each time with uniqueids (and timestamps) of its own."""
    blocks = (part.lstrip(b"\r\n") for part in stream.split(b"\r\n\r\n"))
    events = b"\r\n\r\n".join(part for part in blocks if part.startswith(b"Event: ")) + b"\r\n\r\n"
    for later_s in range(0, 1_000_000 * times, 1_000_000):
        yield _ID.sub(partial(_moved, later_s), events)


def _moved(later_s: int, found: re.Match[bytes]) -> bytes:
    return b"%s%d" % (found[1], int(found[2]) + later_s)


async def main(stream: Path, times: int, per_s: int) -> None:
    blocks = [part for one in rounds(stream.read_bytes(), times) for part in one.split(b"\r\n\r\n") if part.strip()]
    step = round(per_s * _SLICE_S)
    slices = [b"\r\n\r\n".join(blocks[at : at + step]) + b"\r\n\r\n" for at in range(0, len(blocks), step)]
    pbx = FakeAmi(secret="storm")
    server = await asyncio.start_server(pbx.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - the test reads it
    await pbx.arrived("QueueStatus")
    await pbx.arrived("Ping")  # the link is up, and listens
    [writer] = pbx._writers
    began, longest_s, waited_s = time.monotonic(), 0.0, 0.0
    for number, data in enumerate(slices):
        await asyncio.sleep(max(0.0, began + number * _SLICE_S - time.monotonic()))
        before = time.monotonic()
        writer.write(data)
        await writer.drain()
        longest_s = max(longest_s, time.monotonic() - before)
        waited_s += time.monotonic() - before
    took_s = time.monotonic() - began
    said = {"events": len(blocks), "took_s": took_s, "kept_waiting_s": longest_s, "waited_s": waited_s}
    print(json.dumps(said), flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
