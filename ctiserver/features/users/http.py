"""Log-in, log-out, and who am I."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from ctiserver.features.users.answers import MeAnswer, SessionAnswer
from ctiserver.features.users.passwords import LONGEST
from ctiserver.features.users.service import Users
from ctiserver.model.json_value import JsonObject
from ctiserver.web.access import EVERYBODY, PERSON, PUBLIC, Person, person_of
from ctiserver.web.hub import Hub
from ctiserver.web.routes import Body, Route, json_answer, nothing, read_body
from ctiserver.web.sessions import Sessions


class LogIn(Body):
    """POST /api/v1/session"""

    login: Annotated[str, Field(min_length=1, max_length=40)]
    password: Annotated[str, Field(min_length=1, max_length=LONGEST)]


class Preferences(Body):
    """PATCH /api/v1/me"""

    language: Annotated[str, Field(min_length=2, max_length=16)]


def routes(users: Users, sessions: Sessions, hub: Hub) -> list[Route]:
    """What accounts offer over HTTP."""

    async def log_in(request: web.Request) -> web.Response:
        body = await read_body(request, LogIn)
        person = await users.log_in(body.login, body.password, request.remote or "")
        response = json_answer(_me(person), status=201)
        await sessions.end(request, response)  # a browser has one session; the old token dies with this log-in
        await sessions.begin(response, person)
        return response

    async def log_out(request: web.Request) -> web.Response:
        response = nothing()
        await sessions.end(request, response)
        hub.log_out(person_of(request).user_id)
        return response

    async def session(request: web.Request) -> web.Response:
        """Who is logged in in this browser, if anybody: what a page asks first, so it is no error that nobody is."""
        return json_answer({"me": _me(request[PERSON]) if PERSON in request else None})

    async def me(request: web.Request) -> web.Response:
        return json_answer(_me(person_of(request)))

    async def prefer(request: web.Request) -> web.Response:
        body = await read_body(request, Preferences)
        await users.set_language(person_of(request).user_id, body.language)
        return nothing()

    return [
        Route(
            method="POST",
            path="/api/v1/session",
            handler=log_in,
            roles=PUBLIC,
            body=LogIn,
            answer=MeAnswer,
            status=(201,),
        ),
        Route(method="GET", path="/api/v1/session", handler=session, roles=PUBLIC, answer=SessionAnswer),
        Route(method="DELETE", path="/api/v1/session", handler=log_out, roles=EVERYBODY),
        Route(method="GET", path="/api/v1/me", handler=me, roles=EVERYBODY, answer=MeAnswer),
        Route(method="PATCH", path="/api/v1/me", handler=prefer, roles=EVERYBODY, body=Preferences),
    ]


def _me(person: Person) -> JsonObject:
    return {
        "user_id": person.user_id,
        "login": person.login,
        "name": person.name,
        "role": person.role,
        "language": person.language,
        "agent_id": person.agent_id,
    }
