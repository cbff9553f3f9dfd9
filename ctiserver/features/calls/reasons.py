"""Why a call has no record, where that needs nobody to say it."""

from __future__ import annotations

from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.events import CallSummary

#: The reason of a call that was there before we looked away, and not after.
END_NOT_SEEN = "end_not_seen"


def stated(known: CallEntry | None) -> str | None:
    """The reason that stands there already; that the end was not seen is refuted by its being seen."""
    return None if known is None or known.no_record_reason == END_NOT_SEEN else known.no_record_reason


def reason_for_none(summary: CallSummary, ended: str) -> str | None:
    """Why a call that opened no record is accounted for all the same; None: the agent has to say."""
    if ended == "pbx_restarted":
        return "pbx_restarted"
    if summary.direction != "inbound":
        return summary.direction
    return {
        "ivr": "hung_up_in_menu",
        "abandoned": "left_unserved",
        "timeout": "left_unserved",
        "no_answer": "left_unserved",
        "busy": "left_unserved",
        "failed": "failed",
    }.get(summary.outcome or "")
