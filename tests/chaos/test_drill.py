"""`ctiserver drill`, as an admin runs it: what must hold of each fault, in its short form here and its long one in chaos."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ctiserver.lab.drill.faults import FAULTS, sentence
from ctiserver.lab.drill.finding import Finding
from ctiserver.lab.privatepbx.tree import Programs
from tests.chaos import results
from tests.support.asterisk import children, programs
from tests.support.eventually import eventually

__all__ = ["programs"]

pytestmark = pytest.mark.pbx

SHORT = ("--calls", "6", "--per-second", "2", "--hold", "10", "--seconds", "3")
#: A kill at every stage is what server-killed is in short; of the ways of ending an Asterisk two, the others are as long.
LONG_ONLY = {
    *("server-killed-often", "load", "pbx-stopped-now", "pbx-stopped-when-convenient", "pbx-restarted-gracefully"),
    *("pbx-restarted-when-convenient", "pbx-terminated", "pbx-reloaded", "queues-unloaded", "pbx-exchanged"),
}
SHORT_FAULTS = [fault for fault in FAULTS if fault not in LONG_ONLY]
#: Three hundred callers in a minute on twenty agents.
MINUTE = ("--agents", "20", "--per-second", "5", "--hold", "20", "--seconds", "60")
#: By fault, where it differs: fifteen seconds and fifty callers are what is asked for, a minute is the database's.
LONG = ("--calls", "50", "--agents", "12", "--per-second", "4", "--hold", "30", "--seconds", "15")
LONGER = {
    "server-killed-often": ("--kills", "50"),
    "line-reset": ("--calls", "130", "--per-second", "1", "--seconds", "120"),
    "database-locked": ("--calls", "80", "--per-second", "1", "--seconds", "60"),
    # As many agents as talk at once, so that memory is that of calls and not of callbacks that wait to be made.
    "load": (
        "--agents",
        "90",
        "--per-second",
        "5",
        "--hold",
        "20",
        "--seconds",
        os.environ.get("CHAOS_LOAD_S", "3600"),
    ),
    "rush": ("--calls", "300", "--agents", "20", "--per-second", "5", "--hold", "60"),
}


def drilled(*arguments: str, before: tuple[str, ...] = (), within_s: float = 1500) -> dict[str, Finding]:
    """Findings by fault. Whatever held or not, the command must have come to its end."""
    command = [*before, sys.executable, "-m", "ctiserver", "drill", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=within_s)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    findings = [Finding.of_json(one) for one in json.loads(done.stdout)["findings"]]
    assert bool(done.returncode) == any(finding.broken for finding in findings)
    return {finding.fault: finding for finding in findings}


def keep(finding: Finding, *, long: bool) -> None:
    results.keep(
        finding.fault, finding.what, long=long, figures=finding.figures, held=finding.held, broken=finding.broken
    )


@pytest.mark.timeout(900)
def test_what_must_hold_of_every_fault_does(programs: Programs) -> None:
    """One after the other on one rig, as the command does by itself."""
    before = children()
    for fault in SHORT_FAULTS:
        results.begin(fault, sentence(fault), long=False)
    findings = drilled(*SHORT, *(word for fault in SHORT_FAULTS for word in ("--fault", fault)))
    assert children() <= before
    for finding in findings.values():
        keep(finding, long=False)
        assert finding.held, finding.fault
    assert list(findings) == SHORT_FAULTS
    assert {fault: finding.broken for fault, finding in findings.items() if finding.broken} == {}


@pytest.mark.timeout(600)
def test_a_minute_of_three_hundred_callers_on_twenty_agents(programs: Programs) -> None:
    """As SIPp counts them, so do the PBX, our log and the CDRs. Others that are tested meanwhile come first (nice)."""
    results.begin("load", sentence("load"), long=False)
    [finding] = drilled(*MINUTE, "--fault", "load", before=("nice", "-n", "5")).values()
    keep(finding, long=False)
    assert finding.broken == [], finding.figures


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("fault", FAULTS)
def test_and_so_it_does_with_fifty_callers(programs: Programs, fault: str) -> None:
    results.begin(fault, sentence(fault), long=True)
    [finding] = drilled(*LONG, *LONGER.get(fault, ()), "--fault", fault, within_s=7000).values()
    keep(finding, long=True)
    assert finding.broken == [], finding.figures


async def test_control_c_leaves_nothing_behind(programs: Programs, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "CTISERVER_DRILL_MARK": str(tmp_path)}
    drill = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ctiserver", "drill", "--fault", "rush"),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert drill.stderr is not None
    said = b""
    async with asyncio.timeout(90):
        while b"drill: rush" not in said:
            line = await drill.stderr.readline()
            assert line, said.decode()
            said += line
    drill.send_signal(signal.SIGINT)
    _, rest = await asyncio.wait_for(drill.communicate(), 40)
    assert drill.returncode == 130, (said + rest).decode()
    assert b"nothing is left running" in rest
    assert b"Traceback" not in rest

    async def left() -> list[str]:
        return marked(str(tmp_path))

    assert await eventually(left, lambda found: not found, within_s=10.0) == []
    assert list(tmp_path.iterdir()) == []


def marked(mark: str) -> list[str]:
    """Processes that were started with this mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"CTISERVER_DRILL_MARK={mark}".encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.joinpath("cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # ended just now, or not ours to look at
    return found


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "ctiserver", "drill", "--keep", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
