"""The server's console as a browser asks it: cookies, an Origin, JSON."""

from __future__ import annotations

import asyncio
import http.cookiejar
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

from ctiserver.errors import CtiError
from ctiserver.model.json_value import Json

_ANSWERS_WITHIN_S = 30.0


class ServerSilent(CtiError):
    """The server did not start, or did not answer."""


@dataclass
class Console:
    """One person's, at ``url``; a server that restarts on the same port knows the person still."""

    url: str
    _cookies: http.cookiejar.CookieJar = field(default_factory=http.cookiejar.CookieJar)

    async def log_in(self, login: str, password: str) -> None:
        """Later questions are this person's. Raises ServerSilent."""
        status, said = await self.ask("POST", "/api/v1/session", {"login": login, "password": password})
        if status != 201:
            raise ServerSilent(f"{login} can't log in: {status} {said}")

    async def get(self, path: str) -> Json:
        """What a route answers. Raises ServerSilent."""
        found: Json = json.loads(await self.text(path))
        return found

    async def text(self, path: str) -> str:
        """The same as text."""
        status, text = await asyncio.to_thread(self._ask, "GET", path, None)
        if status != 200:
            raise ServerSilent(f"{path}: {status} {text}")
        return text

    async def ask(self, method: str, path: str, body: Mapping[str, Json] | None = None) -> tuple[int, Json]:
        """Status and body, whatever they are; status 0 where there was no answer."""
        status, text = await asyncio.to_thread(self._ask, method, path, body)
        try:
            return status, json.loads(text) if text else None
        except ValueError:
            return status, text

    def _ask(self, method: str, path: str, body: Mapping[str, Json] | None) -> tuple[int, str]:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self._cookies)
        )
        request = urllib.request.Request(  # noqa: S310 - our own server, by http
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Origin": self.url, "Content-Type": "application/json"},
            method=method,
        )
        try:
            with opener.open(request, timeout=_ANSWERS_WITHIN_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode("utf-8", "replace")
        except OSError as error:
            return 0, str(error)
