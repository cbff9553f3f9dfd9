"""Identities. Each is a type of its own, so that a checker tells them apart."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NewType

PbxName = NewType("PbxName", str)  #: the name an admin gave a PBX in ctiserver.yaml
Uniqueid = NewType("Uniqueid", str)  #: Asterisk's name for a channel; opaque, unique only within its PBX
Linkedid = NewType("Linkedid", str)  #: Asterisk's grouping of channels; may change during a call
Interface = NewType("Interface", str)  #: a device as app_queue names it: ``PJSIP/agent1``
QueueName = NewType("QueueName", str)
CallId = NewType("CallId", str)  #: ULID
ContactId = NewType("ContactId", str)  #: ULID
SiteId = NewType("SiteId", str)  #: ULID
DeviceId = NewType("DeviceId", str)  #: ULID
RecordId = NewType("RecordId", str)  #: ULID
RecordingId = NewType("RecordingId", str)  #: ULID
PhotoId = NewType("PhotoId", str)  #: ULID
WorkOrderId = NewType("WorkOrderId", str)  #: ULID
AgentId = NewType("AgentId", str)  #: short name: ``agent1``
UserId = NewType("UserId", str)  #: ULID of a log-in account

#: With what the uniqueid begins of a channel by which a supervisor joins an agent's call.
MONITORING = "cti-monitor-"

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Asterisk writes "<seconds>.<n>", or "<systemname>-<seconds>.<n>"; anything else is taken as it is.
_UNIQUEID_SECONDS = re.compile(r"(?:^|-)(\d{9,11})\.\d+$")

#: Milliseconds and entropy of the last one made; the entropy's top bit is left free, so that counting never overflows.
_last_ulid = (-1, 0)


def _ulid(milliseconds: int, entropy: int) -> str:
    value = (milliseconds & ((1 << 48) - 1)) << 80 | (entropy & ((1 << 80) - 1))
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def new_ulid(now: datetime, random_bits: Callable[[int], int] = secrets.randbits) -> str:
    """A fresh ULID: 26 characters that sort by time. ``now`` is aware UTC.

    Those of one millisecond in one process sort in the order they were made, as the ULID specification has it.
    """
    global _last_ulid  # noqa: PLW0603 - the order is one of the whole process
    milliseconds = int(now.timestamp() * 1000)
    last_milliseconds, last_entropy = _last_ulid
    entropy = last_entropy + 1 if milliseconds == last_milliseconds else random_bits(80) & ((1 << 79) - 1)
    _last_ulid = (milliseconds, entropy)
    return _ulid(milliseconds, entropy)


def earliest_ulid(at: datetime) -> str:
    """No ULID made then or later sorts before it. ``at`` is aware UTC."""
    return _ulid(int(at.timestamp() * 1000), 0)


def began_at(uniqueid: Uniqueid) -> datetime | None:
    """The second in which a channel began, which Asterisk writes into its uniqueid; None where it is not there."""
    seconds = _UNIQUEID_SECONDS.search(uniqueid)
    return datetime.fromtimestamp(int(seconds[1]), UTC) if seconds else None


def call_id(pbx: PbxName, uniqueid: Uniqueid) -> CallId:
    """The id of the call that began with this channel: the same after a restart, in a replay, and from AMI and AGI.

    Its time part is the second that Asterisk wrote into the uniqueid, else zero; the rest is a hash of (pbx, uniqueid).
    """
    seconds = _UNIQUEID_SECONDS.search(uniqueid)
    digest = hashlib.sha256(f"{pbx}\0{uniqueid}".encode()).digest()
    return CallId(_ulid(int(seconds[1]) * 1000 if seconds else 0, int.from_bytes(digest[:10], "big")))
