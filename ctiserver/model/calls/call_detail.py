"""What a call's entry holds beyond its own columns, as JSON: written from a summary, and read back into one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, cast

from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.events import CallSummary, QueueVisit, Segment, Transfer
from ctiserver.model.ids import Interface, Linkedid, QueueName
from ctiserver.model.json_value import Json


def detail(summary: CallSummary, ended: str) -> dict[str, Json]:
    """``ended``: how it ended, as CallEnded's reason has it."""
    return {
        "linkedids": list(summary.linkedids),
        "answered_by": list(summary.answered_by),
        "queue_visits": [visit(part) for part in summary.queue_visits],
        "transfers": [{"kind": part.kind, "by": part.by, "to": part.to} for part in summary.transfers],
        "segments": [
            {"party": part.party, "kind": part.kind, "from": _text(part.started_at), "to": _text(part.ended_at)}
            for part in summary.segments
        ],
        "reconstructed": summary.reconstructed,
        "ended": ended,
    }


def visit(part: QueueVisit) -> Json:
    """One queue visit."""
    return {
        "queue": part.queue,
        "entered_at": _text(part.entered_at),
        "left_at": _text(part.left_at),
        "outcome": part.outcome,
        "agent": part.agent,
    }


def summary(entry: CallEntry) -> CallSummary:
    """The summary that an entry was written from, as far as it holds one."""
    return CallSummary(
        call_id=entry.id,
        pbx=entry.pbx,
        linkedids=tuple(Linkedid(str(linkedid)) for linkedid in _items(entry, "linkedids")),
        direction=entry.direction,
        ani=entry.ani,
        caller_name=entry.caller_name,
        dnis=entry.dnis,
        started_at=entry.started_at,
        answered_at=entry.answered_at,
        ended_at=entry.ended_at,
        outcome=entry.outcome,
        answered_by=tuple(Interface(str(interface)) for interface in _items(entry, "answered_by")),
        queue_visits=tuple(
            QueueVisit(
                queue=QueueName(part["queue"]),
                entered_at=_instant(part["entered_at"]),
                left_at=_instant(part["left_at"]),
                outcome=part["outcome"],
                agent=None if part["agent"] is None else Interface(part["agent"]),
            )
            for part in _parts(entry, "queue_visits")
        ),
        transfers=tuple(
            Transfer(kind=part["kind"], by=None if part["by"] is None else Interface(part["by"]), to=part["to"])
            for part in _parts(entry, "transfers")
        ),
        hangup_cause=entry.hangup_cause,
        hangup_by=entry.hangup_by,
        segments=tuple(
            Segment(
                party=part["party"],
                kind=part["kind"],
                started_at=_instant(part["from"]),
                ended_at=_instant(part["to"]),
            )
            for part in _parts(entry, "segments")
        ),
        reconstructed=entry.detail.get("reconstructed") is True,
        complete=entry.complete,
    )


def _items(entry: CallEntry, key: str) -> list[Json]:
    kept = entry.detail.get(key)
    return list(kept) if isinstance(kept, list | tuple) else []


def _parts(entry: CallEntry, key: str) -> Iterator[Mapping[str, Any]]:
    """Nothing but :func:`detail` writes these, so their shape is known."""
    return (cast(Mapping[str, Any], part) for part in _items(entry, key))


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
