"""What the routes of the call log answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from typing import Self

from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.events import Direction
from ctiserver.web.routes import Answer, JsonAnswer, Moment


class CallAnswer(Answer):
    """One entry of the call log."""

    id: str
    pbx: str
    direction: Direction
    ani: str
    caller_name: str
    dnis: str
    started_at: Moment
    answered_at: Moment | None  #: by the first person
    ended_at: Moment | None
    outcome: str | None
    hangup_by: str | None
    hangup_cause: int | None  #: Q.850
    queue: str
    agent: str | None
    wait_ms: int | None
    talk_ms: int | None
    contact_id: str | None
    no_record_reason: str | None
    complete: bool
    detail: JsonAnswer  #: linkedids, answered_by, queue_visits, transfers, segments, reconstructed

    @classmethod
    def of_entry(cls, entry: CallEntry, **more: object) -> Self:
        """An entry of the call log."""
        return cls.of(entry, agent=entry.agent_id, **more)


class CallsAnswer(Answer):
    """A page of the call log, the newest first."""

    calls: list[CallAnswer]
    before: str | None  #: for the next page; None: this is the last


class StepAnswer(Answer):
    """One step of a call's way through its flow."""

    at: Moment
    flow: str
    version: str
    node: str
    outcome: str | None


class CallRecordAnswer(Answer):
    id: str
    number: str


class WholeCallAnswer(CallAnswer):
    """A call with its way through the flow, and its records."""

    path: list[StepAnswer]
    records: list[CallRecordAnswer]
