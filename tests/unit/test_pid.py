from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ctiserver.pid import Process
from tests.support.eventually import eventually

_WAITS = [sys.executable, "-c", "import signal; print('ready', flush=True); signal.pause()"]
_DEAF = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()",
]

# Its first thread ends; another goes on a while.
_HEADLESS = [
    sys.executable,
    "-c",
    "import ctypes, os, threading, time; threading.Thread(target=lambda: (time.sleep(1.0), os._exit(0))).start();"
    "print('ready', flush=True); ctypes.CDLL(None).pthread_exit(None)",
]


async def _started(command: list[str], output: Path) -> Process:
    process = Process.spawn(command, output)

    async def words() -> str:
        return output.read_text(encoding="utf-8")

    await eventually(words, lambda text: "ready" in text)
    return process


async def test_stops_and_is_collected(tmp_path: Path) -> None:
    process = await _started(_WAITS, tmp_path / "output")
    assert process.alive
    await process.stop(5.0)
    assert not process.alive
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)  # noqa: ASYNC222 - does not wait


async def test_one_whose_first_thread_ended_is_collected_when_all_have(tmp_path: Path) -> None:
    process = await _started(_HEADLESS, tmp_path / "output")

    async def alive() -> bool:
        return process.alive

    await eventually(alive, lambda alive: not alive)
    async with asyncio.timeout(10.0):
        await process.ended()
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)  # noqa: ASYNC222 - does not wait


async def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    process = await _started(_DEAF, tmp_path / "output")
    async with asyncio.timeout(5.0):
        await process.stop(0.1)
    assert not process.alive


async def test_pid_that_is_somebody_elses_by_now_is_left_alone(tmp_path: Path) -> None:
    process = await _started(_WAITS, tmp_path / "output")
    try:
        former = replace(process, started=process.started - 1)
        assert not former.alive
        former.send(signal.SIGKILL)
        await former.stop(0.1)
        assert process.alive
    finally:
        await process.kill()


async def test_signal_to_one_that_has_ended_is_no_error(tmp_path: Path) -> None:
    process = await _started(_WAITS, tmp_path / "output")
    await process.kill()
    process.send(signal.SIGTERM)
    await process.ended()


def test_what_can_not_be_started_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Process.spawn([str(tmp_path / "nothing")], tmp_path / "output")


async def test_its_name_may_hold_anything(tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to(sys.executable)
    process = await _started([str(odd), *_WAITS[1:]], tmp_path / "output")
    assert process.alive
    await process.kill()
    assert not process.alive


async def test_one_that_dies_with_us_ends_when_we_are_killed(tmp_path: Path) -> None:
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import pathlib, signal, sys\n"
        "from ctiserver.pid import Process\n"
        f"child = Process.spawn({_WAITS!r}, pathlib.Path({str(tmp_path / 'output')!r}), dies_with_us=True)\n"
        "print('ready', child.pid, child.started, flush=True)\n"
        "signal.pause()\n",
        encoding="utf-8",
    )
    process = await _started([sys.executable, str(parent)], tmp_path / "parent")
    words = (tmp_path / "parent").read_text(encoding="utf-8").split()
    child = Process(int(words[1]), int(words[2]))
    assert child.alive
    await process.kill()
    async with asyncio.timeout(5.0):
        await child.ended()
