"""What each verb costs before it does anything for anybody: the CPU of a process, user and system, by the kernel's account.

Verbs that end are run to their end on a new site; ``serve`` until it says that it is ready. Each is run a few times after
a first that may compile, and the least is told: others on the machine only add.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench._server import cpu_s
from tests.support.served import Site

TIMES = int(os.environ.get("CTISERVER_BENCH_VERBS_TIMES", "5"))


def run() -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="ctiserver-bench-") as folder:
        site = Site.made(Path(folder) / "site")
        config = ("--config", str(site.config))
        verbs = {
            "--help": ["--help"],
            "check": ["check", *config],
            "flow check": ["flow", "check", *config],
            "process check": ["process", "check", *config],
            "doctor": ["doctor", *config],
            "user list": ["user", "list", *config],
        }
        serve = [_until_ready(site) for _ in range(TIMES + 1)]  # the first makes the databases
        return {
            "cpu_s_until_serve_is_ready": round(min(serve[1:]), 2),
            "cpu_s": {name: round(min([_of(site, verb) for _ in range(TIMES)]), 2) for name, verb in verbs.items()},
        }


def _until_ready(site: Site) -> float:
    with site.served() as served:
        return cpu_s(served.process.pid)


def _of(site: Site, verb: list[str]) -> float:
    process = subprocess.Popen(
        [sys.executable, "-m", "ctiserver", *verb],
        env=site.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime
