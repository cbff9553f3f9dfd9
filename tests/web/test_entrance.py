"""Connections that bring no whole request, or too many of anything: each is ended, and holds up nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError
from argon2 import PasswordHasher

from ctiserver.listening import waiting_room
from ctiserver.settings import WebSettings
from ctiserver.web.connection import CLOSE_BAD_MESSAGE, HubLimits
from ctiserver.web.entrance import CUT_OFF, EntranceLimits
from tests.support.desk import PASSWORD, Browser, Desk, desk
from tests.support.eventually import eventually
from tests.support.fake_asterisk import header
from tests.support.served import Site

HALF_A_HEADER = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: "
HALF_A_BODY = b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nOrigin: x\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n{"


@asynccontextmanager
async def _centre(
    folder: Path, monkeypatch: pytest.MonkeyPatch, limits: EntranceLimits, web: WebSettings | None = None
) -> AsyncIterator[Desk]:
    monkeypatch.setattr(EntranceLimits, "within", lambda _: limits)
    async with desk(folder, web=web) as it:
        await it.add_user("agent1", "agent")
        yield it


async def _connect(url: str, first: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(first.replace(b"Origin: x", b"Origin: " + url.encode()))
    await writer.drain()
    return reader, writer


async def _until_ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """What the server said before it ended the connection."""
    said = b""
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            said = await reader.read()
    writer.close()
    return said


def _cut_off(why: str) -> float:
    return CUT_OFF.labels(why)._value.get()


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (b"", "no request in time"),
        (b"G", "no request in time"),
        (HALF_A_HEADER, "no request in time"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + HALF_A_HEADER, "no whole header in time"),
        (HALF_A_BODY, "no whole body in time"),
    ],
)
async def test_a_request_that_is_not_whole_in_time_ends_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bytes, why: str
) -> None:
    before = _cut_off(why)
    async with _centre(tmp_path, monkeypatch, EntranceLimits(header_s=0.3, body_s=0.3)) as it:
        reader, writer = await _connect(it.url, first)
        if first.startswith(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"):
            assert b"200" in await reader.readline()
            writer.write(b"y")  # the next request goes on a little
        await _until_ended(reader, writer)
        await eventually(lambda: _later(_cut_off(why)), lambda count: count == before + 1)
        assert it.server.entrance.connections == 0


async def _later(value: float) -> float:
    return value


async def test_a_body_that_keeps_coming_has_all_the_time_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _cut_off("no whole body in time")
    async with _centre(tmp_path, monkeypatch, EntranceLimits(body_s=0.2, body_bytes=5)) as it:
        body = b'{"login": "agent1", "password": "%s"}' % PASSWORD.encode()
        head = HALF_A_BODY.removesuffix(b"{").replace(b"200", b"%d" % len(body))
        reader, writer = await _connect(it.url, head)
        for at in range(0, len(body), 12):
            writer.write(body[at : at + 12])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.15):  # it says nothing meanwhile, and does not end
                    assert await reader.readline() == b"HTTP/1.1 201 Created\r\n"
        async with asyncio.timeout(20):
            assert await reader.readline()
        writer.close()
    assert _cut_off("no whole body in time") == before


async def test_a_new_connection_takes_the_place_of_the_one_that_waited_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _centre(tmp_path, monkeypatch, EntranceLimits(unproven=50, unproven_per_address=5)) as it:
        idle = [await _connect(it.url, HALF_A_HEADER) for _ in range(5)]
        async with Browser(it.url) as browser:
            assert (await browser.ask("GET", "/healthz")).status == 200
            await _until_ended(*idle[0])
            assert it.server.entrance.connections == 5
        for _, writer in idle[1:]:
            writer.close()


async def test_a_request_that_is_being_served_gives_up_its_place_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty log in at once, and wait for each other's passwords to be checked; then strangers connect."""
    limits = EntranceLimits(unproven=40, unproven_per_address=40)
    monkeypatch.setattr(EntranceLimits, "within", lambda _: limits)
    async with desk(tmp_path, hasher=PasswordHasher()) as it, AsyncExitStack() as stack:
        for number in range(20):
            await it.add_user(f"agent{number}", "agent", extension=f"1{number:02d}")
        browsers = [await stack.enter_async_context(Browser(it.url)) for _ in range(20)]
        logging_in = [asyncio.create_task(one.log_in(f"agent{number}")) for number, one in enumerate(browsers)]
        await eventually(
            lambda: _later(it.server.entrance.connections - it.server.entrance.waiting), lambda served: served > 10
        )
        monkeypatch.setattr(waiting_room, "_MOMENT_S", 0.0)
        strangers = [await _connect(it.url, HALF_A_HEADER) for _ in range(30)]
        assert [(await one)["login"] for one in logging_in] == [f"agent{number}" for number in range(20)]
        for _, writer in strangers:
            writer.close()


async def test_connections_of_logged_in_people_stay_whatever_strangers_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        _centre(tmp_path, monkeypatch, EntranceLimits(unproven=8, unproven_per_address=8)) as it,
        Browser(it.url) as browser,
    ):
        await browser.log_in("agent1")
        async with browser.socket() as socket:
            opened = [await _connect(it.url, HALF_A_HEADER) for _ in range(40)]
            await socket.send_json({"op": "ping"})
            assert (await socket.receive_json(timeout=20))["kind"] == "pong"
            assert (await browser.json("GET", "/api/v1/me"))["login"] == "agent1"
            await eventually(lambda: _later(it.server.entrance.connections), lambda count: count <= 8 + 3)
        for _, writer in opened:
            writer.close()


async def test_a_trusted_proxy_may_have_more_connections_than_one_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = WebSettings(port=0, trusted_proxies=(IPv4Network("127.0.0.1/32"),))
    async with _centre(tmp_path, monkeypatch, EntranceLimits(unproven_per_address=2), web) as it:
        opened = [await _connect(it.url, HALF_A_HEADER) for _ in range(20)]
        async with Browser(it.url) as browser:
            assert (await browser.ask("GET", "/healthz")).status == 200
        assert it.server.entrance.connections >= 20
        for _, writer in opened:
            writer.close()


async def test_too_many_connections_of_logged_in_people_are_refused_politely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _centre(tmp_path, monkeypatch, EntranceLimits(proven=2)) as it, AsyncExitStack() as stack:
        browsers = [await stack.enter_async_context(Browser(it.url)) for _ in range(3)]
        for browser in browsers:
            await browser.log_in("agent1")
        said = [(await browser.ask("GET", "/api/v1/me")).status for browser in browsers]
        assert said == [200, 200, 429]


async def test_an_account_has_so_many_sockets_and_no_more(running: Desk, agent: Browser) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(HubLimits().connections):
            await stack.enter_async_context(agent.socket())
        with pytest.raises(WSServerHandshakeError) as refused:
            await stack.enter_async_context(agent.socket())
        assert refused.value.status == 429
    await eventually(lambda: _later(running.hub.clients), lambda clients: clients == 0)
    async with agent.socket():
        pass


async def test_a_socket_that_floods_is_closed(agent: Browser) -> None:
    async with agent.socket() as socket:
        for _ in range(HubLimits().messages_at_once + 100):
            await socket.send_json({"op": "ping"})
        async with asyncio.timeout(20):
            async for message in socket:
                assert message.type is WSMsgType.TEXT
        assert socket.close_code == CLOSE_BAD_MESSAGE
    async with agent.socket() as socket:
        await socket.send_json({"op": "ping"})
        assert (await socket.receive_json(timeout=20))["kind"] == "pong"


@pytest.mark.parametrize("descriptors", [64, 256, 1024, 65_536])
def test_half_of_the_descriptors_are_left_for_calls(descriptors: int) -> None:
    limits = EntranceLimits.within(descriptors)
    assert limits.unproven + limits.proven <= descriptors // 2
    assert limits.unproven_per_address >= 1
    assert limits.proven >= limits.unproven


async def test_eleven_hundred_half_sent_requests_stop_no_call_and_fill_no_log(tmp_path: Path) -> None:
    """As under systemd: the soft limit is 1024, and here the hard one too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    site = Site.made(tmp_path / "site")
    log = tmp_path / "log"
    try:
        with log.open("wb") as file:
            server = await asyncio.create_subprocess_exec(
                *("sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"),
                *(sys.executable, "-m", "ctiserver", "serve", "--config", str(site.config)),
                env=site.environment, stderr=file, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:

            async def places() -> tuple[str, int]:
                said = log.read_text(encoding="utf-8")
                if "console is at" not in said:
                    return "", 0
                return said.partition("console is at ")[2].split()[0], int(said.partition("on port ")[2].split(",")[0])

            url, agi = await eventually(places, lambda found: bool(found[0]), within_s=60)
            writers = []
            for number in range(1100):
                with contextlib.suppress(OSError):
                    _, writer = await _connect(url, HALF_A_HEADER if number % 2 else HALF_A_BODY)
                    writers.append(writer)
            assert len(writers) > 1000
            for number in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", agi)
                writer.write(header(network_script="flow?dnis=1", uniqueid=f"17951{number:05d}.{number}"))
                async with asyncio.timeout(20):
                    assert await reader.readline()  # the server speaks to the call
                writer.close()
            async with Browser(url) as browser:
                async with asyncio.timeout(20):
                    assert (await browser.ask("GET", "/healthz")).status == 200
            for writer in writers:
                writer.close()
        finally:
            server.terminate()
            await server.wait()
        said = log.read_text(encoding="utf-8")
        assert "Traceback" not in said
        assert len(said) < 100_000, said[:4000]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
