"""Flows: calls a second in the simulator, the check, and the server's part of a menu call over a socket.

The socket's other end answers at once, as a PBX on the same machine would; its own CPU time is not counted to us.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from ctiserver.ivr.language.check import check
from ctiserver.ivr.language.requests import Finish, Heard, Listen, Pressed, Speak
from ctiserver.ivr.simulation.simulate import Given, Simulation
from tests.support.fake_asterisk import FakeAsterisk
from tests.support.flow_server import flow_server
from tests.support.flows import NAMES, WORLD, flow_of

_ROUNDS = 5
_AT_ONCE = 50
_CALLS = 500
_PACE_S = 0.1  #: a prompt's length, and how long a caller takes to press: the calls are at once, not one after another


def run() -> dict[str, object]:
    """Everything, medians of rounds."""
    return {"simulator": _simulator(), "check": _check(), "menu_over_socket": asyncio.run(_socket())}


def _simulator() -> dict[str, float]:
    """Calls of ten nodes: five menus, five plays."""
    nodes = "".join(
        f'  m{n}: {{kind: menu, prompt: {{en: menu}}, choices: {{"1": p{n}}}, on: {{exhausted: bye}}}}\n'
        f"  p{n}: {{kind: play, prompt: {{en: play}}, next: {f'm{n + 1}' if n < 4 else 'bye'}}}\n"
        for n in range(5)
    )
    flow = flow_of(nodes, ends="  bye: {kind: hangup, prompt: {en: bye}}\n", start="m0")
    rates = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(300):
            call = Simulation(flow, WORLD, Given())
            while not isinstance(call.request, Finish):
                if isinstance(call.request, Speak):
                    call.answer(Heard(), 1.0)
                else:
                    assert isinstance(call.request, Listen)
                    call.answer(Pressed("1"), 0.5)
        rates.append(300 / (time.process_time() - began))
    return {"calls_per_cpu_s": round(statistics.median(rates)), "aim": 5000}


def _check() -> dict[str, float]:
    nodes = "".join(
        f'  n{n}: {{kind: menu, prompt: {{en: a}}, choices: {{"1": n{n + 1}, "2": good}}, on: {{exhausted: bad}}}}\n'
        for n in range(1000)
    ).replace("n1000", "good")
    seconds = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        check(flow_of(nodes, start="n0"), NAMES)
        seconds.append(time.process_time() - began)
    return {"nodes": 1000, "load_and_check_cpu_s": round(statistics.median(seconds), 3), "aim_s": 1.0}


class _Timed(FakeAsterisk):
    """Notes how long after a digit the next command comes: the server's think time."""

    think: list[float]
    pressed_at: float = 0.0

    def reply(self, words: list[str]) -> str:
        if self.pressed_at:
            self.think.append(time.perf_counter() - self.pressed_at)
            self.pressed_at = 0.0
        text = super().reply(words)
        if words[0] == "WAIT":
            self.pressed_at = time.perf_counter()
        return text


def _callers(port: int, results: Connection) -> None:
    """The PBX's side, in a process of its own."""
    think: list[float] = []

    async def one(number: int) -> None:
        asterisk = _Timed(keys="21", pace_s=_PACE_S)
        asterisk.think = think
        await asterisk.call(port, uniqueid=f"1795{number:06d}.{number}")

    async def many() -> float:
        waiting = iter(range(_CALLS))

        async def line() -> None:
            for number in waiting:
                await one(number)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(line())
        return time.perf_counter() - began

    seconds = asyncio.run(many())
    results.send((seconds, think))


async def _socket() -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        async with flow_server(Path(folder)) as server:
            await FakeAsterisk(keys="21").call(server.port)  # prompts are spoken now
            ours, theirs = multiprocessing.get_context("spawn").Pipe()
            callers = multiprocessing.get_context("spawn").Process(target=_callers, args=(server.port, theirs))
            before = time.process_time()
            callers.start()
            seconds, think = await asyncio.get_running_loop().run_in_executor(None, ours.recv)
            cpu_s = time.process_time() - before
            callers.join()
    think.sort()
    return {
        "flow": "front_desk: two menus, hours, a record, a prompt, the queue",
        "calls": _CALLS,
        "at_once": _AT_ONCE,
        "prompt_and_key_s": _PACE_S,
        "calls_per_s": round(_CALLS / seconds),
        "our_cpu_ms_per_call": round(1000 * cpu_s / _CALLS, 2),
        "think_ms_p50": round(1000 * think[len(think) // 2], 2),
        "think_ms_p99": round(1000 * think[int(len(think) * 0.99)], 2),
        "aim": {"think_ms_p50": 2, "think_ms_p99": 20},
    }
