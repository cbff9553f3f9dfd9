"""The one HTTP client: deadlines, size caps, and only hosts that an admin allowed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ctiserver.errors import CtiError

#: A larger answer is none that a flow or a webhook could use.
MAX_ANSWER_BYTES = 256 * 1024
#: Of an answer that nobody reads but in an error.
_COMPLAINT_BYTES = 300


class RequestFailed(CtiError):
    """The web service could not be asked, answered with an error, or not within its limits."""


class HttpClient:
    """POST of JSON to allowed hosts. Made by :meth:`open`."""

    def __init__(self, session: aiohttp.ClientSession, hosts: Collection[str]) -> None:
        self._session = session
        self._hosts = frozenset(hosts)

    @classmethod
    @asynccontextmanager
    async def open(cls, hosts: Collection[str], *, timeout_s: float = 10.0) -> AsyncIterator[HttpClient]:
        """A client for ``hosts`` (``name`` or ``name:port``); each request ends after ``timeout_s`` at the latest."""
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        # Redirects are never followed: they could lead to a host that nobody allowed.
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield cls(session, hosts)

    async def post_json(self, url: str, data: Mapping[str, Any]) -> Any | None:
        """The JSON that the service answers; None for 404. Raises RequestFailed."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not ({parts.netloc, parts.hostname or ""} & self._hosts):
            raise RequestFailed(f"{parts.netloc or url!r} is not among http.allow_hosts")
        try:
            async with self._session.post(url, json=dict(data), allow_redirects=False) as response:
                if response.status == 404:
                    return None
                if response.status != 200:
                    raise RequestFailed(f"{parts.netloc} answered {response.status}")
                body = await response.content.read(MAX_ANSWER_BYTES + 1)
                while len(body) <= MAX_ANSWER_BYTES and (more := await response.content.read(MAX_ANSWER_BYTES)):
                    body += more
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RequestFailed(f"{parts.netloc} can't be asked: {error or type(error).__name__}") from None
        if len(body) > MAX_ANSWER_BYTES:
            raise RequestFailed(f"{parts.netloc} answered with more than {MAX_ANSWER_BYTES} bytes")
        try:
            return json.loads(body)
        except ValueError:
            raise RequestFailed(f"{parts.netloc} did not answer with JSON") from None


async def deliver(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> tuple[int, str]:
    """POST to an address that an admin wrote into the settings; the status, and the beginning of what was answered.

    Redirects are not followed. Raises RequestFailed if there is no answer.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            said = await response.content.read(_COMPLAINT_BYTES)
            return response.status, said.decode("utf-8", "replace")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise RequestFailed(f"{urlsplit(url).netloc} can't be asked: {error or type(error).__name__}") from None


async def get_json(url: str, timeout_s: float = 2.0) -> tuple[int, Any]:
    """Status and JSON of an address that is our own, such as another ctiserver's ``/readyz``. Raises RequestFailed."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            return response.status, json.loads(await response.content.read(MAX_ANSWER_BYTES))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise RequestFailed(f"{url} can't be asked: {error or type(error).__name__}") from None


@asynccontextmanager
async def websocket(url: str, protocol: str, *, timeout_s: float) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A WebSocket to an address that an admin wrote into the settings. Raises RequestFailed if it does not open."""
    async with aiohttp.ClientSession() as session:
        try:
            async with asyncio.timeout(timeout_s):
                socket = await session.ws_connect(
                    url, protocols=(protocol,), heartbeat=20.0, max_msg_size=MAX_ANSWER_BYTES, autoclose=True
                )
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise RequestFailed(f"{url} does not open: {error or type(error).__name__}") from None
        async with socket:
            yield socket
