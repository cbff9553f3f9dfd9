"""What callers notice of strangers' requests: FastAGI's first word beside one connection that sends the same again
and again (log-ins: fifty at once, each by another name from another address, so that each password is checked), and the
longest that one such request keeps the loop. Then beside 20 sockets of one agent that send as fast as they can and open
again when they are closed, and beside 560 connections to FastAGI and to the web server that never say what they want.

The server has this process to itself; strangers and callers have one each. ``one_request_ms`` is the time that the
loop's own timers were late at the most while one request was served, with nothing else under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import logging
import multiprocessing
import tempfile
import time
import zlib
from collections.abc import Callable, Coroutine, Iterable
from ipaddress import IPv4Address, IPv4Network
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from aiohttp import ClientError
from argon2 import PasswordHasher

from ctiserver.agi.server import AgiServer
from ctiserver.clock import SystemClock
from ctiserver.settings import AgiSettings, WebSettings
from tests.protocol.test_agi_server import polite
from tests.support.desk import Browser, desk
from tests.support.fake_asterisk import header

_CALLS = 40
_TICK_S = 0.002
_DEADMAN_S = 1.0
_ZEROS = 200_000_000
_LOG_INS = 50
_SOCKETS = 20
_HALF_OPEN = 560


def run() -> dict[str, object]:
    """About a minute; several where the server unpacks."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return asyncio.run(_run())


def requests() -> dict[str, bytes]:
    """What strangers send, whole requests by name."""
    deflated, gzipped = zlib.compress(bytes(_ZEROS), 9), gzip.compress(bytes(_ZEROS), 9)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(deflated), deflated)
    deep = b"[" * 100_000 + b"]" * 100_000
    wide = b"{" + b",".join(b'"%x":1' % number for number in range(25_000)) + b"}"
    json = b"Content-Type: application/json\r\nOrigin: ORIGIN\r\n"
    cookie = b"Cookie: " + b"; ".join(b"a%d=b" % number for number in range(900)) + b"\r\n"
    kind = b"Content-Type: " + b";a=b" * 1900 + b"\r\nOrigin: ORIGIN\r\n"
    return {
        "plain GET": _request(b"GET /healthz"),
        "deflate": _request(b"GET /healthz", deflated, b"Content-Encoding: deflate\r\n"),
        "gzip": _request(b"GET /healthz", gzipped, b"Content-Encoding: gzip\r\n"),
        "deflate to 404": _request(b"POST /nothing", deflated, b"Content-Encoding: deflate\r\n"),
        "deflate in chunks": b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Encoding: deflate\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + chunked,
        "deep JSON": _request(b"POST /api/v1/session", deep, json),
        "wide JSON": _request(b"POST /api/v1/session", wide, json),
        "many cookies": _request(b"GET /api/v1/session", b"", cookie),
        "long content type": _request(b"POST /api/v1/session", b"{}", kind),
        "log in": _request(
            b"POST /api/v1/session",
            b'{"login": "nameNUMBER", "password": "wrong password"}',
            json + b"X-Forwarded-For: ADDRESS\r\n",
        ),
        "many headers": _request(
            b"GET /healthz", b"", b"".join(b"X-%d: %s\r\n" % (n, b"y" * 8000) for n in range(100))
        ),
    }


def _request(line: bytes, body: bytes = b"", headers: bytes = b"") -> bytes:
    return b"%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s" % (line, headers, len(body), body)


async def _run() -> dict[str, object]:
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        agi = AgiServer(AgiSettings(port=0), {"flow": polite}, SystemClock())
        web = WebSettings(port=0, trusted_proxies=(IPv4Network("127.0.0.1/32"),))
        async with desk(Path(folder), web=web, hasher=PasswordHasher()) as it, asyncio.TaskGroup() as group:
            serving = group.create_task(agi.run())
            port = await agi.listening()
            found["alone"] = {"first_word_ms": _percentiles(await _elsewhere(_callers, port, it.url, b""))}
            for name, request in requests().items():
                request = request.replace(b"ORIGIN", it.url.encode())
                lags: list[float] = []
                watching = group.create_task(_watch(lags))
                await _elsewhere(_stranger, port, it.url, request)
                watching.cancel()
                beside = await _elsewhere(_callers, port, it.url, request)
                if name == "log in":
                    several = await _elsewhere(_callers_and_many, port, it.url, request)
                    found["fifty log-ins at once"] = {"first_word_ms": {**_percentiles(several), "aim": 10}}
                found[name] = {
                    "request_kb": round(len(request) / 1000, 1),
                    "one_request_ms": {"worst": round(1000 * max(lags), 1), "aim": 5},
                    "first_word_ms": _percentiles(beside),
                    "to_the_fallback": sum(one >= 1000 * _DEADMAN_S for one in beside),
                    "calls": len(beside),
                }
            await it.add_user("agent1", "agent")
            for name, work in (("flooding sockets", _callers_and_sockets), ("half-open", _callers_and_half_open)):
                beside = await _elsewhere(work, port, it.url, b"")
                found[name] = {
                    "first_word_ms": {**_percentiles(beside), "aim": 10},
                    "to_the_fallback": sum(one >= 1000 * _DEADMAN_S for one in beside),
                    "calls": len(beside),
                }
            serving.cancel()
    return found


async def _watch(lags: list[float]) -> None:
    while True:
        due = time.perf_counter() + _TICK_S
        await asyncio.sleep(_TICK_S)
        lags.append(max(0.0, time.perf_counter() - due))


Work = Callable[[int, str, bytes, Connection], None]


async def _elsewhere(work: Work, port: int, url: str, request: bytes) -> list[float]:
    """What ``work`` sends back from a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(port, url, request, theirs))
    process.start()
    result: list[float] = await asyncio.to_thread(ours.recv)
    await asyncio.to_thread(process.join)
    return result


async def _send(url: str, request: bytes) -> None:
    """One request, and the beginning of its answer."""
    parts = urlsplit(url)
    with contextlib.suppress(ConnectionError):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(request)
            await writer.drain()
            await reader.readline()
        finally:
            writer.close()


def _stranger(port: int, url: str, request: bytes, results: Connection) -> None:
    """One request, after the process' own start is over."""

    async def once() -> None:
        await asyncio.sleep(0.2)
        await _send(url, request)

    asyncio.run(once())
    results.send([])


def _callers_and_many(port: int, url: str, request: bytes, results: Connection) -> None:
    _callers(port, url, request, results, _LOG_INS)


def _callers_and_sockets(port: int, url: str, _: bytes, results: Connection) -> None:
    async def flood(browser: Browser) -> None:
        while True:
            with contextlib.suppress(ClientError, ConnectionError, AssertionError):
                async with browser.socket() as socket:
                    while not socket.closed:
                        await socket.send_json({"op": "ping"})
                        await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def attacked() -> None:
        async with Browser(url) as browser:
            await browser.log_in("agent1")
            results.send(await _called(port, [flood(browser) for _ in range(_SOCKETS)]))

    asyncio.run(attacked())


def _callers_and_half_open(port: int, url: str, _: bytes, results: Connection) -> None:
    web = urlsplit(url).port

    async def half(to: int | None, said: bytes) -> None:
        while True:
            with contextlib.suppress(ConnectionError):
                reader, writer = await asyncio.open_connection("127.0.0.1", to)
                writer.write(said)
                await reader.read()
                writer.close()

    async def attacked() -> None:
        halves = [half(port, b"agi_network: yes\n") for _ in range(_HALF_OPEN)]
        halves += [half(web, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ") for _ in range(_HALF_OPEN)]
        results.send(await _called(port, halves))

    asyncio.run(attacked())


def _callers(port: int, url: str, request: bytes, results: Connection, at_once: int = 1) -> None:
    numbers = itertools.count()

    async def attack() -> None:
        while True:
            number = next(numbers)
            await _send(url, request.replace(b"NUMBER", b"%06d" % number).replace(b"ADDRESS", _address(number)))
            await asyncio.sleep(0)

    results.send(asyncio.run(_called(port, [attack() for _ in range(at_once)] if request else [])))


async def _called(port: int, attacks: Iterable[Coroutine[None, None, None]]) -> list[float]:
    """Callers one after another, beside ``attacks``; how many milliseconds each waited for FastAGI's first word."""
    took_ms: list[float] = []
    attacking = [asyncio.create_task(attack) for attack in attacks]
    await asyncio.sleep(0.3)
    for number in range(_CALLS):
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(header(network_script="flow?dnis=4008001234&deadman=1", uniqueid=f"17951{number:05d}.{number}"))
        await reader.readline()
        took_ms.append(1000 * (time.perf_counter() - began))
        writer.close()
        await asyncio.sleep(0.02)
    for one in attacking:
        one.cancel()
    await asyncio.gather(*attacking, return_exceptions=True)
    return took_ms


def _address(number: int) -> bytes:
    return str(IPv4Address("10.0.0.0") + number).encode()


def _percentiles(values_ms: list[float]) -> dict[str, float]:
    ordered = sorted(values_ms)
    return {"p50": round(ordered[len(ordered) // 2], 1), "worst": round(ordered[-1], 1)}
