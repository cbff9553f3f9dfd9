"""Channels come, change and go; with the last of them the call ends."""

from __future__ import annotations

from typing import Literal

from ctiserver.model.calls import signals as s
from ctiserver.model.calls.call import Call, interface_of, is_local
from ctiserver.model.calls.tracking.book import Book
from ctiserver.model.calls.tracking.bridging import disconnect, leave_bridge
from ctiserver.model.calls.tracking.dialling import CAUSE_OUTCOMES, ring_ended
from ctiserver.model.calls.tracking.queueing import leave_queue
from ctiserver.model.events import CallbackTried, CallEnded, RecordingBegan, RecordingStopped


def channel_began(book: Book, signal: s.ChannelBegan) -> None:
    leg = book.legs.get(signal.who.uniqueid)
    if leg is None:
        if signal.who.uniqueid not in book.gone:
            book.begin(signal.who, signal.at, ringing_in=signal.ringing_in)
    elif signal.who.linkedid:
        book.follow_linkedid(leg, signal.who.linkedid, signal.at)


def channel_renamed(book: Book, signal: s.ChannelRenamed) -> None:
    leg = book.legs.get(signal.uniqueid)
    if leg is not None and not signal.channel.endswith(">"):
        leg.channel = signal.channel
        leg.interface = interface_of(signal.channel)
        leg.local = is_local(signal.channel)


def local_joined(book: Book, signal: s.LocalJoined) -> None:
    one, two = book.leg(signal.one, signal.at), book.leg(signal.two, signal.at)
    if one is not None and two is not None:
        one.twin, two.twin = two, one
        if one.call is not two.call:
            book.merge(one.call, two.call, signal.at)


def hangup_asked(book: Book, signal: s.HangupAsked) -> None:
    leg = book.leg(signal.who, signal.at)
    if leg is None or leg.local:
        return
    leg.ending = True
    if signal.cause:
        leg.asked_cause = signal.cause
    if leg.first:
        leg.call.hangup_by = "caller"
    elif leg.current is not None and leg.current.kind in ("talk", "hold"):
        leg.call.hangup_by = "agent"


def soft_hangup_asked(book: Book, signal: s.SoftHangupAsked) -> None:
    leg = book.leg(signal.who, signal.at)
    if leg is not None:
        leg.ending = True


def channel_ended(book: Book, signal: s.ChannelEnded) -> None:
    leg = book.leg(signal.who, signal.at)
    if leg is None:
        return
    at, call = signal.at, leg.call
    leg.cause = signal.cause
    leg.ending = leg.ended = True
    if leg.ringing:
        ring_ended(book, leg, at, CAUSE_OUTCOMES.get(signal.cause, "cancelled"))
    if leg.visit is not None:
        leave_queue(book, leg, at, "abandoned")
    leave_bridge(book, leg, at)
    leg.turn(None, at)
    if leg.connected:
        disconnect(book, leg, at)
    book.forget(leg)
    if not call.live:
        finish(book, call, at, "hangup")


def finish(book: Book, call: Call, at: float | None, reason: Literal["hangup", "pbx_restarted", "lost"]) -> None:
    for leg in list(call.live.values()):
        if leg.visit is not None:
            leave_queue(book, leg, None, "unknown")
        leave_bridge(book, leg, None)
        book.forget(leg)
    book.calls.pop(call.call_id, None)
    for linkedid in call.linkedids:
        if book.by_linkedid.get(linkedid) is call:
            del book.by_linkedid[linkedid]
    if reason == "hangup":
        call.ended = at
    summary = call.summary(complete=reason == "hangup")
    book.emit(CallEnded, call, at, summary=summary, reason=reason)


def voicemail_began(book: Book, signal: s.VoicemailBegan) -> None:
    leg = book.leg(signal.who, signal.at)
    if leg is not None and not leg.local and leg.call.served_by != "voicemail":
        leg.call.served_by = "voicemail"
        leg.call.hangup_by = None
        leg.turn("voicemail", signal.at)


def voicemail_ended(book: Book, signal: s.VoicemailEnded) -> None:
    leg = book.leg(signal.who, signal.at)
    if leg is None or leg.local:
        return
    if leg.call.reconstructed:
        leg.call.served_by = "voicemail"
    if leg.current is not None and leg.current.kind == "voicemail":
        leg.turn(None if leg.ending else "ivr", signal.at, passing=True)


def callback_dialled(book: Book, signal: s.CallbackDialled) -> None:
    leg = book.leg(signal.who, signal.at)
    if leg is not None:
        book.emit(CallbackTried, leg.call, signal.at, wished_in=signal.wished_in, reached=signal.reached)


def recording_switched(book: Book, signal: s.RecordingSwitched) -> None:
    leg = book.leg(signal.who, signal.at)
    if leg is None:
        return
    if signal.on:
        book.emit(
            RecordingBegan,
            leg.call,
            signal.at,
            channel=leg.channel,
            file=signal.file,
            talk_only=signal.talk_only,
        )
    else:
        book.emit(RecordingStopped, leg.call, signal.at, file=signal.file)
