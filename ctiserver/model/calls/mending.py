"""A call that we did not see, or not whole, told by the PBX's queue_log; pure.

What was seen stays: queue_log has whole seconds and knows nothing of menus. What was not seen is filled in, and the
call says that it was ``reconstructed``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ctiserver.model.calls import call_detail
from ctiserver.model.calls.call import VISIT_OUTCOMES
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.calls.queue_log import LoggedVisit
from ctiserver.model.events import HangupBy, QueueVisit
from ctiserver.model.ids import CallId, Interface, PbxName
from ctiserver.model.json_value import Json
from ctiserver.model.person import Agent

#: Two accounts of one entry into a queue: one is cut to the second, and ours may come from the time waited.
_SAME = timedelta(seconds=3)

#: Who a member is, by the name that queue_log gives it; None: nobody of ours.
Who = Callable[[str], Agent | None]


def told(call: CallId, pbx: PbxName, logged: Sequence[LoggedVisit], who: Who, *, began: datetime) -> CallEntry:
    """The entry of a call that only queue_log knows. ``logged`` are its visits, one at least."""
    blank = CallEntry(
        id=call,
        pbx=pbx,
        direction="inbound",
        ani=next((visit.caller for visit in logged if visit.caller), ""),
        started_at=began,
        complete=True,
        detail={"linkedids": [str(logged[0].uniqueid)], "reconstructed": True, "ended": "unseen"},
    )
    return mended(blank, logged, who)


def mended(entry: CallEntry, logged: Sequence[LoggedVisit], who: Who) -> CallEntry:
    """An entry of a call that is over, with what queue_log adds to it. Mending it twice changes nothing more."""
    seen_visits = call_detail.summary(entry).queue_visits
    visits = _merged(seen_visits, logged, who)
    answered = [visit for visit in visits if visit.outcome == "answered"]
    seen_end = entry.detail.get("ended") in ("hangup", "merged")
    outcome = entry.outcome
    if outcome == "failed" and seen_visits and seen_visits[-1].outcome == "unknown":
        outcome = None  # said for want of knowing how the caller left the queue
    if outcome != "voicemail" and visits:
        outcome = "answered" if answered else (outcome or VISIT_OUTCOMES[visits[-1].outcome])
    agent = next((found for visit in reversed(logged) if visit.agent and (found := who(visit.agent))), None)
    talks = [visit.talk_s for visit in logged if visit.talk_s is not None]
    return replace(
        entry,
        queue=str(visits[-1].queue) if visits else entry.queue,
        answered_at=entry.answered_at or _answered_at(entry, answered),
        ended_at=entry.ended_at if seen_end else _ended_at(entry, logged),
        outcome=outcome,
        hangup_by=entry.hangup_by or (_ended_by(logged[-1]) if logged else None),
        agent_id=entry.agent_id or (None if agent is None else agent.id),
        wait_ms=_wait_ms(visits) if visits else entry.wait_ms,
        talk_ms=max(entry.talk_ms or 0, sum(talks) * 1000) if talks else entry.talk_ms,
        detail={
            **entry.detail,
            "reconstructed": True,
            "queue_visits": [call_detail.visit(visit) for visit in visits],
            "answered_by": _answered_by(entry, answered),
        },
    )


def _ended_at(entry: CallEntry, logged: Sequence[LoggedVisit]) -> datetime | None:
    # Of a talk whose end nobody wrote down, the answer is the end only where nothing better is known.
    ends = [
        visit.talked_until or visit.left_at
        for visit in logged
        if visit.talked_until or visit.outcome != "answered" or entry.ended_at is None
    ]
    known = [end for end in ends if end is not None]
    return max(*known, entry.started_at) if known else entry.ended_at


def _answered_at(entry: CallEntry, answered: Sequence[QueueVisit]) -> datetime | None:
    times = [visit.left_at for visit in answered if visit.left_at is not None]
    return max(times[0], entry.started_at) if times else None


def _ended_by(last: LoggedVisit) -> HangupBy | None:
    return "caller" if last.outcome == "abandoned" else last.ended_by


def _merged(seen: Sequence[QueueVisit], logged: Sequence[LoggedVisit], who: Who) -> list[QueueVisit]:
    left = list(seen)
    visits = []
    for log in logged:
        ours = next((visit for visit in left if _is(visit, log)), None)
        if ours is not None:
            left.remove(ours)
        visits.append(_visit(log, who) if ours is None else _filled(ours, _visit(log, who)))
    return sorted([*visits, *left], key=lambda visit: (visit.entered_at is None, visit.entered_at))


def _is(ours: QueueVisit, log: LoggedVisit) -> bool:
    if ours.queue != log.queue:
        return False
    if ours.entered_at is not None:
        return abs(ours.entered_at - log.entered_at) <= _SAME
    return ours.left_at is None or (log.left_at is not None and abs(ours.left_at - log.left_at) <= _SAME)


def _filled(ours: QueueVisit, log: QueueVisit) -> QueueVisit:
    """What we saw, and what we did not see of it. An answer is known to the PBX even if we took it for a loss."""
    known = ours.outcome not in ("unknown", "timeout") or log.outcome == "unknown"
    entered_at, left_at = ours.entered_at or log.entered_at, ours.left_at or log.left_at
    if entered_at is not None and left_at is not None:
        left_at = max(left_at, entered_at)  # the log's second may have begun before ours
    return replace(
        ours,
        entered_at=entered_at,
        left_at=left_at,
        outcome=ours.outcome if known else log.outcome,
        agent=ours.agent or log.agent,
    )


def _visit(log: LoggedVisit, who: Who) -> QueueVisit:
    agent = who(log.agent) if log.agent else None
    interface = Interface(log.agent) if log.agent and agent is None else None if agent is None else agent.interface
    return QueueVisit(
        queue=log.queue, entered_at=log.entered_at, left_at=log.left_at, outcome=log.outcome, agent=interface
    )


def _wait_ms(visits: Sequence[QueueVisit]) -> int:
    waits = [
        visit.left_at - visit.entered_at
        for visit in visits
        if visit.entered_at is not None and visit.left_at is not None
    ]
    return round(sum(waits, timedelta()).total_seconds() * 1000)


def _answered_by(entry: CallEntry, answered: Sequence[QueueVisit]) -> list[Json]:
    known = call_detail.summary(entry).answered_by
    return list(dict.fromkeys([*known, *(visit.agent for visit in answered if visit.agent is not None)]))
