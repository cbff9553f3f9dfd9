"""Use cases of accounts: add one, prove who you are, change a password; and sessions kept in the database."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog
from prometheus_client import Counter

from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.features.users.attempts import (
    AttemptCount,
    Attempts,
    by_account,
    by_address,
    by_browser,
    is_known,
    make_known,
)
from ctiserver.features.users.passwords import Passwords
from ctiserver.metrics import REGISTRY
from ctiserver.model.audit import AuditAct
from ctiserver.model.ids import AgentId, Interface, PbxName, UserId, new_ulid
from ctiserver.model.json_value import Json
from ctiserver.model.person import FIRST_PBX, Agent, Role, Session, User
from ctiserver.store.database import Database
from ctiserver.store.unit_of_work import UnitOfWork
from ctiserver.web.access import Person
from ctiserver.web.problems import WrongLogin
from ctiserver.web.sessions import SessionStore, hash_of, new_token

log = structlog.get_logger(__name__)

LOG_INS_HELD_UP = Counter(
    "ctiserver_log_ins_held_up", "Log-ins held up after too many wrong passwords", registry=REGISTRY
)

_LOGIN = re.compile(r"[a-z][a-z0-9._-]{0,39}")
#: What may stand in an AMI value and in a dialplan without a second thought.
#: Only a Local channel has a context, and only the command line, which the PBX's admin has, takes such a one.
_INTERFACE = re.compile(r"(?:PJSIP|SIP|IAX2)/[A-Za-z0-9_.-]{1,90}|Local/[A-Za-z0-9_.-]{1,40}@[A-Za-z0-9_./-]{1,50}")
LANGUAGES = ("zh-CN", "en")


class Users:
    """Accounts and log-ins."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        passwords: Passwords | None = None,
        *,
        pbxs: Sequence[str] = (),
        calendars: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """``pbxs``: those of ctiserver.yaml, in its order, for agents' phones. ``calendars``: the names of those that
        people can work by now; None: any name is taken."""
        self._pbxs = pbxs
        self._calendars = calendars
        self._database = database
        self._clock = clock
        self._passwords = passwords or Passwords()
        self._attempts = Attempts(clock)

    async def add(
        self,
        login: str,
        *,
        name: str,
        role: Role,
        password: str,
        language: str = "zh-CN",
        skills: tuple[str, ...] = (),
        regions: tuple[str, ...] = (),
        department: str = "",
        calendar: str = "",
        extension: str | None = None,
        interface: str | None = None,
        pbx: str | None = None,
        by: str = "system",
        peer: str = "",
    ) -> User:
        """Add an account; with an ``extension`` it is an agent, whose id is the log-in name and whose phone is
        ``interface`` (``PJSIP/<login>`` unless said otherwise) on ``pbx`` (the first, unless said otherwise).

        ``calendar``: whose hours they work; empty: at any time. Raises UserFault for a name that is taken or can't be
        used, for a calendar that is not there, and for a password that is too short.
        """
        if not _LOGIN.fullmatch(login):
            raise UserFault(
                f"{login!r} can't be a log-in name",
                fix="Write small letters, digits, dot, dash, underscore; a letter first",
            )
        if language not in LANGUAGES:
            raise UserFault(f"{language!r} is not a console language", fix=f"Write {' or '.join(LANGUAGES)}")
        phone = interface or f"PJSIP/{login}"
        if extension is not None and not (re.fullmatch(r"[0-9]{2,6}", extension) and _INTERFACE.fullmatch(phone)):
            raise UserFault(
                f"extension {extension!r} with phone {phone!r} can't be used",
                fix="Write two to six digits, and a phone as Asterisk names it, such as PJSIP/agent1",
            )
        place = self._place(pbx)
        self._check_calendar(calendar)
        user = User(
            id=UserId(new_ulid(self._clock.now())),
            login=login,
            name=name or login,
            password_hash=await self._passwords.hash(password),
            role=role,
            language=language,
            skills=skills,
            regions=regions,
            department=department,
            calendar=calendar,
            created_at=self._clock.now(),
        )
        async with self._database.unit_of_work() as uow:
            if await uow.users.by_login(login) is not None:
                raise UserFault(f"there is an account {login} already", fix="Choose another name, or use user passwd")
            await uow.users.add(user)
            if extension is not None:
                await self._add_agent(uow, user, extension, Interface(phone), place)
            await uow.audit.note(
                self._clock.now(), by, "account_added", f"user:{login}", peer=peer, detail={"role": role}
            )
        return user

    def _check_calendar(self, name: str) -> None:
        if not name or self._calendars is None:
            return
        known = self._calendars()
        if name not in known:
            raise UserFault(
                f"no calendar is named {name}",
                where="config/calendars",
                fix=f"Write {' or '.join(sorted(known))}, or none" if known else "Write the calendar first",
            )

    def _place(self, pbx: str | None) -> PbxName:
        """A PBX as agents have it. Raises UserFault for one that is not named in ctiserver.yaml."""
        if pbx is not None and pbx not in self._pbxs:
            raise UserFault(
                f"there is no PBX {pbx}",
                where="ctiserver.yaml: pbxs",
                fix=f"Write {' or '.join(self._pbxs)}" if self._pbxs else "Name it there",
            )
        return FIRST_PBX if pbx is None or pbx == self._pbxs[0] else PbxName(pbx)

    async def _add_agent(self, uow: UnitOfWork, user: User, extension: str, interface: Interface, pbx: PbxName) -> None:
        holder = await uow.agents.by_extension(extension, pbx) or await uow.agents.by_interface(interface, pbx)
        if holder is not None:
            raise UserFault(
                f"extension {holder.extension} on {holder.interface} belongs to {holder.id}", fix="Choose another"
            )
        await uow.agents.add(
            Agent(
                id=AgentId(user.login),
                user_id=user.id,
                name=user.name,
                extension=extension,
                pbx=pbx,
                interface=interface,
                skills=user.skills,
            )
        )

    async def log_in(self, login: str, password: str, peer: str, known: str = "") -> tuple[Person, str]:
        """Prove who you are. ``peer`` is the address that asks, ``known`` what its browser got at its last log-in.

        Gives the person, and what the browser is known by from now on. Raises WrongLogin, whichever of the two is
        wrong; TooMany after too many failures.
        """
        login = login.strip().lower()
        async with self._database.reading() as uow:
            user = await uow.users.by_login(login)
        recognised = user is not None and is_known(known, login, user.password_hash)
        counts: tuple[AttemptCount, ...] = (by_account(login, exists=user is not None), by_address(peer))
        if recognised:
            counts = (by_browser(known, login),)
        held_up = self._attempts.begin(*counts)
        try:
            stored = user.password_hash if user and user.active else None
            right = await self._passwords.matches(stored, password, known=recognised)
        except BaseException:
            self._attempts.undo(*counts)  # it was not checked
            raise
        if user is None or not right:
            if user is not None:  # a name that is not an account's may be a password typed into the wrong field
                await self._note_log_in("log_in_failed", login, peer)
            if held_up:
                await self._note_held_up(login if user is not None else "", peer)
            raise WrongLogin("the name or the password is wrong")
        self._attempts.undo(*counts)
        self._attempts.forget(counts[0])
        await self._note_log_in("logged_in", login, peer)
        async with self._database.reading() as uow:
            return await _person(uow, user), make_known(known, login, user.password_hash)

    async def _note_held_up(self, login: str, peer: str) -> None:
        """Somebody guesses: admins see it in the audit log, those who watch over the server by a counter."""
        LOG_INS_HELD_UP.inc()
        log.warning("log_ins_held_up", login=login, peer=peer)
        async with self._database.unit_of_work() as uow:
            subject = f"user:{login}" if login else ""
            await uow.audit.note(self._clock.now(), "system", "log_ins_held_up", subject, peer=peer)

    async def log_out(self, person: Person) -> None:
        """Keep that a person logged out; the session's own end is ``web.sessions``'."""
        await self._note_log_in("logged_out", person.login, person.peer)

    async def _note_log_in(self, act: AuditAct, login: str, peer: str) -> None:
        async with self._database.unit_of_work() as uow:
            await uow.audit.note(self._clock.now(), f"user:{login}", act, f"user:{login}", peer=peer)

    async def set_password(self, login: str, password: str, *, by: str = "system", peer: str = "") -> UserId:
        """Give an account a new password and end its sessions; whose it is. Raises UserFault."""
        stored = await self._passwords.hash(password)
        async with self._database.unit_of_work() as uow:
            user = await _known(uow, login)
            await uow.users.update(replace(user, password_hash=stored))
            await uow.sessions.remove_of(user.id)
            await uow.audit.note(self._clock.now(), by, "password_changed", f"user:{login}", peer=peer)
        return user.id

    async def issue_token(self, login: str, *, days: int, by: str = "system") -> str:
        """A token with which another system speaks for ``days``; it is shown once and kept as a hash.

        A new password for the account, or shutting it, ends its tokens. Raises UserFault unless the account is a
        machine's: people prove who they are by their password, shift by shift.
        """
        now = self._clock.now()
        token = new_token()
        async with self._database.unit_of_work() as uow:
            user = await _known(uow, login)
            if user.role != "machine":
                raise UserFault(
                    f"{login} is {user.role}; only machines have tokens",
                    fix="Make an account for the other system: ctiserver user add NAME --role machine",
                )
            until = now + timedelta(days=days)
            await uow.sessions.add(
                Session(token_hash=hash_of(token), user_id=user.id, created_at=now, seen_at=now, expires_at=until)
            )
            await uow.audit.note(now, by, "token_issued", f"user:{login}", detail={"until": until.isoformat()})
        return token

    async def change_password(self, person: Person, old: str, new: str) -> None:
        """A person's own new password; their sessions end. Raises WrongLogin if the old one is wrong, UserFault."""
        counts = (by_account(person.login, exists=True), by_address(person.peer))
        async with self._database.reading() as uow:
            user = await uow.users.get(person.user_id)
        self._attempts.begin(*counts)
        try:
            right = await self._passwords.matches(user.password_hash, old, known=True)
        except BaseException:
            self._attempts.undo(*counts)
            raise
        if not right:
            raise WrongLogin("the old password is wrong")
        self._attempts.undo(*counts)
        await self.set_password(person.login, new, by=person.actor, peer=person.peer)

    async def change(
        self,
        login: str,
        *,
        role: Role | None = None,
        active: bool | None = None,
        skills: tuple[str, ...] | None = None,
        regions: tuple[str, ...] | None = None,
        department: str | None = None,
        calendar: str | None = None,
        by: str,
        peer: str = "",
    ) -> User:
        """Give an account another role, shut it or open it again: it must log in again then. And what work orders ask
        for: skills, regions, department, whose hours they work. None leaves a thing as it is.

        Raises UserFault for an unknown account or calendar, and for an account without whom nobody could change
        accounts any more.
        """
        self._check_calendar(calendar or "")
        wanted: dict[str, Any] = {
            "role": role,
            "active": active,
            "skills": skills,
            "regions": regions,
            "department": department,
            "calendar": calendar,
        }
        async with self._database.unit_of_work() as uow:
            user = await _known(uow, login)
            changed = replace(user, **{name: value for name, value in wanted.items() if value is not None})
            if changed == user:
                return user
            if user.role == "admin" and user.active and not (changed.role == "admin" and changed.active):
                admins = [one for one in await uow.users.everybody("admin") if one.active and one.id != user.id]
                if not admins:
                    raise UserFault(
                        f"{login} is the last admin: after this, nobody could change accounts",
                        fix="Make another account an admin first",
                    )
            await uow.users.update(changed)
            if (changed.role, changed.active) != (user.role, user.active):
                await uow.sessions.remove_of(user.id)
            detail: dict[str, Json] = {}
            if changed.role != user.role:
                detail |= {"from": user.role, "to": changed.role}
            if changed.active != user.active:
                detail["active"] = changed.active
            for name in ("skills", "regions", "department", "calendar"):
                if getattr(changed, name) != getattr(user, name):
                    new = getattr(changed, name)
                    detail[name] = list(new) if isinstance(new, tuple) else new
            await uow.audit.note(self._clock.now(), by, "account_changed", f"user:{login}", peer=peer, detail=detail)
        return changed

    async def set_language(self, user_id: UserId, language: str) -> None:
        """What the console speaks to this person. Raises UserFault for a language it does not speak."""
        if language not in LANGUAGES:
            raise UserFault(f"{language!r} is not a console language", fix=f"Write {' or '.join(LANGUAGES)}")
        async with self._database.unit_of_work() as uow:
            user = await uow.users.lock(user_id)
            await uow.users.update(replace(user, language=language))

    async def everybody(self) -> list[tuple[User, Agent | None]]:
        """Every account, by log-in name, and the agent it is."""
        async with self._database.reading() as uow:
            agents = {agent.user_id: agent for agent in await uow.agents.everybody()}
            return [(user, agents.get(user.id)) for user in await uow.users.everybody()]

    def session_store(self) -> SessionStore:
        """Sessions kept in the database."""

        async def find(token_hash: str) -> tuple[Session, Person] | None:
            async with self._database.reading() as uow:
                found = await uow.sessions.logged_in(token_hash)
            if found is None:
                return None
            person = Person(
                user_id=found.user_id,
                login=found.login,
                name=found.name,
                role=found.role,
                language=found.language,
                agent_id=found.agent_id,
            )
            return found.session, person

        async def add(session: Session) -> None:
            async with self._database.unit_of_work() as uow:
                await uow.sessions.remove_expired(self._clock.now())
                await uow.sessions.add(session)

        async def replace_(old: Session, new: Session) -> bool:
            async with self._database.unit_of_work() as uow:
                found = await uow.sessions.find(old.token_hash)
                if found is None or found.expires_at <= old.expires_at:
                    return False
                await uow.sessions.touch(old.token_hash, old.seen_at, old.expires_at)
                await uow.sessions.add(new)
                return True

        async def remove(token_hash: str) -> None:
            async with self._database.unit_of_work() as uow:
                await uow.sessions.remove(token_hash)

        return SessionStore(find=find, add=add, replace=replace_, remove=remove)


async def _known(uow: UnitOfWork, login: str) -> User:
    user = await uow.users.by_login(login)
    if user is None:
        raise UserFault(f"there is no account {login}", fix="`ctiserver user list` shows them")
    return user


async def _person(uow: UnitOfWork, user: User) -> Person:
    agent = await uow.agents.by_user(user.id)
    return Person(
        user_id=user.id,
        login=user.login,
        name=user.name,
        role=user.role,
        language=user.language,
        agent_id=agent.id if agent is not None and agent.active else None,
    )
