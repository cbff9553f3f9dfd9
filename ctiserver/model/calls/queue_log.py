"""app_queue's own log: what it wrote of callers' visits, whether anybody listened or not. Whole seconds; pure.

A line is ``seconds|uniqueid|queue|agent|event|data…``. The agent is the member's name where ``log_membername_as_agent``
is set, else its interface; ``NONE`` where the line is about no member.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from ctiserver.model.events import QueueOutcome
from ctiserver.model.ids import QueueName, Uniqueid
from ctiserver.system_name import bearer, without_system_name

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


#: What must be a number in a line of each kind, since it is reckoned with; an entering ends with the position.
_NUMBERS: dict[str, tuple[int, ...]] = {
    "ENTERQUEUE": (2,),
    "CONNECT": (0,),
    **{event: (position,) for event, (_, position) in _EXITS.items()},
    **dict.fromkeys(_ENDS, (-3, -2)),
}
_TIME = re.compile(r"\d{9,10}")
_ID = re.compile(r"[A-Za-z0-9_.;:@+-]{1,150}")
_EVENT = re.compile(r"[A-Z]{1,32}")
_SECONDS = re.compile(r"\d{1,7}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST = 2000
#: What stands for an id in lines that are about no call.
_OF_NO_CALL = frozenset({"NONE", "MANAGER", "REALTIME"})
#: What fits into a caller's number, and the position after it.
_CALLERS = 88
_OUT_OF_ORDER = timedelta(hours=1)


class QueueLogLine(NamedTuple):
    """One line."""

    at: datetime
    uniqueid: Uniqueid
    queue: QueueName
    agent: str
    event: str
    data: tuple[str, ...]


def read_line(text: str) -> QueueLogLine | None:
    """None for what is not a line that app_queue writes, whole and with nothing else in it."""
    parts = text.removesuffix("\n").split("|")
    if len(parts) < 5 or not _TIME.fullmatch(parts[0]) or _CONTROL.search(text.removesuffix("\n")):
        return None
    uniqueid, queue, agent, event, *data = parts[1:]
    if not _ID.fullmatch(uniqueid) or not _EVENT.fullmatch(event) or len(text) > _LONGEST:
        return None
    if not all(_is_number(data, position) for position in _NUMBERS.get(event, ())):
        return None
    at = datetime.fromtimestamp(int(parts[0]), UTC)
    return QueueLogLine(at, Uniqueid(uniqueid), QueueName(queue), agent, event, tuple(data))


def _is_number(data: list[str], position: int) -> bool:
    least = position + 1 if position >= 0 else -position
    return len(data) >= least and _SECONDS.fullmatch(data[position]) is not None


class LogReader:
    """Reads lines one after the other, as a file that a caller may have written into.

    The number of a caller stands in the line of an entering, with whatever they made of it (docs/security.md): they can
    end that line and write another. What they can't do is to write more than fits into a number, so what comes so soon
    after a line that was cut is not believed; nor to know the PBX's secret systemname, with which each line about a
    call begins where there is one.
    """

    def __init__(self, signs: Collection[str] = ()) -> None:
        """``signs``: the PBX's secret systemnames, now and before; none: lines are judged by what they look like."""
        self.refused = 0  #: lines that were not believed
        self._signs = signs
        self._room = 0  #: how many characters of a caller's may still come

    def read(self, text: str) -> QueueLogLine | None:
        """The line, without the secret in its id; None if it is not believed."""
        line = self._believed(text)
        self.refused += line is None
        return line

    def _believed(self, text: str) -> QueueLogLine | None:
        line = read_line(text)
        if self._room:
            self._room = max(0, self._room - len(text))
            if self._room:
                return None
        if line is None:
            self._room = _CALLERS
            return None
        if self._signs and line.uniqueid not in _OF_NO_CALL and bearer(line.uniqueid) not in self._signs:
            return None
        return line._replace(uniqueid=Uniqueid(without_system_name(line.uniqueid)))


def in_order(lines: Sequence[QueueLogLine]) -> list[QueueLogLine]:
    """Without those that are hours off between the others: Asterisk writes none of them, but for a clock that is set.

    What most lines agree on is the longest row of them in which no time goes back.
    """
    ends: list[datetime] = []  #: the earliest time at which a row of each length may end
    lengths: list[int] = []
    for line in lines:
        length = bisect_right(ends, line.at)
        ends[length : length + 1] = [line.at]
        lengths.append(length)
    in_row = [False] * len(lines)
    wanted, latest = len(ends) - 1, None
    for position in range(len(lines) - 1, -1, -1):
        at = lines[position].at
        if lengths[position] == wanted and (latest is None or at <= latest):
            in_row[position], latest = True, at
            wanted -= 1
    kept: list[QueueLogLine] = []
    around: datetime | None = None
    for line, agreed in zip(lines, in_row, strict=True):
        if agreed:
            around = line.at
        if agreed or (around is not None and abs(line.at - around) <= _OUT_OF_ORDER):
            kept.append(line)
    return kept


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


def visits(lines: Iterable[QueueLogLine]) -> list[LoggedVisit]:
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


def _left(line: QueueLogLine, visit: LoggedVisit | None, wait_s: int) -> LoggedVisit:
    if visit is None or visit.queue != line.queue:
        visit = LoggedVisit(uniqueid=line.uniqueid, queue=line.queue, entered_at=line.at - timedelta(seconds=wait_s))
    return replace(visit, left_at=line.at, wait_s=wait_s)


def _talked(line: QueueLogLine, visit: LoggedVisit | None) -> LoggedVisit:
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
