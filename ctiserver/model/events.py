"""Domain events: what the PBX's thousands of messages come down to. Published by ``pbx``, read by features.

Every event is frozen and carries identity and time; ``at`` is aware UTC, of the PBX's own stamp where it gives one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ctiserver.model.ids import CallId, Interface, Linkedid, PbxName, QueueName, Uniqueid

Direction = Literal["inbound", "outbound", "internal"]
QueueOutcome = Literal["answered", "abandoned", "timeout", "empty", "full", "key", "unknown"]
RingOutcome = Literal["answered", "no_answer", "busy", "declined", "cancelled", "failed"]
CallOutcome = Literal["answered", "ivr", "voicemail", "abandoned", "timeout", "busy", "no_answer", "failed"]
HangupBy = Literal["caller", "agent", "pbx"]
TransferKind = Literal["blind", "attended", "blonde"]
MemberStatus = Literal["unknown", "free", "in_use", "busy", "invalid", "unavailable", "ringing", "on_hold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PbxEvent:
    """Something a PBX said."""

    pbx: PbxName
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PbxUp(PbxEvent):
    """The link is up, and the state reconciled: what is known of this PBX is true again."""

    version: str
    epoch: datetime  #: when this Asterisk started; calls of an older epoch are over
    restarted: bool = False  #: it is not the process that was known before


@dataclass(frozen=True, slots=True, kw_only=True)
class PbxDown(PbxEvent):
    """The link is down: calls go on over there, and what is known of them here ages from ``at``."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PbxTroubled(PbxEvent):
    """What is known to be wrong with a PBX is something else now, or nothing: the link knows what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallKnownLater(PbxEvent):
    """The call log has a call whose end was not seen, or knows its end better; its other events do not follow."""

    call_id: CallId


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent(PbxEvent):
    """Something happened to one call."""

    call_id: CallId
    linkedid: Linkedid


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted(CallEvent):
    """A first channel appeared. ``ani`` and ``dnis`` are as dialled, empty where there is none."""

    uniqueid: Uniqueid
    channel: str
    direction: Direction
    ani: str
    caller_name: str
    dnis: str
    context: str
    reconstructed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerEnteredQueue(CallEvent):
    """A caller waits in an app_queue queue."""

    uniqueid: Uniqueid
    queue: QueueName
    position: int  #: 1 = next


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLeftQueue(CallEvent):
    """A queue visit ended."""

    uniqueid: Uniqueid
    queue: QueueName
    outcome: QueueOutcome
    interface: Interface | None  #: who answered, if anybody did
    wait_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRinging(CallEvent):
    """A phone is being rung for this call: by a queue, else by a dial (``queue`` is None).

    Here and below ``interface`` is the real phone, ``member`` what app_queue calls it; they differ for members behind
    a Local channel (``PJSIP/101`` and ``Local/101@from-queue/n``). An agent is known by either.
    """

    interface: Interface
    queue: QueueName | None
    member: Interface | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRingEnded(CallEvent):
    """A phone stopped ringing."""

    interface: Interface
    queue: QueueName | None
    outcome: RingOutcome
    ring_ms: int | None
    member: Interface | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConnected(CallEvent):
    """A person talks with the caller: from a queue, a dial, a transfer or a pick-up."""

    interface: Interface
    queue: QueueName | None
    member: Interface | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDisconnected(CallEvent):
    """A person's part in the call ended, by hang-up or by transfer; wrap-up begins here."""

    interface: Interface
    queue: QueueName | None
    talk_ms: int | None
    member: Interface | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHeld(CallEvent):
    """A party put the others on hold (``held``) or took them back."""

    interface: Interface
    held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTransferred(CallEvent):
    """A call was passed on. ``to`` is the interface, queue or extension it went to."""

    kind: TransferKind
    by: Interface | None
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsMerged(CallEvent):
    """Two calls turned out to be one; ``call_id`` stays, ``absorbed`` is closed with this as its reason."""

    absorbed: CallId


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingBegan(CallEvent):
    """The PBX records the call."""

    channel: str  #: the one that is recorded
    file: str  #: within the PBX's folder of recordings
    talk_only: bool  #: nothing is written but talk, and no file is made where nobody talked


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingStopped(CallEvent):
    """A recording ended before its call did."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackTried(CallEvent):
    """An agent answered what waited in a caller's stead, and the caller was called. ``call_id`` is this new call's."""

    wished_in: CallId  #: the call in which the caller wished it
    reached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueVisit:
    """One stay of a caller in one queue."""

    queue: QueueName
    entered_at: datetime | None
    left_at: datetime | None
    outcome: QueueOutcome
    agent: Interface | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One transfer, as the field counts them."""

    kind: TransferKind
    by: Interface | None
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What one party did, from when to when. Half-open."""

    party: str  #: ``caller`` or an interface
    kind: Literal["ivr", "queue", "ring", "talk", "hold", "wrap_up", "consult", "monitor", "voicemail"]
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSummary:
    """All that is known of a call. ``complete`` is False while it goes on, or when its end was never seen."""

    call_id: CallId
    pbx: PbxName
    linkedids: tuple[Linkedid, ...]
    direction: Direction
    ani: str
    caller_name: str
    dnis: str
    started_at: datetime | None
    answered_at: datetime | None  #: the first person
    ended_at: datetime | None
    outcome: CallOutcome | None  #: None while that is open, or where it can't be known
    answered_by: tuple[Interface, ...]  #: in order; the real phones, never a Local half
    queue_visits: tuple[QueueVisit, ...]
    transfers: tuple[Transfer, ...]
    hangup_cause: int | None  #: Q.850
    hangup_by: HangupBy | None
    segments: tuple[Segment, ...]
    reconstructed: bool
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(CallEvent):
    """The last channel is gone (or its PBX restarted: ``reason``)."""

    summary: CallSummary
    reason: Literal["hangup", "pbx_restarted", "merged", "lost"] = "hangup"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberChanged(PbxEvent):
    """An agent's seat in a queue, as app_queue has it now; ``present`` is False once it was removed."""

    queue: QueueName
    interface: Interface
    name: str
    present: bool
    dynamic: bool
    paused: bool
    pause_reason: str
    penalty: int
    status: MemberStatus
    in_call: bool
    paused_at: datetime | None = None  #: by the PBX's clock, in whole seconds
