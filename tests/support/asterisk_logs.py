"""What Asterisk itself wrote down, its queue_log and CDRs, and where our account of a call differs from it."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from math import floor
from pathlib import Path

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.model.events import AgentRingEnded, CallSummary, QueueVisit, Segment
from ctiserver.model.ids import Interface
from ctiserver.system_name import without_system_name

_EXITS = {
    "CONNECT": "answered",
    "ABANDON": "abandoned",
    "EXITWITHTIMEOUT": "timeout",
    "EXITEMPTY": "empty",
    "EXITWITHKEY": "key",
}
#: How queue_log says that a member's phone rang in vain, and what we call that.
_RANG_OUT = {"RINGNOANSWER": ("no_answer", "busy", "declined", "failed"), "RINGCANCELED": ("cancelled",)}
#: Both logs have whole seconds, cut off; ours are compared as whole seconds too.
_NEAR_S = 1
_CDR_COLUMNS = (
    *("uniqueid", "linkedid", "src", "dst", "channel", "dstchannel", "start", "answer", "end"),
    *("duration", "billsec", "disposition"),
)


@dataclass
class LoggedVisit:
    """A queue visit as queue_log has it; whole seconds."""

    queue: str
    outcome: str = ""  #: empty while it lasts
    wait_s: int = 0
    member: str = ""
    talk_s: int | None = None
    ended_by: str = ""
    passed_on: str = ""  #: how the member passed the caller on, and to where: blind 102, attended
    rang_out: list[tuple[str, str, int]] = field(default_factory=list)  #: event, member, ms


def queue_log(pbx: PrivatePbx, linkedids: Collection[str]) -> list[LoggedVisit]:
    """The visits of one call, in order. A transfer is written down under the caller's id, or that of the second line."""
    visits: list[LoggedVisit] = []
    entered = 0
    for line in _whole_lines(Path(pbx.queue_log_path)):
        at, caller, queue, member, event, *data = line.split("|")
        if caller not in linkedids:
            continue
        if event == "ENTERQUEUE":
            entered = int(at)
            visits.append(LoggedVisit(queue))
        elif event in _RANG_OUT:
            visits[-1].rang_out.append((event, member, int(data[0])))
        elif event in _EXITS:
            last = visits[-1]
            last.outcome = _EXITS[event]
            last.wait_s = int(data[0]) if event == "CONNECT" else int(at) - entered
            last.member = member if event == "CONNECT" else ""
        elif event in ("COMPLETEAGENT", "COMPLETECALLER"):
            visits[-1].talk_s = int(data[1])
            visits[-1].ended_by = event.removeprefix("COMPLETE").lower()
        elif event == "BLINDTRANSFER":
            visits[-1].talk_s = int(data[3])
            visits[-1].passed_on = f"blind {data[0]}"
        elif event == "ATTENDEDTRANSFER":
            visits[-1].talk_s = int(data[3])
            visits[-1].passed_on = "attended"
    return visits


def cdrs(pbx: PrivatePbx, linkedids: Sequence[str]) -> list[dict[str, str]]:
    """Asterisk's CDRs of one call."""
    if not pbx.cdr_path.exists():
        return []
    rows = [dict(zip(_CDR_COLUMNS, row, strict=True)) for row in csv.reader(_whole_lines(pbx.cdr_path))]
    return [row for row in rows if row["linkedid"] in linkedids]


def _whole_lines(log: Path) -> list[str]:
    """The lines of a log that Asterisk has written to their ends; it may be in the middle of the last one."""
    whole, _, _ = log.read_text().rpartition("\n")
    return [without_system_name(line) for line in whole.splitlines()]


def disagreements(
    call: CallSummary, visits: Sequence[LoggedVisit], rows: Sequence[dict[str, str]], rings: Iterable[AgentRingEnded]
) -> list[str]:
    """Every way in which our account of an ended call is not Asterisk's, one line each; seconds may differ by one.

    ``rings``: how the call's rings ended. Member names in queue_log are to be those of the phones (``agent1``), or the
    member's interface where that leads to a phone by a Local channel.
    """
    return [
        *_visits(call, visits),
        *_rings(visits, rings),
        *_transfers(call, visits),
        *_parties(call, rows),
        *_times(call, rows),
        *_talks(call, rows),
        *_holes(call),
    ]


def _visits(call: CallSummary, logged: Sequence[LoggedVisit]) -> Iterable[str]:
    ours = [(visit.queue, visit.outcome) for visit in call.queue_visits if visit.entered_at != visit.left_at]
    theirs = [(visit.queue, visit.outcome) for visit in logged]
    if ours != theirs:
        yield f"queue visits: ours {ours}, queue_log {theirs}"
        return
    for visit, log in zip((v for v in call.queue_visits if v.entered_at != v.left_at), logged, strict=True):
        if not _lasted(_seconds(visit), log.wait_s):
            yield f"waited in {visit.queue}: ours {_seconds(visit)}, queue_log {log.wait_s}"
        if log.member and not log.member.startswith("Local/") and visit.agent != f"PJSIP/{log.member}":
            yield f"answered {visit.queue}: ours {visit.agent}, queue_log {log.member}"
        if log.talk_s is not None and visit.agent is not None:
            talked = _with_caller_s(call, visit.agent, visit)
            if not _lasted(talked, log.talk_s):
                yield f"talk of {visit.agent}: ours {talked}, queue_log {log.talk_s}"
        if log.ended_by and not call.transfers and log is logged[-1] and call.hangup_by != log.ended_by:
            yield f"hung up by: ours {call.hangup_by}, queue_log {log.ended_by}"


def _rings(logged: Sequence[LoggedVisit], rings: Iterable[AgentRingEnded]) -> Iterable[str]:
    ours = [(ring.queue, str(ring.member), ring.outcome, ring.ring_ms) for ring in rings if ring.queue is not None]
    for visit in logged:
        for event, member, ring_ms in visit.rang_out:
            named = member if "/" in member else f"PJSIP/{member}"
            match = next(
                (
                    ring
                    for ring in ours
                    if ring[:2] == (visit.queue, named)
                    and ring[2] in _RANG_OUT[event]
                    and ring[3] is not None
                    and _lasted(ring[3] / 1000, round(ring_ms / 1000))
                ),
                None,
            )
            if match is None:
                yield f"{event} of {member} in {visit.queue} after {ring_ms} ms: ours {ours}"
            else:
                ours.remove(match)
    vain = [ring for ring in ours if ring[2] in _RANG_OUT["RINGNOANSWER"]]
    if vain:
        yield f"rang in vain by our account alone: {vain}"


def _transfers(call: CallSummary, logged: Sequence[LoggedVisit]) -> Iterable[str]:
    theirs = [visit.passed_on for visit in logged if visit.passed_on]
    answered = {visit.agent for visit in call.queue_visits}
    passed = [(one.by, f"blind {one.to}" if one.kind == "blind" else "attended") for one in call.transfers]
    ours = [how for by, how in passed if by in answered]
    # app_queue looks at the channel that hung up to see whether that was a transfer. Where it comes too late to find it
    # (a busy machine), it writes COMPLETEAGENT, and nothing of the transfer.
    overlooked = {f"PJSIP/{visit.member}" for visit in logged if visit.ended_by == "agent"}
    seen = [how for by, how in passed if by in answered and not (how == "attended" and by in overlooked)]
    if theirs not in (ours, seen):
        yield f"transfers of who answered a queue: ours {ours}, queue_log {theirs}"


def _parties(call: CallSummary, rows: Sequence[dict[str, str]]) -> Iterable[str]:
    ours = {segment.party for segment in call.segments} - {"caller"}
    theirs = {_device(row[side]) for row in rows for side in ("channel", "dstchannel")} - {""}
    caller = {_device(row["channel"]) for row in rows if row["uniqueid"] == call.linkedids[0]}
    theirs = {device for device in theirs if not device.startswith("Local/")}
    if call.direction == "inbound":
        theirs -= caller
    if ours != theirs:
        yield f"parties: ours {sorted(ours)}, CDRs {sorted(theirs)}"
    if not any(row["src"] == call.ani for row in rows):
        yield f"calling number: ours {call.ani}, CDRs {sorted({row['src'] for row in rows})}"


def _times(call: CallSummary, rows: Sequence[dict[str, str]]) -> Iterable[str]:
    if not rows:
        yield "no CDR yet"
        return
    began, ended = min(_at(row["start"]) for row in rows), max(_at(row["end"]) for row in rows)
    if not _same(call.started_at, began):
        yield f"began: ours {call.started_at}, CDRs {began}"
    # Anyone who is left alone in a conference has no CDR, and no segment.
    lasted = max((s.ended_at for s in call.segments if s.ended_at is not None), default=call.ended_at)
    if not _same(lasted, ended):
        yield f"ended: ours {lasted}, CDRs {ended}"


def _talks(call: CallSummary, rows: Sequence[dict[str, str]]) -> Iterable[str]:
    """Whom CDRs saw answering: each row ends within a stay of that phone's, and the last of them with the last stay."""
    ends: defaultdict[Interface, list[datetime]] = defaultdict(list)
    for row in rows:
        for side in ("channel", "dstchannel"):
            ends[Interface(_device(row[side]))].append(_at(row["end"]))
    answered = {
        Interface(_device(row["dstchannel"]))
        for row in rows
        if row["disposition"] == "ANSWERED" and row["billsec"] != "0" and row["dstchannel"]
    }
    through = {party for party in ends if _stays(call, party)}
    for phone in sorted(answered - through):
        if not phone.startswith("Local/"):
            yield f"{phone} answered, by the CDRs alone"
    for phone in sorted(through):
        last = _stays(call, phone)[-1][1]
        if not _same(last, max(ends[phone])):
            yield f"{phone} was in the call until {max(ends[phone])} by the CDRs: ours until {last}"
    for phone in call.answered_by:
        if phone not in ends:
            yield f"answered by {phone}: no CDR says so"


def _holes(call: CallSummary) -> Iterable[str]:
    """The caller's time is whole: each stage begins where the one before it ended."""
    caller = [segment for segment in call.segments if segment.party == "caller"]
    for one, two in pairwise(caller):
        if one.ended_at is None or two.started_at is None:
            yield f"the caller's {one.kind} has no end, or {two.kind} no beginning"
        elif not 0 <= (two.started_at - one.ended_at).total_seconds() < 0.1:
            yield f"a hole in the caller's time between {one.kind} and {two.kind}"


def _with_caller_s(call: CallSummary, phone: Interface, visit: QueueVisit) -> float:
    """A phone's time with the caller of a visit as Asterisk counts it: from the answer on, hold and consult included."""
    stays = [(start, end) for start, end in _stays(call, phone) if visit.left_at is None or end > visit.left_at]
    return sum((end - start).total_seconds() for start, end in stays[:1])


def _stays(call: CallSummary, phone: Interface) -> list[tuple[datetime, datetime]]:
    """From when to when a phone was through: talk, hold and consult without a pause between them are one stay."""
    stays: list[tuple[datetime, datetime]] = []
    for segment in sorted((s for s in call.segments if _through(s, phone)), key=lambda s: str(s.started_at)):
        assert segment.started_at is not None
        assert segment.ended_at is not None
        if stays and (segment.started_at - stays[-1][1]).total_seconds() < 0.1:
            stays[-1] = (stays[-1][0], max(stays[-1][1], segment.ended_at))
        else:
            stays.append((segment.started_at, segment.ended_at))
    return stays


def _through(segment: Segment, phone: Interface) -> bool:
    timed = segment.started_at is not None and segment.ended_at is not None
    return timed and segment.party == phone and segment.kind in ("talk", "hold", "consult")


def _seconds(visit: QueueVisit) -> float | None:
    if visit.entered_at is None or visit.left_at is None:
        return None
    return (visit.left_at - visit.entered_at).total_seconds()


def _lasted(ours: float | None, theirs: float) -> bool:
    """Whether a span is the same. Theirs is the difference of two times that were cut off."""
    return ours is not None and abs(round(ours) - theirs) <= _NEAR_S


def _same(ours: datetime | None, theirs: datetime) -> bool:
    """Whether an instant is the same. Theirs was cut off, so is ours: 29.999 is 29 to them, 30.000 is 30 to us."""
    return ours is not None and abs(floor(ours.timestamp()) - theirs.timestamp()) <= _NEAR_S


def _at(text: str) -> datetime:
    """A CDR's time: the PBX's own zone, which on a private one is the machine's."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").astimezone(UTC)


def _device(channel: str) -> str:
    return channel.rpartition("-")[0]
