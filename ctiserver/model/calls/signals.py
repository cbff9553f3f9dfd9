"""What a PBX says about calls, typed, and only what something consumes; ``pbx.translate`` makes these from AMI.

``at`` is seconds since 1970 by the PBX's clock, or None where it gave no time. They are tuples because tens of
thousands a second are made.
"""

from __future__ import annotations

from typing import NamedTuple

from ctiserver.model.events import MemberStatus
from ctiserver.model.ids import CallId, Interface, Linkedid, QueueName, Uniqueid


class Who(NamedTuple):
    """A channel as an event shows it; empty where the event does not say."""

    uniqueid: Uniqueid
    linkedid: Linkedid
    channel: str
    number: str
    name: str
    context: str
    exten: str


class ChannelBegan(NamedTuple):
    """Newchannel. ``ringing_in``: somebody calls us; else the PBX made the channel to call somebody."""

    at: float | None
    who: Who
    ringing_in: bool


class ChannelRenamed(NamedTuple):
    """Rename: a masquerade (pick-up, some transfers) put another device behind the same channel."""

    at: float | None
    uniqueid: Uniqueid
    channel: str


class HangupAsked(NamedTuple):
    """HangupRequest: the far end of this channel hung up; ``cause`` is Q.850, 0 where it gave none."""

    at: float | None
    who: Who
    cause: int


class SoftHangupAsked(NamedTuple):
    """SoftHangupRequest: the PBX itself was told to end the channel; its ``Cause`` is a flag, not Q.850."""

    at: float | None
    who: Who


class ChannelEnded(NamedTuple):
    """Hangup."""

    at: float | None
    who: Who
    cause: int


class DialBegan(NamedTuple):
    """DialBegin. ``source`` is None where the PBX dials by itself (Originate)."""

    at: float | None
    source: Who | None
    dest: Who
    dial_string: str


class DialEnded(NamedTuple):
    """DialEnd with Asterisk's DIALSTATUS word."""

    at: float | None
    dest: Who
    status: str


class OriginateAnswered(NamedTuple):
    """OriginateResponse: where the originated channel was sent to."""

    at: float | None
    uniqueid: Uniqueid
    exten: str


class QueueJoined(NamedTuple):
    """QueueCallerJoin."""

    at: float | None
    who: Who
    queue: QueueName
    position: int


class QueueGivenUp(NamedTuple):
    """QueueCallerAbandon: the caller went, or the queue's time was up; what went before tells which."""

    at: float | None
    who: Who
    queue: QueueName


class QueueLeft(NamedTuple):
    """QueueCallerLeave: by whatever way out."""

    at: float | None
    who: Who
    queue: QueueName


class QueueResult(NamedTuple):
    """``QUEUESTATUS`` as the dialplan sees it after Queue(): TIMEOUT, FULL, JOINEMPTY, LEAVEEMPTY …

    ``queue`` is empty where only the variable was seen.
    """

    at: float | None
    who: Who
    status: str
    queue: QueueName


class MemberCalled(NamedTuple):
    """AgentCalled: a queue rings a member; ``member`` is the member as app_queue names it."""

    at: float | None
    who: Who
    dest: Who
    queue: QueueName
    member: Interface


class MemberAnswered(NamedTuple):
    """AgentConnect."""

    at: float | None
    who: Who
    dest: Who
    queue: QueueName
    member: Interface


class MemberRangOut(NamedTuple):
    """AgentRingNoAnswer: did not answer, was busy or declined; the channel's hang-up cause tells."""

    at: float | None
    dest: Who


class BridgeEntered(NamedTuple):
    """BridgeEnter. ``holding``: nobody hears anybody, as in a parking lot; ``occupants``: how many are in it now."""

    at: float | None
    who: Who
    bridge: str
    holding: bool
    occupants: int


class BridgeLeft(NamedTuple):
    """BridgeLeave."""

    at: float | None
    who: Who
    bridge: str


class HoldChanged(NamedTuple):
    """Hold and Unhold: this channel's phone put the others on hold, or took them back."""

    at: float | None
    who: Who
    held: bool


class LocalJoined(NamedTuple):
    """LocalBridge: these two channels are the halves of one Local channel."""

    at: float | None
    one: Who
    two: Who


class BlindTransferred(NamedTuple):
    """BlindTransfer that succeeded."""

    at: float | None
    by: Who
    exten: str


class AttendedTransferred(NamedTuple):
    """AttendedTransfer that succeeded. ``target`` is None for an application, and now and then for no reason."""

    at: float | None
    by: Who
    second: Who
    transferee: Who | None
    target: Who | None
    second_bridge: str


class PickedUp(NamedTuple):
    """Pickup: ``who`` takes the call that rings at ``target``."""

    at: float | None
    who: Who
    target: Who


class VoicemailEnded(NamedTuple):
    """A message is done, by VMSTATUS or our dialplan's word; perhaps one that was not seen to begin."""

    at: float | None
    who: Who


class VoicemailBegan(NamedTuple):
    """The caller leaves a message: VoiceMail() runs, or the dialplan says that it records one."""

    at: float | None
    who: Who


class RecordingSwitched(NamedTuple):
    """Our dialplan says that a recording began (``on``) or ended. ``talk_only``: only talk goes into the file."""

    at: float | None
    who: Who
    on: bool
    file: str
    talk_only: bool


class CallbackDialled(NamedTuple):
    """Our dialplan says that it has called back anyone who wished so in the call ``wished_in``."""

    at: float | None
    who: Who
    wished_in: CallId
    reached: bool


class MemberSeen(NamedTuple):
    """A queue member as any event or list shows it. ``present`` is False once it was removed."""

    at: float | None
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
    paused_at: float | None = None  #: when it was paused last, in whole seconds


class ChannelRow(NamedTuple):
    """A channel in a snapshot: CoreShowChannel."""

    who: Who
    bridge: str
    age_s: float
    ringing: bool
    voicemail: bool  #: it runs VoiceMail()


class EntryRow(NamedTuple):
    """A waiting caller in a snapshot: QueueEntry."""

    uniqueid: Uniqueid
    queue: QueueName
    position: int
    waited_s: float


class Snapshot(NamedTuple):
    """All that a PBX has at one moment. ``restarted``: it is not the PBX process that was known before."""

    at: float
    channels: tuple[ChannelRow, ...]
    entries: tuple[EntryRow, ...]
    members: tuple[MemberSeen, ...]
    restarted: bool


CallSignal = (
    ChannelBegan
    | ChannelRenamed
    | HangupAsked
    | SoftHangupAsked
    | ChannelEnded
    | DialBegan
    | DialEnded
    | OriginateAnswered
    | QueueJoined
    | QueueGivenUp
    | QueueLeft
    | QueueResult
    | MemberCalled
    | MemberAnswered
    | MemberRangOut
    | BridgeEntered
    | BridgeLeft
    | HoldChanged
    | LocalJoined
    | BlindTransferred
    | AttendedTransferred
    | PickedUp
    | VoicemailBegan
    | VoicemailEnded
    | RecordingSwitched
    | CallbackDialled
)
Signal = CallSignal | MemberSeen
