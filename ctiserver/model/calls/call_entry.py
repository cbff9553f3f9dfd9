"""The call log: every call is one entry, linked to a record or closed with the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ctiserver.model.events import CallOutcome, Direction, HangupBy
from ctiserver.model.ids import AgentId, CallId, ContactId, PbxName, RecordId
from ctiserver.model.json_value import Json

#: How the reason for no record begins of a call that was merged into another, whose id follows.
MERGED = "merged:"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEntry:
    """One call as the log keeps it. Times are aware UTC, durations milliseconds."""

    id: CallId
    pbx: PbxName
    direction: Direction
    ani: str = ""
    caller_name: str = ""
    dnis: str = ""
    started_at: datetime
    answered_at: datetime | None = None  #: by the first person
    ended_at: datetime | None = None
    outcome: CallOutcome | None = None  #: None while it goes on
    hangup_by: HangupBy | None = None
    hangup_cause: int | None = None  #: Q.850
    queue: str = ""  #: the last one entered
    agent_id: AgentId | None = None  #: the last one who talked
    wait_ms: int | None = None
    talk_ms: int | None = None
    contact_id: ContactId | None = None
    no_record_reason: str | None = None  #: ``silent``, ``wrong_number``, ``nuisance``, ``hung_up_in_menu`` …
    complete: bool = False  #: False while it goes on, or when its end was never seen
    detail: Mapping[str, Json] = field(default_factory=dict)  #: segments, queue visits, transfers

    @property
    def merged_into(self) -> CallId | None:
        """The older call under whose name this one goes on; None: it was not merged."""
        reason = self.no_record_reason or ""
        return CallId(reason.removeprefix(MERGED)) if reason.startswith(MERGED) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStep:
    """One node that a call went through in a flow."""

    call_id: CallId
    seq: int  #: 1, 2, … within the call
    at: datetime
    flow: str
    version: str
    node: str
    outcome: str  #: empty while the node has not ended
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pop:
    """One screen-pop: what was pushed to whom, and when the browser had painted it."""

    id: str
    call_id: CallId
    agent_id: AgentId
    contact_id: ContactId | None
    record_id: RecordId | None
    sent_at: datetime
    painted_at: datetime | None = None
    reason: str | None = None  #: why it held no contact or record: ``withheld``, ``unknown_number`` …
