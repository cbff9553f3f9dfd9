"""Work that can't be done: it is set aside with its reason, so that an admin sees it and nothing else waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ctiserver.model.ids import RecordId

#: Kinds of work that can be set aside, and what each is on the page; ``event`` is kept by the bus, the others here.
SET_ASIDE_KINDS = (
    "event",
    "timeline",
    "message",
    "automatic_call",
    "automatic_call_end",
    "care_rule",
    "care",
    "missed_call",
    "missed_call_settled",
    "recording_found",
    "recording_taken_in",
    "recording_removed",
    "stock_promise",
    "hang_up",
    "queue_log",
    "call_told",
    "journal",
    "unserved",
    "handed_on",
    "process",
    "process_timer",
)
#: ``waiting``: for an admin's decision. ``dropped``: it is not to be done any more; its row stays where it is.
SetAsideState = Literal["waiting", "dropped"]
_REASON_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """One piece of work of one service."""

    id: str  #: ULID
    kind: str  #: of work: ``timeline``, ``message``, ``automatic_call`` …
    ref: str  #: what the service knows it by; unique among those of its kind
    about: str = ""  #: what a person knows it by, as far as is known
    record_id: RecordId | None = None  #: the record that it belongs to; it may point nowhere
    reason: str
    state: SetAsideState = "waiting"
    tries: int = 1
    at: datetime  #: of the last try


def reason_of(error: BaseException) -> str:
    """What went wrong, in one line that every database can hold."""
    said = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    said = said.encode("utf-8", "replace").decode()
    return f"{type(error).__name__}: {said}"[:_REASON_MAX] if said else type(error).__name__


def storable(text: str, longest: int) -> str:
    """``text`` as every database takes it: no NUL, no half character, not too long."""
    return text.replace("\x00", " ").encode("utf-8", "replace").decode()[:longest]
