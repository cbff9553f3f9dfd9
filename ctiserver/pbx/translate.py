"""From AMI's messages to the signals that something here consumes; what nothing consumes is not even parsed."""

from __future__ import annotations

from collections.abc import Callable

from ctiserver.model.calls import signals as s
from ctiserver.model.events import MemberStatus
from ctiserver.model.ids import CallId, Interface, Linkedid, QueueName, Uniqueid
from ctiserver.pbx.codec import AmiMessage, needles

#: Asterisk's device states as app_queue gives them in ``Status``.
_DEVICE_STATES: tuple[MemberStatus, ...] = (
    "unknown",
    "free",
    "in_use",
    "busy",
    "invalid",
    "unavailable",
    "ringing",
    "in_use",  # ringing while in use: rung for another call, but not to be had for this one
    "on_hold",
)


def translate(message: AmiMessage) -> s.Signal | None:
    """The signal in an event; None if it is not consumed, or too broken to say anything."""
    reader = _READERS.get(message.name)
    return None if reader is None else reader(message, _at(message))


def _at(message: AmiMessage, key: str = "Timestamp") -> float | None:
    stamp = message.get(key)
    try:
        at = float(stamp) if stamp else None
    except ValueError:
        return None
    # 1973 to 2286: anything else is not the time of a call, and would break a calendar.
    return at if at is not None and 1e8 < at < 1e10 else None


def _known(value: str) -> str:
    return "" if value == "<unknown>" else value


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0


#: A channel's headers, in the order in which Asterisk writes them; other channels of an event have a prefix.
_WHO = {
    prefix: needles(
        *(
            prefix + key
            for key in ("Channel", "CallerIDNum", "CallerIDName", "Context", "Exten", "Uniqueid", "Linkedid")
        )
    )
    for prefix in (
        "",
        "Dest",
        "LocalOne",
        "LocalTwo",
        "Transferer",
        "OrigTransferer",
        "SecondTransferer",
        "Transferee",
        "TransferTarget",
        "Target",
    )
}


def _who(message: AmiMessage, prefix: str = "") -> s.Who | None:
    channel, number, name, context, exten, uniqueid, linkedid = message.values(_WHO[prefix])
    if not uniqueid or uniqueid == "<unknown>":
        return None
    return s.Who(Uniqueid(uniqueid), Linkedid(linkedid), channel, _known(number), _known(name), context, exten)


def _newchannel(message: AmiMessage, at: float | None) -> s.Signal | None:
    who = _who(message)
    return None if who is None else s.ChannelBegan(at, who, message.get("ChannelState") != "0")


def _rename(message: AmiMessage, at: float | None) -> s.Signal | None:
    return s.ChannelRenamed(at, Uniqueid(message.get("Uniqueid")), message.get("Newname"))


def _hangup_request(message: AmiMessage, at: float | None) -> s.Signal | None:
    who = _who(message)
    return None if who is None else s.HangupAsked(at, who, _int(message.get("Cause")))


def _soft_hangup_request(message: AmiMessage, at: float | None) -> s.Signal | None:
    who = _who(message)
    return None if who is None else s.SoftHangupAsked(at, who)


def _hangup(message: AmiMessage, at: float | None) -> s.Signal | None:
    who = _who(message)
    return None if who is None else s.ChannelEnded(at, who, _int(message.get("Cause")))


def _dial_begin(message: AmiMessage, at: float | None) -> s.Signal | None:
    dest = _who(message, "Dest")
    return None if dest is None else s.DialBegan(at, _who(message), dest, message.get("DialString"))


def _dial_end(message: AmiMessage, at: float | None) -> s.Signal | None:
    dest = _who(message, "Dest")
    return None if dest is None else s.DialEnded(at, dest, message.get("DialStatus"))


def _originate_response(message: AmiMessage, at: float | None) -> s.Signal | None:
    return s.OriginateAnswered(at, Uniqueid(message.get("Uniqueid")), message.get("Exten"))


def _queue_caller_join(message: AmiMessage, at: float | None) -> s.Signal | None:
    who = _who(message)
    if who is None:
        return None
    return s.QueueJoined(at, who, QueueName(message.get("Queue")), _int(message.get("Position")))


def _queue_caller_abandon(message: AmiMessage, at: float | None) -> s.Signal | None:
    who = _who(message)
    return None if who is None else s.QueueGivenUp(at, who, QueueName(message.get("Queue")))


def _queue_caller_leave(message: AmiMessage, at: float | None) -> s.Signal | None:
    who = _who(message)
    return None if who is None else s.QueueLeft(at, who, QueueName(message.get("Queue")))


def _agent_called(message: AmiMessage, at: float | None) -> s.Signal | None:
    who, dest = _who(message), _who(message, "Dest")
    if who is None or dest is None:
        return None
    return s.MemberCalled(at, who, dest, QueueName(message.get("Queue")), _interface(message))


def _agent_connect(message: AmiMessage, at: float | None) -> s.Signal | None:
    who, dest = _who(message), _who(message, "Dest")
    if who is None or dest is None:
        return None
    return s.MemberAnswered(at, who, dest, QueueName(message.get("Queue")), _interface(message))


def _agent_ring_no_answer(message: AmiMessage, at: float | None) -> s.Signal | None:
    dest = _who(message, "Dest")
    return None if dest is None else s.MemberRangOut(at, dest)


def _bridge_enter(message: AmiMessage, at: float | None) -> s.Signal | None:
    who = _who(message)
    if who is None:
        return None
    holding = message.get("BridgeTechnology") == "holding_bridge"
    return s.BridgeEntered(at, who, message.get("BridgeUniqueid"), holding, _int(message.get("BridgeNumChannels")))


def _bridge_leave(message: AmiMessage, at: float | None) -> s.Signal | None:
    who = _who(message)
    return None if who is None else s.BridgeLeft(at, who, message.get("BridgeUniqueid"))


def _hold(message: AmiMessage, at: float | None) -> s.Signal | None:
    who = _who(message)
    return None if who is None else s.HoldChanged(at, who, message.name == "Hold")


def _local_bridge(message: AmiMessage, at: float | None) -> s.Signal | None:
    one, two = _who(message, "LocalOne"), _who(message, "LocalTwo")
    return None if one is None or two is None else s.LocalJoined(at, one, two)


def _blind_transfer(message: AmiMessage, at: float | None) -> s.Signal | None:
    by = _who(message, "Transferer")
    if by is None or message.get("Result", "Success") != "Success":
        return None
    return s.BlindTransferred(at, by, message.get("Extension"))


def _attended_transfer(message: AmiMessage, at: float | None) -> s.Signal | None:
    by, second = _who(message, "OrigTransferer"), _who(message, "SecondTransferer")
    if by is None or second is None or message.get("Result", "Success") != "Success":
        return None
    return s.AttendedTransferred(
        at,
        by,
        second,
        _who(message, "Transferee"),
        _who(message, "TransferTarget"),
        message.get("SecondBridgeUniqueid"),
    )


def _pickup(message: AmiMessage, at: float | None) -> s.Signal | None:
    who, target = _who(message), _who(message, "Target")
    return None if who is None or target is None else s.PickedUp(at, who, target)


def _newexten(message: AmiMessage, at: float | None) -> s.Signal | None:
    who = _who(message)
    if who is None or message.get("Application") != "VoiceMail":
        return None
    return s.VoicemailBegan(at, who)


def _var_set(message: AmiMessage, at: float | None) -> s.Signal | None:
    who = _who(message)
    if who is None:
        return None
    match message.get("Variable"):
        case "QUEUESTATUS":
            return s.QueueResult(at, who, message.get("Value"), QueueName(""))
        case "VMSTATUS":
            return s.VoicemailEnded(at, who)
        case _:
            return None


def _user_event(message: AmiMessage, at: float | None) -> s.Signal | None:
    """What our own dialplan says (dialplan/cti.conf); without class ``dialplan`` there is no other way to know."""
    who = _who(message)
    if who is None:
        return None
    match message.get("UserEvent"):
        case "CtiQueueLeft":
            return s.QueueResult(at, who, message.get("Status"), QueueName(message.get("Queue")))
        case "CtiVoicemailBegan":
            return s.VoicemailBegan(at, who)
        case "CtiVoicemail":
            return s.VoicemailEnded(at, who)
        case "CtiCallback" if message.get("Call"):
            return s.CallbackDialled(at, who, CallId(message.get("Call")), message.get("Status") == "ANSWER")
        case "CtiRecording" if message.get("File"):
            on, talk = message.get("State") == "on", message.get("Mode") == "talk"
            return s.RecordingSwitched(at, who, on, message.get("File"), talk)
        case _:
            return None


def _interface(message: AmiMessage) -> Interface:
    return Interface(message.get("Interface") or message.get("Location"))


def member_of(message: AmiMessage, at: float | None = None) -> s.MemberSeen | None:
    """A queue's member as an event (MemberName, Interface) or a list (Name, Location) shows it."""
    interface, queue = _interface(message), QueueName(message.get("Queue"))
    if not interface or not queue:
        return None
    status = _int(message.get("Status"))
    return s.MemberSeen(
        at=at,
        queue=queue,
        interface=interface,
        name=message.get("MemberName") or message.get("Name") or interface,
        present=message.name != "QueueMemberRemoved",
        dynamic=message.get("Membership") == "dynamic",
        paused=message.get("Paused") == "1",
        pause_reason=message.get("PausedReason"),
        penalty=_int(message.get("Penalty")),
        status=_DEVICE_STATES[status] if 0 <= status < len(_DEVICE_STATES) else "unknown",
        in_call=message.get("InCall") == "1",
        paused_at=_at(message, "LastPause"),
    )


_READERS: dict[str, Callable[[AmiMessage, float | None], s.Signal | None]] = {
    "Newchannel": _newchannel,
    "Rename": _rename,
    "HangupRequest": _hangup_request,
    "SoftHangupRequest": _soft_hangup_request,
    "Hangup": _hangup,
    "DialBegin": _dial_begin,
    "DialEnd": _dial_end,
    "OriginateResponse": _originate_response,
    "QueueCallerJoin": _queue_caller_join,
    "QueueCallerAbandon": _queue_caller_abandon,
    "QueueCallerLeave": _queue_caller_leave,
    "AgentCalled": _agent_called,
    "AgentConnect": _agent_connect,
    "AgentRingNoAnswer": _agent_ring_no_answer,
    "BridgeEnter": _bridge_enter,
    "BridgeLeave": _bridge_leave,
    "Hold": _hold,
    "Unhold": _hold,
    "LocalBridge": _local_bridge,
    "BlindTransfer": _blind_transfer,
    "AttendedTransfer": _attended_transfer,
    "Pickup": _pickup,
    "Newexten": _newexten,
    "VarSet": _var_set,
    "UserEvent": _user_event,
    "QueueMemberStatus": member_of,
    "QueueMemberAdded": member_of,
    "QueueMemberRemoved": member_of,
    "QueueMemberPause": member_of,
    "QueueMemberPenalty": member_of,
    "QueueMember": member_of,
}

#: For the codec: what to parse. Half of all events are VarSet, of which two variables matter.
WANTED: dict[bytes, bytes] = {name.encode(): b"" for name in _READERS} | {
    b"VarSet": b"STATUS\r\nValue: ",  # QUEUESTATUS, VMSTATUS and a few more
    b"UserEvent": b"\r\nUserEvent: Cti",
    b"Newexten": b"\r\nApplication: VoiceMail\r\n",
}
