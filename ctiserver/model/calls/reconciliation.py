"""Our calls against what the PBX wrote of them itself: CDRs and queue_log. Call by call, every difference; pure.

What is held against what, and why no closer: docs/reference/reconcile.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from ctiserver.model.calls.call import interface_of, is_local
from ctiserver.model.calls.queue_log import LoggedVisit
from ctiserver.model.events import CallSummary, QueueVisit
from ctiserver.model.ids import CallId, Interface, PbxName, Uniqueid, call_id

#: Asterisk writes whole seconds, and ends what it counts a moment before or after the channel.
NEAR = timedelta(seconds=1)
#: Part of a second that a party is in a CDR for while the call is moved to another (pick-up, transfer).
_MOVED = timedelta(seconds=1)
#: Asterisk reads its clock again for each log, a moment before or after the event that told us.
_READ_APART = timedelta(milliseconds=100)

T = TypeVar("T")
Source = Literal["cdr", "queue_log"]
#: A member as queue_log names it → its devices; two people may have one name.
Names = Mapping[str, Collection[Interface]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CdrRow:
    """One call detail record: who was with whom. ``linkedid`` is the uniqueid where the PBX does not write it."""

    uniqueid: str
    linkedid: str
    src: str
    channel: str
    dstchannel: str
    start: datetime
    answer: datetime | None
    end: datetime
    disposition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing about one call that ours and theirs don't agree on."""

    source: Source
    call_id: CallId | None  #: None: a call that we don't know
    linkedid: str
    what: str
    ours: str
    theirs: str


def reconcile(
    calls: Sequence[CallSummary],
    rows: Iterable[CdrRow] | None,
    visits: Iterable[LoggedVisit] | None,
    names: Names,
) -> list[Difference]:
    """Every difference; a source that is None was not asked. ``calls`` are those of one PBX that are over."""
    known = {str(linkedid): call for call in calls for linkedid in call.linkedids}
    by_id = {call.call_id: call for call in calls}
    pbx = calls[0].pbx if calls else PbxName("")

    def find(linkedid: str) -> CallSummary | None:
        return known.get(linkedid) or by_id.get(call_id(pbx, Uniqueid(linkedid)))

    differences: list[Difference] = []
    if rows is not None:
        found, strange = _by_call(find, ((row.linkedid, row) for row in rows))
        differences += [_unknown("cdr", linkedid, _said(group)) for linkedid, group in strange.items()]
        for call in calls:
            differences += against_cdrs(call, found[call.call_id])
    if visits is not None:
        waited, strangers = _by_call(find, ((str(visit.uniqueid), visit) for visit in visits))
        differences += [
            _unknown("queue_log", uniqueid, ", ".join(f"{visit.queue} {visit.outcome}" for visit in group))
            for uniqueid, group in strangers.items()
        ]
        for call in calls:
            differences += against_queue_log(call, waited[call.call_id], names)
    return differences


def _by_call(
    find: Callable[[str], CallSummary | None], keyed: Iterable[tuple[str, T]]
) -> tuple[dict[CallId, list[T]], dict[str, list[T]]]:
    found: dict[CallId, list[T]] = defaultdict(list)
    strange: dict[str, list[T]] = defaultdict(list)
    for key, item in keyed:
        call = find(key)
        (strange[key] if call is None else found[call.call_id]).append(item)
    return found, strange


def _unknown(source: Source, linkedid: str, theirs: str) -> Difference:
    return Difference(
        source=source, call_id=None, linkedid=linkedid, what="the call", ours="is not in the call log", theirs=theirs
    )


def _said(rows: Sequence[CdrRow]) -> str:
    first = rows[0]
    return f"{first.start:%H:%M:%S} {first.src or 'withheld'} {first.channel} {first.dstchannel} {first.disposition}"


class _Compared:
    """Collects what differs of one call against one source."""

    def __init__(self, source: Source, call: CallSummary) -> None:
        self._source = source
        self._call = call
        self.found: list[Difference] = []

    def add(self, what: str, ours: object, theirs: object) -> None:
        self.found.append(
            Difference(
                source=self._source,
                call_id=self._call.call_id,
                linkedid=str(self._call.linkedids[0]) if self._call.linkedids else "",
                what=what,
                ours=str(ours),
                theirs=str(theirs),
            )
        )

    def same(self, what: str, ours: object, theirs: object) -> None:
        if ours != theirs:
            self.add(what, ours, theirs)

    def near(self, what: str, ours: datetime | None, theirs: datetime) -> None:
        if ours is None and self._call.reconstructed:
            return  # it says itself that not all of it is known
        if ours is None or not -NEAR <= ours - theirs < 2 * NEAR:  # theirs is cut to the second, as ours may be
            self.add(what, "unknown" if ours is None else _clock(ours), _clock(theirs))

    def as_long(self, what: str, ours: timedelta, theirs: timedelta, parts: int = 1) -> None:
        """``parts``: how many lengths, each cut to seconds, were added up."""
        if abs(ours - theirs) > NEAR * max(1, parts) + _READ_APART:
            self.add(what, f"{ours.total_seconds():.1f} s", f"{theirs.total_seconds():.0f} s")


def against_cdrs(call: CallSummary, rows: Sequence[CdrRow]) -> list[Difference]:
    """Beginning, end, caller, the people reached and how long each, and what a call that reached nobody came to."""
    compared = _Compared("cdr", call)
    if not rows:
        compared.add("the call", "is in the call log", "no CDR")
        return compared.found
    compared.near("began", call.started_at, min(row.start for row in rows))
    compared.near("ended", call.ended_at, max(row.end for row in rows))
    callers = [row for row in rows if call_id(call.pbx, Uniqueid(row.uniqueid)) == call.call_id]
    if call.direction == "inbound" and callers:
        compared.same("caller's number", call.ani, callers[0].src)
    first = {interface_of(row.channel) for row in callers}
    reached = _times_with_others(rows)
    for party in sorted(reached.keys() - set(call.answered_by) - first):
        if _length(reached[party]) >= _MOVED:
            compared.add("reached", "no", f"{party} for {_length(reached[party]).total_seconds():.0f} s")
    for party in call.answered_by:
        if party not in reached:
            compared.add("reached", party, "no")
            continue
        if not _is_unseen(call, party):
            compared.as_long(
                f"time of {party}", time_in_call(call, party), _length(reached[party]), parts=len(reached[party])
            )
    if not call.answered_by and not call.queue_visits and call.outcome not in ("ivr", "voicemail"):
        compared.same("disposition", _DISPOSITIONS.get(call.outcome or "", "FAILED"), _disposition(rows))
    return compared.found


#: Asterisk's word for a dial that reached nobody; it has none for a caller who gave up.
_DISPOSITIONS = {"busy": "BUSY", "no_answer": "NO ANSWER", "abandoned": "NO ANSWER"}


def _disposition(rows: Sequence[CdrRow]) -> str:
    last = max((row for row in rows if row.dstchannel), key=lambda row: row.end, default=rows[-1])
    return "FAILED" if last.disposition == "CONGESTION" else last.disposition


def _times_with_others(rows: Iterable[CdrRow]) -> dict[Interface, list[tuple[datetime, datetime]]]:
    """When each device was through to somebody, by the CDRs that name two channels."""
    times: dict[Interface, list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in rows:
        if row.disposition == "ANSWERED" and row.answer is not None and row.dstchannel:
            for channel in (row.channel, row.dstchannel):
                if not is_local(channel):
                    times[interface_of(channel)].append((row.answer, row.end))
    return {party: _joined(parts) for party, parts in times.items()}


def _joined(times: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    joined: list[tuple[datetime, datetime]] = []
    for start, end in sorted(times):
        if joined and start <= joined[-1][1] + NEAR:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _length(times: Iterable[tuple[datetime, datetime]]) -> timedelta:
    return sum((end - start for start, end in times), timedelta())


def time_in_call(call: CallSummary, party: Interface) -> timedelta:
    """How long a party was through to somebody, as Asterisk counts it: hold and consultation included."""
    parts = [
        (part.started_at, part.ended_at)
        for part in call.segments
        if part.party == party and part.kind in ("talk", "hold", "consult")
    ]
    return _length((start, end) for start, end in parts if start is not None and end is not None)


def _is_unseen(call: CallSummary, party: Interface) -> bool:
    """Whether a call of which a part was missed holds nothing of when this party was in it."""
    return call.reconstructed and not any(part.party == party for part in call.segments)


def against_queue_log(call: CallSummary, logged: Sequence[LoggedVisit], names: Names) -> list[Difference]:
    """The visits in order: queue, exit, wait, who answered, how long they talked, and who ended it."""
    compared = _Compared("queue_log", call)
    # Whom a full or empty queue did not let in is not in its log.
    ours = [visit for visit in call.queue_visits if not _refused(visit)]
    said = [(str(visit.queue), visit.outcome) for visit in logged]
    if [(str(visit.queue), visit.outcome) for visit in ours] != said:
        compared.add("queues", _listed((str(visit.queue), visit.outcome) for visit in ours), _listed(said))
        return compared.found
    for visit, theirs in zip(ours, logged, strict=True):
        at = f"in {visit.queue}"
        if visit.entered_at is None or visit.left_at is None:
            compared.add(f"wait {at}", "unknown", f"{theirs.wait_s} s")
        elif theirs.wait_s is not None:
            compared.as_long(f"wait {at}", visit.left_at - visit.entered_at, timedelta(seconds=theirs.wait_s))
        if visit.outcome == "answered":
            _talk(compared, call, visit, theirs, names)
    last = logged[-1] if logged else None
    if last is not None and last.ended_by is not None and not call.transfers:
        compared.same("ended by", call.hangup_by, last.ended_by)
    return compared.found


def _talk(compared: _Compared, call: CallSummary, visit: QueueVisit, theirs: LoggedVisit, names: Names) -> None:
    at = f"in {visit.queue}"
    devices = set(names.get(theirs.agent, ())) | {Interface(theirs.agent)}
    rang = {part.party for part in call.segments if part.kind == "ring"}
    # Of a call that somebody picked up from another phone, app_queue names the member whom it rang.
    picked_up = visit.agent is not None and visit.agent not in rang and bool(devices & rang)
    if visit.agent not in devices and not picked_up:
        compared.add(f"answered {at}", visit.agent, theirs.agent)
    if theirs.talk_s is None or visit.agent is None or _is_unseen(call, visit.agent):
        return
    if not _again(call, visit):
        compared.as_long(f"talk {at}", time_in_call(call, visit.agent), timedelta(seconds=theirs.talk_s))


def _again(call: CallSummary, visit: QueueVisit) -> bool:
    """Whether the same agent took this caller more than once: our times of theirs are of all of them together."""
    return sum(other.agent == visit.agent for other in call.queue_visits) > 1


def _refused(visit: QueueVisit) -> bool:
    return visit.outcome in ("full", "empty") and visit.entered_at == visit.left_at


def _listed(visits: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{queue} {outcome}" for queue, outcome in visits) or "none"


def _clock(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="seconds")
