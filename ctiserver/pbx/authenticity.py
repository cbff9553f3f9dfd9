"""Which events are Asterisk's own, and which a caller wrote.

Asterisk prints the number of a caller and the dialled one into events as they came, and its SIP stack decodes
``%0D%0A`` in them (docs/security.md). So a caller can add headers to an event, or end it and write one of their own.
What they can't do:

- know the secret systemname, which each true event carries before anything of a caller's (system_name.py);
- write into a channel's headers without breaking their row: Asterisk writes fourteen of them, one after the other, and
  a caller's part has room for 79 characters, which is less than what is missing after it;
- know the number of an action of ours, which the answers to it carry (uuid4).

An event that is refused was split; what follows belongs to it until its own last headers have come.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Literal

from ctiserver.pbx.codec import AmiMessage

#: Why an event was not believed.
Doubt = Literal["systemname", "split", "doubled", "id", "time", "key", "unasked"]
#: The PBX's time in seconds since 1970; None while it is not known.
PbxNow = Callable[[], float | None]
#: How far the time of an event may be from the PBX's clock, seconds: a link that lags still passes.
LONGEST_AGO_S, LONGEST_AHEAD_S = 3600.0, 300.0
#: Of one event, a caller's number, dialled number and connected line can each make a few.
_MOST_PARTS = 8
#: How the link's actions are numbered.
_OUR_ACTIONS = "action/"

_HEAD = re.compile(
    r"\r\nEvent: [A-Za-z]{1,40}\r\nPrivilege: [a-z,]{1,80}\r\n"
    r"(?:SequenceNumber: \d+\r\n)?(?:Timestamp: (\d{1,10}\.\d{1,6})\r\n)?(?:SystemName: ([^\r\n]*)\r\n)?"
)
_ROW = (
    *("Channel", "ChannelState", "ChannelStateDesc", "CallerIDNum", "CallerIDName", "ConnectedLineNum"),
    *("ConnectedLineName", "Language", "AccountCode", "Context", "Exten", "Priority", "Uniqueid", "Linkedid"),
)
#: Other headers that we read: a caller must not be able to put one of them before the true one.
_READ = (
    *("Event", "Privilege", "Timestamp", "SystemName", "ActionID", "Response", "Message", "Queue", "Position", "Cause"),
    *("Interface", "Location", "MemberName", "Name", "Status", "Paused", "PausedReason", "Penalty", "Membership"),
    *("InCall", "LastPause", "DialStatus", "DialString", "BridgeUniqueid", "BridgeTechnology", "BridgeNumChannels"),
    *("Newname", "UserEvent", "State", "File", "Mode", "Call", "Key", "Result", "Extension", "SecondBridgeUniqueid"),
    *("Variable", "Value", "Application", "BridgeId", "Duration", "Val", "Uptime"),
)
_ID = re.compile(r"[A-Za-z0-9_.;:@+-]{1,150}")
#: A uniqueid that Asterisk made itself; with a secret systemname each has it in front.
_MADE_BY_ASTERISK = re.compile(r"\d+\.\d+(;\d)?")
#: What the link reads of our own dialplan.
_OURS = re.compile(r"\r\nUserEvent: Cti(?:QueueLeft|VoicemailBegan|Voicemail|Callback|Recording)\r\n")
_END_OF_ROW = re.compile(r"\r\n(?:[A-Z][A-Za-z]+)?Priority: \d+\r\n(?:[A-Z][A-Za-z]+)?Uniqueid: ")


class _Row:
    """A channel's headers in an event, with a prefix or none."""

    def __init__(self, prefix: str) -> None:
        self.first = f"\r\n{prefix}Channel: "
        self.id = f"\r\n{prefix}Uniqueid: "
        self._prefix = prefix
        self._ends = [
            f"{prefix}{key}: ([^\r\n]*)" if key.endswith("id") else f"{prefix}{key}: [^\r\n]*" for key in _ROW
        ]

    # Compiled when first needed: all of them take 0.2 s, a tenth of a server's start.
    @cached_property
    def exact(self) -> re.Pattern[str]:
        return re.compile("\r\n" + "\r\n".join(self._ends) + "(?=\r\n)")

    @cached_property
    def with_more(self) -> re.Pattern[str]:
        """An Asterisk of tomorrow may write more; what we read must not be among it."""
        known = "|".join(self._prefix + key for key in _ROW) + "|" + "|".join(_READ)
        more = rf"(?:\r\n(?!(?:{known}): )[A-Za-z]{{1,40}}: [^\r\n]*)*"
        return re.compile("\r\n" + f"{more}\r\n".join(self._ends) + "(?=\r\n)")


#: Whose headers each kind of event has: True must be there, False may.
_CHANNELS: dict[str, tuple[tuple[str, bool], ...]] = {
    **dict.fromkeys(
        (
            *("Newchannel", "HangupRequest", "SoftHangupRequest", "Hangup", "QueueCallerJoin", "QueueCallerAbandon"),
            *("QueueCallerLeave", "BridgeEnter", "BridgeLeave", "Hold", "Unhold", "Newexten"),
        ),
        (("", True),),
    ),
    **dict.fromkeys(
        ("DialBegin", "DialEnd", "AgentCalled", "AgentConnect", "AgentRingNoAnswer"), (("Dest", True), ("", False))
    ),
    "LocalBridge": (("LocalOne", True), ("LocalTwo", True)),
    "BlindTransfer": (("Transferer", True), ("Transferee", False)),
    "AttendedTransfer": (
        ("OrigTransferer", True),
        ("SecondTransferer", True),
        ("Transferee", False),
        ("TransferTarget", False),
    ),
    "Pickup": (("", True), ("Target", True)),
    "VarSet": (("", False),),
    "UserEvent": (("", False),),
    "CoreShowChannel": (("", True),),
}
_ROWS = {prefix: _Row(prefix) for rows in _CHANNELS.values() for prefix, _ in rows}
_SHAPES = {name: tuple((_ROWS[prefix], must) for prefix, must in rows) for name, rows in _CHANNELS.items()}
_NO_CHANNEL: tuple[tuple[_Row, bool], ...] = ()
#: Headers that only a channel's row has: an event without one that holds them was begun within another.
_ONLY_IN_ROWS = ("\r\nConnectedLineNum: ", "\r\nAccountCode: ", "\r\nPriority: ")


class Authenticity:
    """Judges one connection's messages; what it refuses is counted in ``refused``, by its reason."""

    def __init__(self, now: PbxNow, asked: Callable[[str], bool]) -> None:
        """``asked`` says whether an action of this id waits for its answer."""
        self.systemname = ""  #: the PBX's, where it is a secret; empty: what an event looks like must do
        self.key = ""  #: what our own dialplan's events carry; empty: not known yet
        self.booting = True  #: the log-in is answered by a FullyBooted without any sign
        self.refused: Counter[Doubt] = Counter()
        self._now = now
        self._asked = asked
        self._parts = 0  #: how many blocks may still belong to an event that was split

    def genuine(self, message: AmiMessage) -> AmiMessage | None:
        """The message without what is secret in it, or None if it is not Asterisk's own."""
        text = message.text
        doubt: Doubt | None
        action = message.get("ActionID")
        if action and self._asked(action):
            doubt = self._doubt_of_row(message, text)
        elif action.startswith(_OUR_ACTIONS) and "\r\nPrivilege: " not in text:
            return None  # an answer that came too late
        elif not message.name:
            doubt = "split" if self._parts else "unasked"
            self.passed(text)
        else:
            doubt = self._doubt_of_event(message.name, text)
        if doubt is not None:
            self.refused[doubt] += 1
            return None
        if self.systemname:
            text = text.replace(f"\r\nSystemName: {self.systemname}", "", 1).replace(f"{self.systemname}-", "")
        if self.key:
            text = text.replace(f"\r\nKey: {self.key}", "", 1)
        return message if text is message.text else AmiMessage(message.name, text[2:-2])

    def _doubt_of_row(self, message: AmiMessage, text: str) -> Doubt | None:
        """Of an answer: it is ours, but a caller's value may stand in it."""
        if message.name == "CoreShowChannel":
            return self._channels(message.name, text)
        return "doubled" if message.name == "QueueEntry" and text.count("\r\nUniqueid: ") != 1 else None

    def _doubt_of_event(self, name: str, text: str) -> Doubt | None:
        if name == "FullyBooted" and self.booting:
            self.booting = False
            return None
        head = _HEAD.match(text)
        if self.systemname and (head is None or head[2] != self.systemname):
            self.passed(text)
            return "systemname"
        if self._parts and not self.systemname and (not _SHAPES.get(name) or self._channels(name, text)):
            self.passed(text)
            return "split"
        self._parts = 0
        if head is None:
            return "split"
        now = self._now()
        if now is not None and head[1] and not -LONGEST_AHEAD_S < now - float(head[1]) < LONGEST_AGO_S:
            return "time"
        doubt = self._channels(name, text)
        if doubt == "split":
            self._parts = 0 if _END_OF_ROW.search(text) else _MOST_PARTS
        if doubt is None and name == "UserEvent":
            doubt = self._said_by_our_dialplan(text)
        return doubt

    def _channels(self, name: str, text: str) -> Doubt | None:
        if text.count("\r\nEvent: ") != 1:
            return "doubled"
        rows = _SHAPES.get(name, _NO_CHANNEL)
        for row, must in rows:
            at = text.find(row.first)
            if at < 0:
                if must or row.id in text:
                    return "split"
                continue
            found = row.exact.match(text, at) or row.with_more.match(text, at)
            if found is None:
                return "split"
            if text.count(row.id) != 1 or text.count(row.first) != 1:
                return "doubled"
            if not (self._is_id(found[1]) and self._is_id(found[2])):
                return "id"
        return "split" if not rows and any(key in text for key in _ONLY_IN_ROWS) else None

    def _is_id(self, text: str) -> bool:
        if self.systemname and not text.startswith(f"{self.systemname}-"):
            # Another program's own ChannelId stays what it is; what looks like Asterisk's was forged.
            return _MADE_BY_ASTERISK.fullmatch(text) is None and _ID.fullmatch(text) is not None
        return _ID.fullmatch(text) is not None

    def _said_by_our_dialplan(self, text: str) -> Doubt | None:
        if text.count("\r\nUserEvent: ") != 1:
            return "doubled"
        if not self.key or _OURS.search(text) is None:
            return None
        return None if text.count(f"\r\nKey: {self.key}\r\n") == 1 else "key"

    @property
    def within(self) -> bool:
        """Whether what comes may still belong to an event that was split."""
        return self._parts > 0

    def passed(self, text: str) -> None:
        """Take note of a block that nobody reads: it may be the end of an event that was split."""
        if self._parts:
            self._parts = 0 if _END_OF_ROW.search(text) else self._parts - 1
