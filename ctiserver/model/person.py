"""Accounts, and the agents among them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from ctiserver.model.ids import AgentId, Interface, PbxName, UserId

#: ``machine`` is another system, such as a CRM or a device's alarm centre; it comes with a token, not with a password.
Role = Literal["agent", "supervisor", "technician", "dispatcher", "storekeeper", "cashier", "admin", "machine"]
ROLES: tuple[Role, ...] = get_args(Role)
#: What people may be, and work orders be for.
PEOPLES_ROLES: tuple[Role, ...] = tuple(role for role in ROLES if role != "machine")


#: How an agent's PBX is written that is the first in ctiserver.yaml, whatever its name there.
FIRST_PBX = PbxName("")


def place_of(pbx: PbxName, first: PbxName | None) -> PbxName:
    """How agents name this PBX, where ``first`` is the first one; None: there is but one."""
    return FIRST_PBX if first in (None, pbx) else pbx


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A log-in account. Skills, regions, department and hours are what work orders ask for."""

    id: UserId
    login: str
    name: str
    password_hash: str  #: argon2id, with its parameters
    role: Role
    language: str = "en"
    skills: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    department: str = ""
    calendar: str = ""  #: whose hours they work; empty: at any time
    away_until: datetime | None = None  #: ill or on leave until then: gets no new work orders by rule
    active: bool = True
    created_at: datetime
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A log-in under way; the token itself is never stored."""

    token_hash: str
    user_id: UserId
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A person who takes calls."""

    id: AgentId
    user_id: UserId | None
    name: str
    extension: str
    pbx: PbxName = FIRST_PBX  #: where the phone is
    interface: Interface  #: the phone as app_queue names it
    skills: tuple[str, ...] = ()  #: what the queues ask for
    active: bool = True
    revision: int = 1
