"""Who may do what: the one way from a request to an object.

Everything is denied unless it was declared. A route names the roles that may call it, and each ``{parameter}`` of its
path must have a rule here that says who may reach the object it names; the server asks before the handler runs, so
that no handler can forget to. What a person may not reach does not exist for them: 404, not 403.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from ctiserver.model.ids import AgentId, UserId
from ctiserver.model.person import PEOPLES_ROLES, Role
from ctiserver.web.problems import NoAgent, NotAllowed, NotFound, NotLoggedIn

#: ``answer``: to say what happened to something, which also those may say who had it before.
Intent = Literal["read", "write", "answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who is asking: a logged-in account, and the agent they are, if they take calls."""

    user_id: UserId
    login: str
    name: str
    role: Role
    language: str
    agent_id: AgentId | None
    peer: str = ""  #: the address that this request comes from

    @property
    def actor(self) -> str:
        """How a record's timeline names them."""
        return f"user:{self.login}"


Rule = Callable[[Person, str, Intent], Awaitable[bool]]
"""May this person read, write or answer for the object with this id? Unknown ids are False, like those of others."""

EVERYBODY: frozenset[Role] = frozenset(PEOPLES_ROLES)
SUPERVISORS: frozenset[Role] = frozenset[Role]({"supervisor", "admin"})
ADMINS: frozenset[Role] = frozenset[Role]({"admin"})
#: Those who sit at the desk: a supervisor takes calls too when it burns.
DESK: frozenset[Role] = frozenset[Role]({"agent", "supervisor", "admin"})
MACHINES: frozenset[Role] = frozenset[Role]({"machine"})
#: A handler that also serves those who have not logged in.
PUBLIC: frozenset[Role] = frozenset()

PERSON = web.RequestKey("person", Person)


def person_of(request: web.Request) -> Person:
    """Who is asking. Raises NotLoggedIn on a public route when nobody is logged in."""
    if PERSON not in request:
        raise NotLoggedIn("log in first")
    return request[PERSON]


def agent_of(request: web.Request) -> AgentId:
    """The agent that the asking person is. Raises NoAgent if the account takes no calls."""
    agent_id = person_of(request).agent_id
    if agent_id is None:
        raise NoAgent("this account is not an agent: it has no phone; an admin makes one with `ctiserver user add`")
    return agent_id


class Access:
    """The gate, built once from every feature's rules."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        """``rules`` by path parameter: ``record_id``, ``order_id`` …"""
        self._rules = dict(rules)

    @property
    def parameters(self) -> frozenset[str]:
        """The path parameters that have a rule."""
        return frozenset(self._rules)

    def role(self, person: Person | None, roles: frozenset[Role]) -> None:
        """Raises NotLoggedIn or NotAllowed unless the person has one of the roles. An empty set is public."""
        if not roles:
            return
        if person is None:
            raise NotLoggedIn("log in first")
        if person.role not in roles:
            raise NotAllowed(f"the role {person.role} does not include this")

    async def reach(self, person: Person | None, parameter: str, value: str, intent: Intent) -> None:
        """Raises NotFound unless the person may reach the object that ``value`` names."""
        if person is None:
            raise NotLoggedIn("log in first")
        if not await self._rules[parameter](person, value, intent):
            raise NotFound("not found, or you don't have access")
