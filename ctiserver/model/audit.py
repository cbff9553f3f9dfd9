"""The audit log: who did what that others must be able to look up later, when, to what, and from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from ctiserver.model.json_value import Json

AuditAct = Literal[
    "logged_in",
    "log_in_failed",
    "log_ins_held_up",  #: after too many failures; the subject is the account, empty if it was none's
    "logged_out",
    "account_added",
    "account_changed",  #: role, or shut and opened again; the detail says from what to what
    "password_changed",
    "token_issued",  #: for another system to speak with; the detail says until when
    "agent_state_set",  #: by somebody else
    "member_moved",
    "call_monitored",  #: listened to, whispered into, barged in; the detail holds the reason
    "record_linked",  #: to another contact, and its history with it
    "recording_played",
    "recording_masked",
    "recording_unmasked",
    "exported",
    "set_aside_again",  #: work that could not be done is to be tried again
    "set_aside_dropped",  #: it is not to be done any more
]
ACTS: tuple[AuditAct, ...] = get_args(AuditAct)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act. Entries are added, never changed and never removed: the database itself refuses."""

    id: str  #: ULID; entries sort by it
    at: datetime
    actor: str  #: ``user:<login>``, ``cli:<account on the machine>``, ``system``
    act: AuditAct
    subject: str = ""  #: to what: ``agent:agent1``, ``call:<id>``, ``record:<id>``, ``user:<login>``
    peer: str = ""  #: the address that asked; empty on the machine itself
    detail: Mapping[str, Json] = field(default_factory=dict)
