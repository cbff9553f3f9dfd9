"""What a stranger's body costs: nothing is unpacked, and what is refused is refused before it is read."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from aiohttp import compression_utils, helpers, web_protocol, web_request

from ctiserver.web import bodies
from tests.support.desk import Browser, Desk

#: One address of each kind: open, unknown, for those who have logged in only, with a method that it does not take.
ADDRESSES = [
    ("GET", "/healthz"),
    ("POST", "/api/v1/session"),
    ("POST", "/nothing/here"),
    ("GET", "/api/v1/records"),
    ("POST", "/api/v1/work-orders/x/photos?key=12345678"),
    ("DELETE", "/healthz"),
    ("POST", "/ws"),
]
ENCODINGS = ["deflate", "gzip", "br", "zstd", "compress", "identity, gzip", "nonsense"]


class Talk:
    """A connection on which a test writes the bytes itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: x"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await self.writer.drain()

    async def status(self) -> int:
        """Of the next answer, whose header is read with it."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
        self.head = head.decode().lower()
        return int(head.split()[1])

    async def ended(self) -> bytes:
        """What still comes until the server closes."""
        async with asyncio.timeout(20):
            return await self.reader.read()


@asynccontextmanager
async def talk(url: str) -> AsyncIterator[Talk]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often a decompressor was made."""
    made: list[str] = []
    for name in ("ZLibDecompressor", "BrotliDecompressor", "ZSTDDecompressor"):
        old = getattr(compression_utils, name)

        def counted(
            self: object, *args: object, _old: object = old.__init__, _name: str = name, **named: object
        ) -> None:
            made.append(_name)
            _old(self, *args, **named)  # type: ignore[operator]

        monkeypatch.setattr(old, "__init__", counted)
    return made


async def test_a_packed_body_is_refused_unread_on_every_address(running: Desk, unpacked: list[str]) -> None:
    async def refused(method: str, path: str, encoding: str) -> None:
        async with talk(running.url) as stranger:
            # Not one byte of the body is sent: the answer can't have waited for it.
            await stranger.ask(method, path, Content_Encoding=encoding, Content_Length="200000")
            assert await stranger.status() == 415, (method, path, encoding)
            assert "connection: close" in stranger.head
            assert json.loads(await stranger.ended())["code"] == "unknown_encoding"

    async with asyncio.TaskGroup() as group:
        for method, path in ADDRESSES:
            for encoding in ENCODINGS:
                group.create_task(refused(method, path, encoding))
    assert unpacked == []


async def test_a_packed_body_in_chunks_is_refused_too(running: Desk, unpacked: list[str]) -> None:
    packed = zlib.compress(bytes(2_000_000))

    async def refused(method: str, path: str) -> None:
        async with talk(running.url) as stranger:
            await stranger.ask(
                method,
                path,
                b"%x\r\n%s\r\n" % (len(packed), packed),  # the last chunk never comes
                Content_Encoding="deflate",
                Transfer_Encoding="chunked",
            )
            assert await stranger.status() == 415, (method, path)
            await stranger.ended()

    async with asyncio.TaskGroup() as group:
        for method, path in ADDRESSES:
            group.create_task(refused(method, path))
    assert unpacked == []


async def test_a_packed_body_is_not_even_asked_for(running: Desk) -> None:
    async with talk(running.url) as stranger:
        await stranger.ask(
            "POST", "/api/v1/session", Content_Encoding="gzip", Content_Length="200", Expect="100-continue"
        )
        assert await stranger.status() == 415
    async with talk(running.url) as stranger:
        body = b'{"login": "agent1", "password": "wrong"}'
        await stranger.ask(
            "POST",
            "/api/v1/session",
            Origin=running.url,
            Content_Type="application/json",
            Content_Length=str(len(body)),
            Expect="100-continue",
        )
        assert await stranger.status() == 100
        stranger.writer.write(body)
        assert await stranger.status() == 401


@pytest.mark.parametrize("kind", ["application/json" + ";a=b" * 1900, "a" + "(" * 7000])
async def test_a_long_content_type_is_not_even_looked_at(
    running: Desk, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    looked: list[str] = []
    parse = helpers.parse_content_type
    monkeypatch.setattr(helpers, "parse_content_type", lambda raw: (looked.append(raw), parse(raw))[1])
    async with talk(running.url) as stranger:
        await stranger.ask("POST", "/api/v1/session", b"{}", Origin=running.url, Content_Length="2", Content_Type=kind)
        assert await stranger.status() == 415
    assert looked == []


async def test_identity_is_no_packing(browser: Browser) -> None:
    assert (await browser.ask("GET", "/healthz", Content_Encoding="identity")).status == 200


async def test_an_answer_is_never_packed_either_and_sockets_offer_no_packing(
    agent: Browser, unpacked: list[str]
) -> None:
    ticket = (await agent.json("POST", "/api/v1/tickets", status=201))["ticket"]
    async with agent.http.ws_connect(
        f"{agent.url}/ws?ticket={ticket}", headers={"Origin": agent.url}, compress=15
    ) as socket:
        assert socket.compress == 0  # offered by the browser, not taken by the server
        await socket.send_str('{"op": "ping"}')
        async with asyncio.timeout(20):
            await socket.receive()
    assert unpacked == []


@pytest.mark.parametrize("length", [str(bodies.PUBLIC_BODY_MAX_BYTES + 1), "99999999999"])
async def test_a_body_that_says_it_is_too_large_is_refused_unread(running: Desk, length: str) -> None:
    async with talk(running.url) as stranger:
        await stranger.ask("POST", "/api/v1/session", Content_Length=length, Content_Type="application/json")
        assert await stranger.status() == 413
        assert "connection: close" in stranger.head


async def test_of_a_body_in_chunks_no_more_is_read_than_may_be(running: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    read = bodies.PUBLIC_BODY_MAX_BYTES
    whole = web_request.BaseRequest.read

    async def counted(self: web_request.BaseRequest) -> bytes:
        content = await whole(self)
        kept.append(len(content))
        return content

    monkeypatch.setattr(web_request.BaseRequest, "read", counted)
    async with talk(running.url) as stranger:
        chunk = b"%x\r\n%s\r\n" % (1024, b" " * 1024)
        await stranger.ask(
            "POST",
            "/api/v1/session",
            chunk * (read // 1024 + 1),
            Origin=running.url,
            Content_Type="application/json",
            Transfer_Encoding="chunked",
        )
        assert await stranger.status() == 413  # though the body has not ended
    assert kept == []


@pytest.mark.parametrize("deep", [b"[" * 2000, b'{"a":' * 700, b'{"login":' + b"[" * 3000 + b"]" * 900 + b"}"])
async def test_deep_json_of_a_stranger_is_refused(browser: Browser, deep: bytes) -> None:
    async with browser.http.post(
        f"{browser.url}/api/v1/session",
        data=deep,
        headers={"Origin": browser.url, "Content-Type": "application/json"},
    ) as answer:
        assert answer.status == 422


async def test_deep_and_wide_json_of_an_agent_is_refused_in_a_few_words(agent: Browser) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    wide = b"{" + b",".join(b'"%x":1' % number for number in range(25_000)) + b"}"
    for body in (deep, b'{"fields":' + deep + b"}", wide):
        async with agent.http.post(
            f"{agent.url}/api/v1/records",
            data=body,
            headers={"Origin": agent.url, "Content-Type": "application/json"},
        ) as answer:
            assert answer.status == 422
            assert len(await answer.read()) < 20_000


async def test_no_request_is_given_an_unpacker(running: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above answers 415; the parser, which is before it, must not have unpacked anything by then."""
    told: list[bool] = []
    begin = web_protocol.RequestHandler.__init__

    def noted(self: web_protocol.RequestHandler, *args: object, **named: object) -> None:
        told.append(bool(named.get("auto_decompress", True)))
        begin(self, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(web_protocol.RequestHandler, "__init__", noted)
    async with talk(running.url) as stranger:
        await stranger.ask("GET", "/healthz", gzip.compress(bytes(1000)), Content_Length="29", Content_Encoding="gzip")
        assert await stranger.status() == 415
    assert told == [False]
