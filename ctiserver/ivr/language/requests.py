"""What the engine asks of anyone who runs it, and what it is answered. All frozen, none of it does anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ctiserver.model.expression.expression import Value

SayAs = Literal["auto", "digits", "number", "count", "date", "time", "money", "text"]


@dataclass(frozen=True, slots=True)
class Said:
    """A value to be spoken, and how."""

    value: Value
    as_: SayAs = "auto"


@dataclass(frozen=True, slots=True)
class Phrase:
    """One language's part of a prompt: fixed texts and values in order, or a recording."""

    language: str
    pieces: tuple[str | Said, ...]
    file: str = ""  #: a recording that wins over the pieces where it exists


@dataclass(frozen=True, slots=True)
class AnswerCall:
    """Take the call off hook."""


@dataclass(frozen=True, slots=True)
class Speak:
    """Play phrases. With ``barge_in`` the first key ends them; without, they play to their end and keys are kept."""

    phrases: tuple[Phrase, ...]
    barge_in: bool
    node: str
    slot: str  #: which prompt of the node: ``prompt``, ``noinput``, ``nomatch`` …


@dataclass(frozen=True, slots=True)
class Listen:
    """Wait for one key."""

    timeout_s: float
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class ReadQueues:
    """How these queues stand now."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Find:
    """Look something up: ``contact``, ``device``, ``record`` in the store, ``http`` elsewhere."""

    what: Literal["contact", "device", "record", "http"]
    by: Mapping[str, Value]
    within_s: float
    url: str = ""


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """Create a service record, or with ``record_id`` change that one's fields."""

    type: str
    fields: Mapping[str, Value]
    record_id: str = ""


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the rest of the system, or a web service, that something happened."""

    event: str
    data: Mapping[str, Value]
    url: str = ""


@dataclass(frozen=True, slots=True)
class RequestCallback:
    """Promise the caller to be called back; the place in the queue is kept."""

    number: str
    queue: str


@dataclass(frozen=True, slots=True)
class ControlAudio:
    """Start or stop the recording of this call, or write silence into it (pause, mask) until it is resumed."""

    action: Literal["start", "stop", "pause", "resume", "mask"]


@dataclass(frozen=True, slots=True)
class HandOver:
    """Leave the call to the dialplan for a queue, a dial or a message; it comes back with the result."""

    do: Literal["queue", "dial", "voicemail"]
    target: str  #: the queue, the agent or number to dial; empty for a message
    options: Mapping[str, str | int | float]
    announce: Phrase | None = None  #: what anyone who is dialled hears before the key that accepts the call


@dataclass(frozen=True, slots=True)
class Finish:
    """The flow is over."""

    reason: str
    hang_up: bool = True  #: False: the caller is gone already
    go_to: str = ""  #: ``context,extension,priority`` of the PBX's own dialplan that takes the call
    failed: bool = False  #: the flow could not serve the caller: the dialplan's fallback must


Request = (
    AnswerCall
    | Speak
    | Listen
    | ReadQueues
    | Find
    | OpenRecord
    | Tell
    | RequestCallback
    | ControlAudio
    | HandOver
    | Finish
)


@dataclass(frozen=True, slots=True)
class Done:
    """It was done; ``value`` is what it brought, if anything."""

    value: Value = None


@dataclass(frozen=True, slots=True)
class Failed:
    """It could not be done. ``reason`` is for logs and the path, never spoken."""

    reason: str


@dataclass(frozen=True, slots=True)
class Heard:
    """The prompt ended; these keys were pressed during it."""

    keys: str = ""


@dataclass(frozen=True, slots=True)
class Pressed:
    """A key was pressed."""

    key: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing was pressed in time."""


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The dialplan is done; ``result`` is one of the node kind's outcomes."""

    result: str
    facts: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallerGone:
    """The caller hung up; ``served``: after having talked with a person or left a message."""

    served: bool = False


Answer = Done | Failed | Heard | Pressed | Silence | HandedBack | CallerGone


@dataclass(frozen=True, slots=True)
class Leave:
    """The visit is over. ``to`` names the next node where the outcome itself does not (a choice, a condition)."""

    outcome: str
    to: str | None = None
    detail: str = ""


Move = Request | Leave
