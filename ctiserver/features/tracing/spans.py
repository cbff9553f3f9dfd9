"""What of a call and of a record becomes spans: times, kinds and ids. No names, no typed keys; numbers are masked.

Ids are derived from those of calls, records, processes and orders. So the spans of one call and of all that came of it
meet in one trace, though days and restarts lie between them, and a span that is sent twice is the same span.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ctiserver.logs import mask
from ctiserver.model.calls.call_entry import CallEntry, PathStep
from ctiserver.model.json_value import Json
from ctiserver.model.work.record import Record
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.store.repositories.processes import ProcessRow

#: How a node ended; a menu ends with the key that the caller pressed, which is not told.
_WORD = re.compile(r"[a-z][a-z_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpan:
    """One span; ``trace`` and ``key`` always name the same one. Ids are of them: :func:`trace_id`, :func:`span_id`."""

    trace: str
    key: str
    parent: str | None
    name: str
    started_at: datetime
    ended_at: datetime
    attributes: Mapping[str, str | int | bool] = field(default_factory=dict)
    links: Sequence[tuple[str, str]] = ()  #: (trace, key) of spans elsewhere that belong to it


def trace_id(trace: str) -> int:
    """16 bytes."""
    return int.from_bytes(hashlib.sha256(f"trace {trace}".encode()).digest()[:16], "big")


def span_id(key: str) -> int:
    """8 bytes."""
    return int.from_bytes(hashlib.sha256(f"span {key}".encode()).digest()[:8], "big")


def of_call(call: CallEntry, path: Sequence[PathStep]) -> Iterator[TraceSpan]:
    """A call that is over: itself, the nodes of its flows, its stays in queues, and what agents' phones did."""
    root = f"call {call.id}"
    end = call.ended_at or call.started_at
    yield TraceSpan(
        trace=call.id,
        key=root,
        parent=None,
        name="call",
        started_at=call.started_at,
        ended_at=end,
        attributes=_said(
            {
                "call_id": call.id,
                "pbx": call.pbx,
                "direction": call.direction,
                "outcome": call.outcome,
                "queue": call.queue,
                "agent": call.agent_id,
                "caller": mask(call.ani),
                "dialled": mask(call.dnis),
            }
        ),
    )
    begun_at = [call.started_at, *(step.at for step in path)]  # a step's time is when the node ended
    for step, begin in zip(path, begun_at, strict=False):
        yield TraceSpan(
            trace=call.id,
            key=f"{root} node {step.seq}",
            parent=root,
            name=f"flow {step.flow}/{step.node}",
            started_at=min(begin, step.at),
            ended_at=step.at,
            attributes=_said(
                {
                    "flow": step.flow,
                    "version": step.version,
                    "node": step.node,
                    "outcome": step.outcome if _WORD.fullmatch(step.outcome) else None,
                }
            ),
        )
    for number, visit in enumerate(_items(call.detail, "queue_visits")):
        begun, over = _time(visit, "entered_at"), _time(visit, "left_at")
        if begun and over:
            yield TraceSpan(
                trace=call.id,
                key=f"{root} queue {number}",
                parent=root,
                name=f"queue {visit.get('queue')}",
                started_at=begun,
                ended_at=max(begun, over),
                attributes=_said({"queue": visit.get("queue"), "outcome": visit.get("outcome")}),
            )
    for number, segment in enumerate(_items(call.detail, "segments")):
        begun, over = _time(segment, "from"), _time(segment, "to")
        if begun and over and segment.get("party") != "caller":
            yield TraceSpan(
                trace=call.id,
                key=f"{root} agent {number}",
                parent=root,
                name=f"agent {segment.get('kind')}",
                started_at=begun,
                ended_at=max(begun, over),
                attributes=_said({"phone": mask(str(segment.get("party")))}),
            )


def of_record(
    record: Record, calls: Sequence[str], processes: Sequence[ProcessRow], orders: Sequence[WorkOrder]
) -> Iterator[TraceSpan]:
    """A record that is closed: itself, below the call that opened it; its processes; their orders."""
    end = record.closed_at or record.updated_at
    trace = min(calls) if calls else record.id  # ULIDs: the smallest is the earliest
    root = f"record {record.id}"
    yield TraceSpan(
        trace=trace,
        key=root,
        parent=f"call {trace}" if calls else None,
        name=f"record {record.type}",
        started_at=record.opened_at,
        ended_at=max(record.opened_at, end),
        attributes=_said(
            {
                "record": record.number,
                "type": record.type,
                "disposition": record.disposition,
                "resolution": record.resolution,
                "priority": record.priority,
                "repeat_calls": record.repeat_calls,
            }
        ),
        links=[(call, f"call {call}") for call in sorted(calls) if call != trace],
    )
    for process in processes:
        yield TraceSpan(
            trace=trace,
            key=f"process {process.id}",
            parent=root,
            name=f"process {process.name}",
            started_at=process.started_at,
            ended_at=max(process.started_at, process.closed_at or end),
            attributes=_said({"process": process.name, "version": process.version, "status": process.status}),
        )
    known = {process.id for process in processes}
    for order in orders:
        yield TraceSpan(
            trace=trace,
            key=f"order {order.id}",
            parent=f"process {order.process_id}" if order.process_id in known else root,
            name=f"order {order.kind}",
            started_at=order.created_at,
            ended_at=max(order.created_at, end if order.is_open else order.updated_at),
            attributes=_said(
                {
                    "order": order.number,
                    "step": order.step,
                    "state": order.state,
                    "outcome": order.outcome,
                    "late": order.late,
                }
            ),
        )


def _said(values: Mapping[str, Json | None]) -> dict[str, str | int | bool]:
    return {
        f"ctiserver.{name}": value for name, value in values.items() if isinstance(value, str | int) and value != ""
    }


def _items(detail: Mapping[str, Json], name: str) -> list[Mapping[str, Json]]:
    found = detail.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _time(item: Mapping[str, Json], name: str) -> datetime | None:
    text = item.get(name)
    return datetime.fromisoformat(text) if isinstance(text, str) else None
