"""app_queue's own log: what it wrote of callers' visits, whether anybody listened or not. Whole seconds; pure.

A line is ``seconds|uniqueid|queue|agent|event|data…``. The agent is the member's name where ``log_membername_as_agent``
is set, else its interface; ``NONE`` where the line is about no member.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from ctiserver.model.events import QueueOutcome
from ctiserver.model.ids import QueueName, Uniqueid

#: How a visit ends before anybody answered, and which datum is the seconds waited.
_EXITS: dict[str, tuple[QueueOutcome, int]] = {
    "ABANDON": ("abandoned", 2),
    "EXITWITHTIMEOUT": ("timeout", 2),
    "EXITEMPTY": ("empty", 2),
    "EXITWITHKEY": ("key", 3),
    "WITHDRAW": ("key", 2),
}
#: How the talk after it ends, by whom; the last three data are always wait, talk and position.
_ENDS: dict[str, Literal["caller", "agent"] | None] = {
    "COMPLETECALLER": "caller",
    "COMPLETEAGENT": "agent",
    "BLINDTRANSFER": None,
    "ATTENDEDTRANSFER": None,
    "TRANSFER": None,  # before Asterisk 12
}


class Line(NamedTuple):
    """One line."""

    at: datetime
    uniqueid: Uniqueid
    queue: QueueName
    agent: str
    event: str
    data: tuple[str, ...]


def read_line(text: str) -> Line | None:
    """None for what is no line of a queue_log."""
    parts = text.rstrip("\r\n").split("|")
    if len(parts) < 5 or not parts[0].isdecimal() or len(parts[0]) > 10:
        return None
    at = datetime.fromtimestamp(int(parts[0]), UTC)
    return Line(at, Uniqueid(parts[1]), QueueName(parts[2]), parts[3], parts[4], tuple(parts[5:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedVisit:
    """A caller's stay in a queue, and the talk that followed."""

    uniqueid: Uniqueid
    queue: QueueName
    caller: str = ""  #: the number, where the line of its entering was seen
    entered_at: datetime
    left_at: datetime | None = None  #: None: still waiting, or the PBX died
    wait_s: int | None = None
    outcome: QueueOutcome = "unknown"
    agent: str = ""  #: the member as the log names it
    talk_s: int | None = None  #: until the agent was out of the call, hold included
    talked_until: datetime | None = None
    ended_by: Literal["caller", "agent"] | None = None  #: None also: handed on
    handed_on: bool = False


def visits(lines: Iterable[Line]) -> list[LoggedVisit]:
    """The visits in these lines, in the order of their beginning; one not seen is reckoned from the wait."""
    done: list[LoggedVisit] = []
    now: dict[Uniqueid, LoggedVisit] = {}
    for line in lines:
        visit = now.get(line.uniqueid)
        if line.event == "ENTERQUEUE":
            if visit is not None:
                done.append(visit)
            caller = line.data[1] if len(line.data) > 1 else ""
            now[line.uniqueid] = LoggedVisit(
                uniqueid=line.uniqueid, queue=line.queue, caller=caller, entered_at=line.at
            )
        elif line.event == "CONNECT":
            visit = _left(line, visit, _number(line.data, 0))
            now[line.uniqueid] = replace(visit, outcome="answered", agent=line.agent)
        elif line.event in _EXITS:
            outcome, position = _EXITS[line.event]
            done.append(replace(_left(line, visit, _number(line.data, position)), outcome=outcome))
            now.pop(line.uniqueid, None)
        elif line.event in _ENDS:
            done.append(_talked(line, visit))
            now.pop(line.uniqueid, None)
    return sorted([*done, *now.values()], key=lambda visit: visit.entered_at)


def _left(line: Line, visit: LoggedVisit | None, wait_s: int) -> LoggedVisit:
    if visit is None or visit.queue != line.queue:
        visit = LoggedVisit(uniqueid=line.uniqueid, queue=line.queue, entered_at=line.at - timedelta(seconds=wait_s))
    return replace(visit, left_at=line.at, wait_s=wait_s)


def _talked(line: Line, visit: LoggedVisit | None) -> LoggedVisit:
    wait_s, talk_s = _number(line.data, -3), _number(line.data, -2)
    if visit is None or visit.outcome != "answered":
        connected = line.at - timedelta(seconds=talk_s)
        visit = LoggedVisit(
            uniqueid=line.uniqueid,
            queue=line.queue,
            entered_at=connected - timedelta(seconds=wait_s),
            left_at=connected,
            wait_s=wait_s,
            outcome="answered",
            agent=line.agent,
        )
    ended_by = _ENDS[line.event]
    return replace(visit, talk_s=talk_s, talked_until=line.at, ended_by=ended_by, handed_on=ended_by is None)


def _number(data: tuple[str, ...], position: int) -> int:
    try:
        return max(0, int(data[position]))
    except (IndexError, ValueError):
        return 0
