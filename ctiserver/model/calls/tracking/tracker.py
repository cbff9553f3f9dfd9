"""The table: which signal does what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ctiserver.model.calls import signals as s
from ctiserver.model.calls.call import Call, is_local
from ctiserver.model.calls.tracking import bridging, channels, dialling, queueing, transferring
from ctiserver.model.calls.tracking.book import Book, Sides
from ctiserver.model.calls.tracking.reconcile import reconcile
from ctiserver.model.calls.tracking.retelling import retell
from ctiserver.model.calls.tracking.standing import ChannelState, standings
from ctiserver.model.events import CallEvent
from ctiserver.model.ids import Interface, PbxName

_TABLE: dict[type, Callable[[Book, Any], None]] = {
    s.ChannelBegan: channels.channel_began,
    s.ChannelRenamed: channels.channel_renamed,
    s.LocalJoined: channels.local_joined,
    s.HangupAsked: channels.hangup_asked,
    s.SoftHangupAsked: channels.soft_hangup_asked,
    s.ChannelEnded: channels.channel_ended,
    s.VoicemailBegan: channels.voicemail_began,
    s.VoicemailEnded: channels.voicemail_ended,
    s.RecordingSwitched: channels.recording_switched,
    s.CallbackDialled: channels.callback_dialled,
    s.DialBegan: dialling.dial_began,
    s.DialEnded: dialling.dial_ended,
    s.OriginateAnswered: dialling.originate_answered,
    s.PickedUp: dialling.picked_up,
    s.QueueJoined: queueing.queue_joined,
    s.QueueGivenUp: queueing.queue_given_up,
    s.QueueLeft: queueing.queue_left,
    s.QueueResult: queueing.queue_result,
    s.MemberCalled: queueing.member_called,
    s.MemberAnswered: queueing.member_answered,
    s.MemberRangOut: queueing.member_rang_out,
    s.BridgeEntered: bridging.bridge_entered,
    s.BridgeLeft: bridging.bridge_left,
    s.HoldChanged: bridging.hold_changed,
    s.BlindTransferred: transferring.blind_transferred,
    s.AttendedTransferred: transferring.attended_transferred,
}


@dataclass(slots=True, repr=False)
class CallTracker:
    """All calls of one PBX; pure.

    ``midstream``: a channel that was not seen to begin is taken in. So for a recording, which may begin anywhere; a
    live link has a snapshot instead, and what is unknown after that is over already.
    """

    pbx: PbxName
    sides: Sides = field(default_factory=Sides)
    midstream: bool = True
    _book: Book = field(init=False)

    def __post_init__(self) -> None:
        self._book = Book(self.pbx, self.sides, self.midstream)

    @property
    def ignored(self) -> int:
        """How many signals were about channels that are not known."""
        return self._book.ignored

    def apply(self, signal: s.CallSignal) -> list[CallEvent]:
        """Take one signal in; the events that follow from it, in order."""
        book = self._book
        if signal.at is not None:
            book.last_at = signal.at
        _TABLE[type(signal)](book, signal)
        return self._take_out() if book.out else []

    def reconcile(self, snapshot: s.Snapshot) -> list[CallEvent]:
        """Make what is known that of a snapshot; the events that follow."""
        self._book.last_at = snapshot.at
        reconcile(self._book, snapshot)
        return self._take_out()

    def learn_phone(self, interface: Interface) -> None:
        """A queue has this device as a member: it is a phone of ours, no line to the outside."""
        if not is_local(interface):
            self._book.phones.add(interface)

    def going_on(self) -> list[Call]:
        """The calls that have not ended, oldest first."""
        return sorted(self._book.calls.values(), key=lambda call: (call.started or 0.0, call.call_id))

    def retell(self) -> list[CallEvent]:
        """The calls that go on, as the events that would have led to them."""
        return retell(self._book)

    def standings(self, interface: Interface) -> list[ChannelState]:
        """Every channel of a phone, those that talk first."""
        return standings(self._book, interface)

    def _take_out(self) -> list[CallEvent]:
        out, self._book.out = self._book.out, []
        return out
