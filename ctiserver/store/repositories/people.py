"""Accounts, log-ins and agents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.model.agent import WrapUpKept
from ctiserver.model.ids import AgentId, Interface, PbxName, UserId
from ctiserver.model.person import FIRST_PBX, Agent, Role, Session, User
from ctiserver.store import rows, tables
from ctiserver.store.repository import RevisedRepository


class Users(RevisedRepository[User, UserId]):
    """Log-in accounts."""

    table = tables.users
    kind = User

    async def by_login(self, login: str) -> User | None:
        return await self._one(sa.select(self.table).where(self.table.c.login == login))

    async def everybody(self, role: str | None = None) -> list[User]:
        """Everybody, or those of one role, by log-in."""
        statement = sa.select(self.table).order_by(self.table.c.login)
        return await self._all(statement if role is None else statement.where(self.table.c.role == role))


class Agents(RevisedRepository[Agent, AgentId]):
    """Those who take calls."""

    table = tables.agents
    kind = Agent

    async def by_user(self, user: UserId) -> Agent | None:
        return await self._one(sa.select(self.table).where(self.table.c.user_id == user))

    async def by_interface(self, interface: Interface, pbx: PbxName = FIRST_PBX) -> Agent | None:
        """Whose phone this is, there."""
        return await self._one(
            sa.select(self.table).where(self.table.c.pbx == pbx, self.table.c.interface == interface)
        )

    async def by_extension(self, extension: str, pbx: PbxName = FIRST_PBX) -> Agent | None:
        """Who is reached by these digits, there."""
        its = self.table.c
        return await self._one(sa.select(self.table).where(its.pbx == pbx, its.extension == extension).limit(1))

    async def everybody(self) -> list[Agent]:
        return await self._all(sa.select(self.table).order_by(self.table.c.id))


class WrapUps:
    """After-call work under way, by agent; what is over stays until the next one."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def keep(self, wrap_up: WrapUpKept) -> None:
        """In the place of the agent's one before."""
        await rows.insert_or_replace(self._connection, tables.wrap_ups, rows.values(tables.wrap_ups, wrap_up))

    async def everybody(self) -> list[WrapUpKept]:
        return [rows.build(WrapUpKept, row) for row in await self._connection.execute(sa.select(tables.wrap_ups))]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """A session, and what every request wants to know of whose it is."""

    session: Session
    user_id: UserId
    login: str
    name: str
    role: Role
    language: str
    agent_id: AgentId | None  #: None: takes no calls


#: Made once, and one look-up instead of three, as every request asks it.
_LOGGED_IN = (
    sa.select(
        tables.sessions,
        tables.users.c.login,
        tables.users.c.name,
        tables.users.c.role,
        tables.users.c.language,
        tables.agents.c.id.label("agent_id"),
    )
    .join(tables.users, tables.users.c.id == tables.sessions.c.user_id)
    .outerjoin(tables.agents, sa.and_(tables.agents.c.user_id == tables.users.c.id, tables.agents.c.active))
    .where(tables.sessions.c.token_hash == sa.bindparam("token_hash_"), tables.users.c.active)
)


class Sessions:
    """Log-ins under way, by the hash of their token."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, session: Session) -> None:
        await rows.insert(self._connection, tables.sessions, session)

    async def find(self, token_hash: str) -> Session | None:
        found = await self._connection.execute(
            sa.select(tables.sessions).where(tables.sessions.c.token_hash == token_hash)
        )
        row = found.one_or_none()
        return None if row is None else rows.build(Session, row)

    async def logged_in(self, token_hash: str) -> LoggedIn | None:
        """Whose session it is; None where there is none, or the account was shut."""
        row = (await self._connection.execute(_LOGGED_IN, {"token_hash_": token_hash})).one_or_none()
        if row is None:
            return None
        session = Session(
            token_hash=row.token_hash,
            user_id=row.user_id,
            created_at=row.created_at,
            seen_at=row.seen_at,
            expires_at=row.expires_at,
        )
        return LoggedIn(
            session=session,
            user_id=row.user_id,
            login=row.login,
            name=row.name,
            role=row.role,
            language=row.language,
            agent_id=row.agent_id,
        )

    async def touch(self, token_hash: str, seen_at: datetime, expires_at: datetime) -> None:
        await self._connection.execute(
            sa.update(tables.sessions)
            .where(tables.sessions.c.token_hash == token_hash)
            .values(seen_at=seen_at, expires_at=expires_at)
        )

    async def remove(self, token_hash: str) -> None:
        await self._connection.execute(sa.delete(tables.sessions).where(tables.sessions.c.token_hash == token_hash))

    async def remove_of(self, user: UserId) -> None:
        """End every log-in of one account."""
        await self._connection.execute(sa.delete(tables.sessions).where(tables.sessions.c.user_id == user))

    async def remove_expired(self, now: datetime) -> int:
        """Returns how many were removed."""
        done = await self._connection.execute(sa.delete(tables.sessions).where(tables.sessions.c.expires_at <= now))
        return done.rowcount
