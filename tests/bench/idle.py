"""``ctiserver serve`` that nobody calls, beside an idle private Asterisk: seconds to its first answer, CPU, memory.

CPU is user and system time of the process by the kernel's account, as a share of one core; memory is its resident set
and the part of it that no other process shares. Asterisk's own share stands beside it.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx, choose_ports
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.state import running
from tests.bench._server import Server, cpu_s

#: How long nothing happens.
SECONDS = float(os.environ.get("CTISERVER_BENCH_IDLE_S", "120"))


def run() -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="ctiserver-bench-") as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> dict[str, object]:
    agi_port = free_port()
    async with PrivatePbx.start(folder / "pbx", agi=f"127.0.0.1:{agi_port}", ports=choose_ports()) as pbx:
        server = Server(folder / "site", pbx, agi_port, numbers={"*": "front_desk"})
        started = time.monotonic()
        server.start()
        ready_s = time.monotonic() - started
        try:
            await server.quiet()
            asterisk = running(folder / "pbx")
            assert asterisk is not None
            before = (time.monotonic(), cpu_s(server.pid), cpu_s(asterisk.pid))
            await asyncio.sleep(SECONDS)
            after = (time.monotonic(), cpu_s(server.pid), cpu_s(asterisk.pid))
            passed, ours, theirs = (late - early for late, early in zip(after, before, strict=True))
            return {
                "seconds": round(passed, 1),
                "first_answer_s": round(ready_s, 2),
                "cpu_percent_of_a_core": round(100 * ours / passed, 2),
                "asterisk_cpu_percent_of_a_core": round(100 * theirs / passed, 2),
                **{name: round(kib / 1024, 1) for name, kib in _memory_kib(server.pid).items()},
            }
        finally:
            server.stop()


def _memory_kib(pid: int) -> dict[str, int]:
    rows = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]
    )
    kib = {name: int(text.split()[0]) for name, text in rows.items()}
    return {"resident_mib": kib["Rss"], "private_mib": kib["Private_Clean"] + kib["Private_Dirty"]}
