"""Log-in sessions: a random token in a cookie that scripts can't read; the server keeps only its hash.

The token rotates while it is used. The old one stays good for a moment, since requests that were under way with it
must not be thrown out. A session ends at a fixed time after log-in, whatever happens.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import web

from ctiserver.clock import Clock
from ctiserver.model.person import Session
from ctiserver.web.access import Person

COOKIE = "ctiserver_session"
KNOWN_COOKIE = "ctiserver_known"
_KNOWN_FOR = timedelta(days=90)
_KNOWN_MAX_LENGTH = 400
#: Of a token: 32 random bytes, in URL-safe base64.
_TOKEN_LENGTH = 43


def hash_of(token: str) -> str:
    """What is stored instead of a token. Tokens have 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def bearer(request: web.Request) -> str:
    """The token that a request says; empty where it says none, as browsers do of themselves."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """How long things last."""

    lifetime: timedelta = timedelta(hours=12)  #: a shift; then the person logs in again
    rotate_after: timedelta = timedelta(minutes=15)
    grace: timedelta = timedelta(seconds=60)  #: the old token's, after a rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStore:
    """Where sessions are kept: four use cases that the users feature gives."""

    find: Callable[[str], Awaitable[tuple[Session, Person] | None]]  #: by token hash; None for accounts shut meanwhile
    add: Callable[[Session], Awaitable[None]]
    replace: Callable[[Session, Session], Awaitable[bool]]
    """Keep the second beside the first, whose end is moved up; False if the first had been replaced before."""
    remove: Callable[[str], Awaitable[None]]  #: by token hash


class Sessions:
    """Cookies on one side, the store on the other."""

    def __init__(self, store: SessionStore, clock: Clock, *, secure: bool, times: SessionTimes | None = None) -> None:
        """``secure``: browsers reach this server by https, so that the cookie must never go over plain http."""
        self._store = store
        self._clock = clock
        self._times = times or SessionTimes()
        self._secure = secure
        prefix = "__Host-" if secure else ""
        self._name = f"{prefix}{COOKIE}"
        self._known_name = f"{prefix}{KNOWN_COOKIE}"

    async def begin(self, response: web.StreamResponse, person: Person) -> Session:
        """A new session for a person who proved who they are; its cookie is set on ``response``."""
        now = self._clock.now()
        token, session = self._new(person, created_at=now, expires_at=now + self._times.lifetime, now=now)
        await self._store.add(session)
        self._set_cookie(response, token, session)
        return session

    def known(self, request: web.Request) -> str:
        """What the browser got when somebody last logged in with it; empty if nobody has."""
        return request.cookies.get(self._known_name, "")[:_KNOWN_MAX_LENGTH]

    def make_known(self, response: web.StreamResponse, known: str) -> None:
        """Let the browser prove later that somebody has logged in with it: it opens nothing, and outlives sessions."""
        response.set_cookie(
            self._known_name,
            known,
            path="/",
            httponly=True,
            secure=self._secure,
            samesite="Strict",
            max_age=round(_KNOWN_FOR.total_seconds()),
        )

    async def identify(self, request: web.Request) -> tuple[Session, Person] | None:
        """Whose request this is; None without a session that is good now.

        Another system says its token itself (``Authorization: Bearer``); then no cookie counts.
        """
        token = bearer(request) or request.cookies.get(self._name, "")
        if len(token) != _TOKEN_LENGTH:
            return None
        found = await self._store.find(hash_of(token))
        if found is None or found[0].expires_at <= self._clock.now():
            return None
        return found

    async def rotate(self, response: web.StreamResponse, session: Session, person: Person) -> None:
        """Give the browser a fresh token, when it is time for one."""
        now = self._clock.now()
        if now - session.seen_at < self._times.rotate_after:
            return
        token, fresh = self._new(person, created_at=session.created_at, expires_at=session.expires_at, now=now)
        aged = Session(
            token_hash=session.token_hash,
            user_id=session.user_id,
            created_at=session.created_at,
            seen_at=now,
            expires_at=min(session.expires_at, now + self._times.grace),
        )
        if await self._store.replace(aged, fresh):
            self._set_cookie(response, token, fresh)

    async def end(self, request: web.Request, response: web.StreamResponse) -> None:
        """Log out: the token is worthless from now on."""
        token = request.cookies.get(self._name, "")
        if token:
            await self._store.remove(hash_of(token))
        response.del_cookie(self._name, path="/", secure=self._secure, httponly=True, samesite="Strict")

    def _new(self, person: Person, *, created_at: datetime, expires_at: datetime, now: datetime) -> tuple[str, Session]:
        token = new_token()
        session = Session(
            token_hash=hash_of(token),
            user_id=person.user_id,
            created_at=created_at,
            seen_at=now,
            expires_at=expires_at,
        )
        return token, session

    def _set_cookie(self, response: web.StreamResponse, token: str, session: Session) -> None:
        response.set_cookie(
            self._name,
            token,
            path="/",
            httponly=True,
            secure=self._secure,
            samesite="Strict",
            max_age=max(0, round((session.expires_at - self._clock.now()).total_seconds())),
        )
