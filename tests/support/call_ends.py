"""The end of a call of which nothing else is of interest."""

from __future__ import annotations

from datetime import UTC, datetime

from ctiserver.model.events import CallEnded, CallSummary
from ctiserver.model.ids import CallId, Linkedid, PbxName

_AT = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def an_end(call: CallId, pbx: PbxName = PbxName("main")) -> CallEnded:  # noqa: B008 - a word
    """An inbound call that was hung up."""
    summary = CallSummary(
        call_id=call, pbx=pbx, linkedids=(), direction="inbound", ani="", caller_name="", dnis="", started_at=_AT,
        answered_at=None, ended_at=_AT, outcome="ivr", answered_by=(), queue_visits=(), transfers=(),
        hangup_cause=16, hangup_by="caller", segments=(), reconstructed=False, complete=True,
    )  # fmt: skip
    return CallEnded(pbx=pbx, at=_AT, call_id=call, linkedid=Linkedid(""), summary=summary)
