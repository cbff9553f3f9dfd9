"""Log-in, log-out, and who am I; and, for admins, everybody's accounts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from aiohttp import web
from pydantic import Field

from ctiserver.features.users.answers import MeAnswer, SessionAnswer, UserAnswer, UsersAnswer
from ctiserver.features.users.passwords import LONGEST, SHORTEST
from ctiserver.features.users.service import Users
from ctiserver.model.person import Role
from ctiserver.web.access import ADMINS, EVERYBODY, PERSON, PUBLIC, Intent, Person, Rule, person_of
from ctiserver.web.clients import CLIENT
from ctiserver.web.hub import Hub
from ctiserver.web.routes import Body, Route, json_answer, nothing, read_body
from ctiserver.web.sessions import Sessions


class LogIn(Body):
    """POST /api/v1/session"""

    login: Annotated[str, Field(min_length=1, max_length=40)]
    password: Annotated[str, Field(min_length=1, max_length=LONGEST)]


class OwnPassword(Body):
    """POST /api/v1/me/password"""

    old: Annotated[str, Field(min_length=1, max_length=LONGEST)]
    new: Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST)]


class NewPassword(Body):
    """POST /api/v1/users/{login}/password"""

    password: Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST)]


class NewUser(Body):
    """POST /api/v1/users"""

    login: Annotated[str, Field(min_length=1, max_length=40)]
    name: Annotated[str, Field(max_length=200)] = ""
    role: Role
    password: Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST)]
    language: Annotated[str, Field(min_length=2, max_length=16)] = "zh-CN"
    skills: tuple[Annotated[str, Field(min_length=1, max_length=40)], ...] = ()
    regions: tuple[Annotated[str, Field(min_length=1, max_length=40)], ...] = ()
    department: Annotated[str, Field(max_length=40)] = ""
    calendar: Annotated[str, Field(max_length=40)] = ""  #: whose hours they work; empty: at any time
    extension: Annotated[str, Field(pattern=r"^[0-9]{2,6}$")] | None = None
    # A phone of ours, and no way out: `PJSIP/NUMBER@TRUNK` or a Local channel would be dialled past dialling.yaml.
    interface: Annotated[str, Field(pattern=r"^(PJSIP|SIP|IAX2)/[A-Za-z0-9_.-]{1,90}$")] | None = None
    pbx: Annotated[str, Field(max_length=64)] | None = (
        None  #: where the phone is; the first in ctiserver.yaml if left out
    )


class UserChange(Body):
    """PATCH /api/v1/users/{login}"""

    role: Role | None = None
    active: bool | None = None
    skills: tuple[Annotated[str, Field(min_length=1, max_length=40)], ...] | None = None
    regions: tuple[Annotated[str, Field(min_length=1, max_length=40)], ...] | None = None
    department: Annotated[str, Field(max_length=40)] | None = None
    calendar: Annotated[str, Field(max_length=40)] | None = None


class Preferences(Body):
    """PATCH /api/v1/me"""

    language: Annotated[str, Field(min_length=2, max_length=16)]


def routes(users: Users, sessions: Sessions, hub: Hub, added: Callable[[], Awaitable[None]]) -> list[Route]:
    """What accounts offer over HTTP. ``added`` is told of a new account, which may be an agent."""

    async def log_in(request: web.Request) -> web.Response:
        body = await read_body(request, LogIn)
        person, known = await users.log_in(body.login, body.password, request[CLIENT], sessions.known(request))
        response = json_answer(MeAnswer.of(person), status=201)
        await sessions.end(request, response)  # a browser has one session; the old token dies with this log-in
        await sessions.begin(response, person)
        sessions.make_known(response, known)
        return response

    async def log_out(request: web.Request) -> web.Response:
        response = nothing()
        await sessions.end(request, response)
        await users.log_out(person_of(request))
        hub.log_out(person_of(request).user_id)
        return response

    async def session(request: web.Request) -> web.Response:
        """Who is logged in in this browser, if anybody: asked first by a page, so nobody is not an error."""
        return json_answer(SessionAnswer(me=MeAnswer.of(request[PERSON]) if PERSON in request else None))

    async def me(request: web.Request) -> web.Response:
        return json_answer(MeAnswer.of(person_of(request)))

    async def prefer(request: web.Request) -> web.Response:
        body = await read_body(request, Preferences)
        await users.set_language(person_of(request).user_id, body.language)
        return nothing()

    async def own_password(request: web.Request) -> web.Response:
        body, person = await read_body(request, OwnPassword), person_of(request)
        await users.change_password(person, body.old, body.new)
        hub.log_out(person.user_id)
        response = nothing()
        await sessions.begin(response, person)  # this browser goes on; every other one logs in again
        return response

    async def everybody(_: web.Request) -> web.Response:
        return json_answer(UsersAnswer(users=[UserAnswer.of_user(*pair) for pair in await users.everybody()]))

    async def add(request: web.Request) -> web.Response:
        body, person = await read_body(request, NewUser), person_of(request)
        await users.add(**dict(body), by=person.actor, peer=person.peer)
        await added()
        return json_answer(await _one(users, body.login), status=201)

    async def change(request: web.Request) -> web.Response:
        body, person = await read_body(request, UserChange), person_of(request)
        login = request.match_info["login"]
        user = await users.change(login, **dict(body), by=person.actor, peer=person.peer)
        if body.role is not None or body.active is not None:
            hub.log_out(user.id)
        return json_answer(await _one(users, login))

    async def set_password(request: web.Request) -> web.Response:
        body, person = await read_body(request, NewPassword), person_of(request)
        user_id = await users.set_password(
            request.match_info["login"], body.password, by=person.actor, peer=person.peer
        )
        hub.log_out(user_id)
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
        Route(method="POST", path="/api/v1/me/password", handler=own_password, roles=EVERYBODY, body=OwnPassword),
        Route(method="GET", path="/api/v1/users", handler=everybody, roles=ADMINS, answer=UsersAnswer),
        Route(
            method="POST",
            path="/api/v1/users",
            handler=add,
            roles=ADMINS,
            body=NewUser,
            answer=UserAnswer,
            status=(201,),
        ),
        Route(
            method="PATCH",
            path="/api/v1/users/{login}",
            handler=change,
            roles=ADMINS,
            body=UserChange,
            answer=UserAnswer,
        ),
        Route(
            method="POST",
            path="/api/v1/users/{login}/password",
            handler=set_password,
            roles=ADMINS,
            body=NewPassword,
        ),
    ]


def may_reach(users: Users) -> Rule:
    """The rule of ``{login}``: accounts are the admins' business."""

    async def rule(person: Person, login: str, _: Intent) -> bool:
        return person.role in ADMINS and any(user.login == login for user, _ in await users.everybody())

    return rule


async def _one(users: Users, login: str) -> UserAnswer:
    return next(UserAnswer.of_user(user, agent) for user, agent in await users.everybody() if user.login == login)
