"""The chain: from the ring of the telephone to the closed record, link by link, and where it is broken.

A call centre is where a service starts and where it ends. The chain of a record shows each hand-over in order, how long
it waited there, and what is missing. It is computed from what others keep; nothing is stored for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from ctiserver.model.calls.call_entry import CallEntry, PathStep
from ctiserver.model.calls.recording import Recording
from ctiserver.model.work.expense import ExpenseLine
from ctiserver.model.work.record import Record, TimelineEntry
from ctiserver.model.work.work_order import WorkOrder

LinkKind = Literal["ring", "menu", "queue", "talk", "recording", "opened", "disposition", "order", "expense", "closed"]
BreakKind = Literal[
    "recording_lost",
    "not_disposed",
    "nobody_acts",
    "order_unassigned",
    "order_late",
    "closed_with_open_orders",
    "closed_with_open_expenses",
    "no_follow_up",
]
#: So long after its last call a record may be without a result before somebody forgot it.
DISPOSED_WITHIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One stretch of the way. Times are aware UTC."""

    kind: LinkKind
    at: datetime
    until: datetime | None = None  #: None: it still lasts, or is a moment
    what: str = ""  #: a queue, an order's kind, a disposition, a resolution
    who: str = ""  #: agent, account or number
    number: str = ""  #: what people say: of the order
    id: str = ""  #: of the call, order or recording
    state: str = ""
    waited_ms: int = 0  #: from the end of what came before to this link's beginning: nobody acted meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Where the chain is broken."""

    kind: BreakKind
    since: datetime
    number: str = ""  #: of the order that is meant
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The whole way of one record."""

    links: Sequence[Link]
    breaks: Sequence[Break]

    @property
    def whole(self) -> bool:
        return not self.breaks


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that is known of a record, as the store keeps it."""

    record: Record
    calls: Sequence[CallEntry]
    paths: Mapping[str, Sequence[PathStep]]  #: by call
    recordings: Sequence[Recording]
    orders: Sequence[WorkOrder]
    expenses: Sequence[ExpenseLine]
    timeline: Sequence[TimelineEntry]
    follows_up: bool  #: whether its process asks the customer afterwards
    in_process: bool  #: whether a process carries it on now


def chain(known: Known, now: datetime) -> Chain:
    """The links in the order of time, each with how long it was waited for, and the breaks."""
    links = [
        *(link for call in known.calls for link in _of_call(call, known.paths.get(call.id, ()))),
        *(_of_recording(recording, now) for recording in known.recordings),
        *_of_record(known.record, known.timeline),
        *(_of_order(order, known.timeline) for order in known.orders),
        *(_of_expense(line) for line in known.expenses),
    ]
    links.sort(key=lambda link: (link.at, _RANK[link.kind]))
    return Chain(links=tuple(_waited(links)), breaks=tuple(_breaks(known, now)))


#: Of what began at the same moment, what comes first.
_RANK: Mapping[LinkKind, int] = {
    "ring": 0, "menu": 1, "opened": 2, "queue": 3, "talk": 4, "recording": 5, "disposition": 6, "order": 7,
    "expense": 8, "closed": 9,
}  # fmt: skip


def _of_call(call: CallEntry, path: Sequence[PathStep]) -> Iterable[Link]:
    yield Link(kind="ring", at=call.started_at, until=call.started_at, who=call.ani, id=call.id, what=call.dnis)
    if path:
        keyed = " → ".join(step.node for step in path)
        yield Link(kind="menu", at=path[0].at, until=path[-1].at, what=path[0].flow, state=keyed, id=call.id)
    yield from _visits(call)
    if call.answered_at is not None:
        yield Link(kind="talk", at=call.answered_at, until=call.ended_at, who=call.agent_id or "", id=call.id)


def _visits(call: CallEntry) -> Iterable[Link]:
    kept = call.detail.get("queue_visits")
    for visit in kept if isinstance(kept, list) else ():
        if isinstance(visit, dict) and isinstance(visit.get("entered_at"), str):
            left = visit.get("left_at")
            yield Link(
                kind="queue",
                at=datetime.fromisoformat(str(visit["entered_at"])),
                until=datetime.fromisoformat(left) if isinstance(left, str) else None,
                what=str(visit.get("queue") or ""),
                state=str(visit.get("outcome") or ""),
                id=call.id,
            )


def _of_recording(recording: Recording, now: datetime) -> Link:
    return Link(
        kind="recording",
        at=recording.started_at,
        until=recording.stopped_at,
        id=recording.id,
        state=recording.state(now),
    )


def _of_record(record: Record, timeline: Sequence[TimelineEntry]) -> Iterable[Link]:
    opened_by = next((entry.actor for entry in timeline if entry.kind == "opened"), "")
    yield Link(
        kind="opened",
        at=record.opened_at,
        until=record.opened_at,
        what=record.type,
        who=opened_by,
        number=record.number,
    )
    for entry in timeline:
        if entry.kind == "disposed":
            said = str(entry.data.get("disposition") or "")
            yield Link(kind="disposition", at=entry.at, until=entry.at, what=said, who=entry.actor)
    if record.closed_at is not None:
        yield Link(kind="closed", at=record.closed_at, until=record.closed_at, what=record.resolution or "")


def _of_order(order: WorkOrder, timeline: Sequence[TimelineEntry]) -> Link:
    """An order lasts from when it may be begun to its end; who did the last thing to it is who had it."""
    acts = [entry for entry in timeline if entry.data.get("order") in (order.number, order.id, order.key)]
    people = [entry.actor for entry in acts if entry.actor.startswith("user:")]
    return Link(
        kind="order",
        at=max(order.created_at, order.planned_at or order.created_at),
        until=None if order.is_open else max(order.updated_at, order.planned_at or order.created_at),
        what=order.kind,
        who=people[-1] if people else order.role,
        number=order.number,
        id=order.id,
        state=order.outcome or order.state,
    )


def _of_expense(line: ExpenseLine) -> Link:
    return Link(
        kind="expense",
        at=line.at,
        until=line.decided_at or line.at,
        what=line.what,
        who=line.payer,
        number=str(line.amount),
        id=line.id,
        state=line.state,
    )


def _waited(links: Sequence[Link]) -> Iterable[Link]:
    """Time that passed while no link lasted is waiting; a recording lasts beside the call that it is of."""
    busy_until: datetime | None = None
    for link in links:
        waited = timedelta(0) if busy_until is None else max(timedelta(0), link.at - busy_until)
        yield replace(link, waited_ms=round(waited.total_seconds() * 1000))
        if link.kind != "recording":
            end = link.until or link.at
            busy_until = end if busy_until is None else max(busy_until, end)


def _breaks(known: Known, now: datetime) -> Iterable[Break]:
    record = known.record
    for recording in known.recordings:
        if recording.state(now) == "lost":
            yield Break(kind="recording_lost", since=recording.started_at, id=recording.id)
    open_orders = [order for order in known.orders if order.is_open]
    if record.status == "closed":
        closed_at = record.closed_at or record.updated_at
        for order in open_orders:
            yield Break(kind="closed_with_open_orders", since=closed_at, number=order.number, id=order.id)
        for line in known.expenses:
            if line.state == "waiting":
                yield Break(kind="closed_with_open_expenses", since=closed_at, number=str(line.amount), id=line.id)
        asked = any(order.kind in ("follow_up", "survey") and order.state == "done" for order in known.orders)
        if known.follows_up and record.resolution == "resolved" and not asked:
            yield Break(kind="no_follow_up", since=closed_at)
        return
    for order in open_orders:
        if order.late:
            yield Break(
                kind="order_late", since=order.due_at or order.accept_by or order.created_at, number=order.number
            )
        elif order.state == "offered" and order.assignee is None and not order.role:
            yield Break(kind="order_unassigned", since=order.created_at, number=order.number, id=order.id)
    talked = max((call.ended_at for call in known.calls if call.ended_at is not None), default=record.opened_at)
    if known.in_process or open_orders:
        return
    if record.disposition is None:
        if now - talked > DISPOSED_WITHIN:
            yield Break(kind="not_disposed", since=talked)
    else:
        yield Break(kind="nobody_acts", since=record.updated_at)
