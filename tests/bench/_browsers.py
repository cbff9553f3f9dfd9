"""Many browsers in a process of their own, so that what they cost is not the server's: sockets that follow topics.

Started by :class:`Browsers`. It logs in whom it is told, says so, and at the next line it hears connects them all,
spread over a second. Then it writes a line for every frame, with the time that both processes share (monotonic).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import ClientWebSocketResponse

from ctiserver.clock import SystemClock
from tests.support.described import Described
from tests.support.desk import Browser

_WITHIN_S = 60.0
_LOGGED_IN_WITHIN_S = 300.0


class Browsers:
    """The other process: what it says, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def of(cls, url: str, topics: Mapping[str, Sequence[str]]) -> AsyncIterator[Browsers]:
        """Browsers by log-in, each with what it follows (``{user}`` stands for its account's id), logged in."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bench._browsers",
            url,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        browsers = cls(process)
        try:
            await browsers._say(json.dumps(topics))
            await browsers.hear(_LOGGED_IN_WITHIN_S)
            yield browsers
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def connect(self) -> dict[str, Any]:
        """Connect them all within a second; when each had its snapshots, in seconds from now."""
        await self._say("connect")
        answer: dict[str, Any] = await self.hear()
        return answer

    async def hear(self, within_s: float = _WITHIN_S) -> Any:
        """The next thing said: a frame as ``[at, login, frame]``."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within_s):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the browsers' process has ended")
        return json.loads(line)

    async def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()


async def _one(
    browser: Browser, login: str, topics: Sequence[str], stack: AsyncExitStack, tell: Callable[[Any], None]
) -> ClientWebSocketResponse:
    socket = await stack.enter_async_context(browser.socket())
    for topic in topics:
        await socket.send_json({"op": "subscribe", "topic": topic})
    missing = set(topics)
    while missing:
        frame = await socket.receive_json(timeout=_WITHIN_S)
        if frame["kind"] == "refused":
            raise RuntimeError(f"{login} may not follow {frame['topic']}")
        if frame["kind"] == "snapshot":
            missing.discard(frame["topic"])
        else:
            tell([time.monotonic(), login, frame])
    return socket


async def _hear(socket: ClientWebSocketResponse, login: str, tell: Callable[[Any], None]) -> None:
    async for message in socket:
        at = time.monotonic()
        tell([at, login, json.loads(message.data)])


async def _main(url: str) -> None:
    loop = asyncio.get_running_loop()
    clock = SystemClock()

    def tell(data: Any) -> None:
        sys.stdout.write(json.dumps(data) + "\n")
        sys.stdout.flush()

    topics: dict[str, list[str]] = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    async with AsyncExitStack() as stack:
        browsers = {login: await stack.enter_async_context(Browser(url)) for login in topics}
        described: list[Described] = []  # one for all: 500 copies of the API's description are not a browser's cost
        at_once = asyncio.Semaphore(8)

        async def log_in(login: str) -> None:
            browser = browsers[login]
            async with at_once:
                browser.described = described[0] if described else None
                who = await browser.log_in(login)
            if not described and browser.described is not None:
                described.append(browser.described)
            browser.described = described[0]
            topics[login] = [topic.format(user=who["user_id"]) for topic in topics[login]]

        async with asyncio.TaskGroup() as group:
            for login in browsers:
                group.create_task(log_in(login))
        tell("ready")
        await loop.run_in_executor(None, sys.stdin.readline)
        began = clock.monotonic()
        taken_s: list[float] = []
        failed: list[str] = []
        sockets: dict[str, ClientWebSocketResponse] = {}

        async def come(number: int, login: str) -> None:
            await asyncio.sleep(max(0.0, began + number / len(topics) - clock.monotonic()))
            try:
                sockets[login] = await _one(browsers[login], login, topics[login], stack, tell)
                taken_s.append(clock.monotonic() - began)
            except Exception as error:  # noqa: BLE001 - counted and told
                failed.append(f"{login}: {error!r}")

        async with asyncio.TaskGroup() as group:
            for number, login in enumerate(topics):
                group.create_task(come(number, login))
        tell({"snapshots_s": sorted(taken_s), "failed": failed})
        async with asyncio.TaskGroup() as group:
            for login, socket in sockets.items():
                group.create_task(_hear(socket, login, tell))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(_main(sys.argv[1]))
