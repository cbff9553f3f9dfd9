"""Builds accounts and log-in sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.users.http import may_reach, routes
from ctiserver.features.users.passwords import Passwords
from ctiserver.features.users.service import Users
from ctiserver.web.sessions import Sessions, SessionTimes

__all__ = ["Needs", "Users", "UsersContribution", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What accounts take from other features."""

    account_added: Callable[[], Awaitable[None]]  #: a new account may be an agent


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersContribution(Contribution[Users]):
    """Accounts, and the sessions by which the web server knows who asks."""

    sessions: Sessions


def build(context: FeatureContext, needs: Needs) -> UsersContribution:
    """Accounts and their sessions."""
    web = context.settings.web
    users = Users(
        context.database,
        context.clock,
        Passwords(context.password_hasher),
        pbxs=tuple(context.pbxs),
        calendars=lambda: context.hours().calendars,
    )
    sessions = Sessions(
        users.session_store(),
        context.clock,
        secure=web.public_url.startswith("https:"),
        times=SessionTimes(lifetime=timedelta(hours=web.session_hours)),
    )
    return UsersContribution(
        service=users,
        sessions=sessions,
        routes=routes(users, sessions, context.hub, needs.account_added),
        rules={"login": may_reach(users)},
    )
