"""What the routes of accounts answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from typing import Self

from ctiserver.model.person import Agent, Role, User
from ctiserver.web.routes import Answer


class MeAnswer(Answer):
    """Who is logged in."""

    user_id: str
    login: str
    name: str
    role: Role
    language: str
    agent_id: str | None  #: None: takes no calls


class SessionAnswer(Answer):
    """Who is logged in in this browser, if anybody."""

    me: MeAnswer | None


class UserAnswer(Answer):
    """An account; with an extension it is an agent."""

    login: str
    name: str
    role: Role
    language: str
    skills: list[str]
    regions: list[str]
    department: str
    calendar: str  #: whose hours they work; empty: at any time
    active: bool  #: False: shut, nobody can log in to it
    extension: str | None
    interface: str | None  #: the agent's phone as Asterisk names it
    pbx: str | None  #: where the phone is; empty: the first in ctiserver.yaml

    @classmethod
    def of_user(cls, user: User, agent: Agent | None) -> Self:
        """An account, and the agent that it is."""
        phone = {name: getattr(agent, name, None) for name in ("extension", "interface", "pbx")}
        return cls.of(user, **phone)


class UsersAnswer(Answer):
    """Every account, by log-in name."""

    users: list[UserAnswer]
