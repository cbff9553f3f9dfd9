"""What is wrong with a PBX, told apart by what it did, in a sentence that says what to do.

Two kinds: what passes by itself (:class:`PbxAway`), and what somebody has to change (:class:`PbxFault`).
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from ctiserver.errors import PeerLost, UserFault
from ctiserver.settings import PbxSettings

TroubleKind = Literal[
    "unreachable",  #: nothing takes a connection at its address
    "silent",  #: something takes connections, and answers nothing
    "starting",  #: logged in, and Asterisk has not said yet that it is fully booted
    "stopping",  #: Asterisk is shutting down: calls go on, orders are refused
    "lost",  #: the connection ended
    "not_asterisk",  #: another program answers there
    "login_refused",
    "rights",  #: the AMI account may not do what is needed
    "too_old",
    "no_queues",  #: app_queue is not loaded
    "unreadable",  #: Asterisk's answers are none
]
TROUBLE_KINDS: tuple[TroubleKind, ...] = get_args(TroubleKind)

#: The manager class (``write =`` in manager.conf) that each action needs; one with "" needs none.
CLASS_OF = {
    "Atxfer": "call",
    "CoreSettings": "reporting",
    "CoreShowChannels": "reporting",
    "CoreStatus": "reporting",
    "DBGetTree": "reporting",
    "Hangup": "call",
    "Originate": "originate",
    "Ping": "",
    "QueueAdd": "agent",
    "QueuePause": "agent",
    "QueuePenalty": "agent",
    "QueueRemove": "agent",
    "QueueStatus": "",
    "Redirect": "call",
    "Setvar": "call",
}

#: What Asterisk answers to every action while it shuts down, before it looks at rights or at a log-in's secret.
SHUTTING_DOWN = "Asterisk is shutting down"
_NO_SUCH_ACTION = "Invalid/unknown command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with a PBX, and since when."""

    kind: TroubleKind
    why: str  #: a sentence for the log, /readyz and the command line
    since: datetime


class PbxAway(PeerLost):
    """The PBX is not there just now; the link comes back by itself."""

    def __init__(self, kind: TroubleKind, why: str) -> None:
        super().__init__(why)
        self.kind: TroubleKind = kind


class PbxFault(UserFault):
    """The PBX is there, and somebody has to change something before it can be used."""

    def __init__(self, kind: TroubleKind, what: str, *, where: str, fix: str) -> None:
        super().__init__(what, where=where, fix=fix)
        self.kind: TroubleKind = kind


def stopping() -> PbxAway:
    """It refuses an action, since it shuts down."""
    return PbxAway("stopping", f"{SHUTTING_DOWN}: calls that go on may end, and no orders are taken")


def unreachable(settings: PbxSettings, error: OSError) -> PbxAway:
    """No connection could be made."""
    address = f"{settings.host}:{settings.port}"
    if isinstance(error, ConnectionRefusedError) or error.errno == errno.ECONNREFUSED:
        why = f"nothing listens at {address}: Asterisk does not run, or manager.conf has `enabled = no` or another port"
    elif isinstance(error, socket.gaierror):
        why = f"the name {settings.host} can't be resolved ({error.strerror})"
    else:
        why = f"no connection to {address} ({error.strerror or error})"
    return PbxAway("unreachable", why)


def silent(settings: PbxSettings, what: str) -> PbxAway:
    """Something there accepts connections and says nothing."""
    return PbxAway("silent", f"{settings.host}:{settings.port} {what}")


def not_asterisk(settings: PbxSettings, said: bytes, where: str) -> PbxFault:
    """Another program answers at the PBX's address."""
    shown = said[:60].decode("ascii", "replace").strip()
    return PbxFault(
        "not_asterisk",
        f"what answers at {settings.host}:{settings.port} is not Asterisk's manager interface: it says {shown!r}",
        where=where,
        fix="Name the port of manager.conf, 5038 unless it says otherwise",
    )


def login_refused(settings: PbxSettings, refusal: str, where: str) -> PbxFault:
    """Asterisk does not say whether it was name, secret or address; its own log does."""
    return PbxFault(
        "login_refused",
        f"the PBX refused the AMI log-in of {settings.username}: {refusal}",
        where=where,
        fix=f"Make username and secret those of manager.conf on {settings.host}, and see that its permit, deny and acl "
        "let this machine in; Asterisk's log says which of them it was",
    )


def refused(settings: PbxSettings, action: str, refusal: str, where: str) -> PbxFault:
    """An action that the link can't do without was refused."""
    if action == "QueueStatus" and refusal.startswith(_NO_SUCH_ACTION):
        return no_queues(where)
    needed = CLASS_OF.get(action, "")
    return PbxFault(
        "rights",
        f"the AMI account {settings.username} may not use {action}: {refusal}",
        where=where,
        fix=(f"Add `{needed}` to its `write =` in manager.conf; " if needed else "Give it ")
        + "the classes of the shipped config/manager.conf"
        + (" are enough" if needed else ""),
    )


def lacking(settings: PbxSettings, actions: frozenset[str]) -> str:
    """A sentence on the actions that an account is not given though agents and flows need them; empty for none.

    ``actions``: those that it is given; none at all means that this is not known.
    """
    missing = sorted(action for action in CLASS_OF if action not in actions) if actions else []
    if not missing:
        return ""
    classes = sorted({CLASS_OF[action] for action in missing} - {""})
    return (
        f"the AMI account {settings.username} may not use {', '.join(missing)}: "
        f"add {', '.join(f'`{name}`' for name in classes)} to its `write =` in manager.conf"
    )


def no_queues(where: str) -> PbxFault:
    """app_queue is not loaded."""
    return PbxFault(
        "no_queues",
        "the module app_queue is not loaded in this Asterisk: it has no queues",
        where=where,
        fix="`asterisk -rx 'module load app_queue.so'` loads it; modules.conf says why it was not",
    )
