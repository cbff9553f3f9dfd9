"""``process try``: a process walked through in the terminal, on a virtual clock, an answer or some time at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import click

from ctiserver.errors import UserFault
from ctiserver.model.calendar.span import Span
from ctiserver.model.process.definition import CLOCKED
from ctiserver.model.process.simulation import Impossible, PlayedOrder, Simulation
from ctiserver.model.work.work_order import OPEN_STATES

HELP = """\
  OUTCOME         the result of the open order: done, not_home, declined …
  ORDER OUTCOME   the same, where several orders are open
  accept [ORDER]  a person accepts it
  EVENT           something that may happen at any time, such as called_again
  wait SPAN       time passes: wait 2h, wait 30 minutes, wait 4 working hours
  next            time passes until the next deadline
  q               leave"""
#: What a timer's kind means to people.
_TIMERS = {
    "begin": "it is offered",
    "unaccepted": "not accepted until then: as if declined",
    "late": "it is late",
    "attempt": "not reached until then: unreachable",
}


class Walk:
    """One life of a process, told line by line."""

    def __init__(self, simulation: Simulation, zone: ZoneInfo, say: Callable[[str], None] = click.echo) -> None:
        self._simulation = simulation
        self._zone = zone
        self._say = say
        self._said: dict[str, PlayedOrder] = {}
        self._told = 0
        self._raised = 0
        self.tell()

    @property
    def over(self) -> bool:
        return self._simulation.resolution is not None

    def act(self, line: str) -> None:
        """Do what a line says. Raises Impossible, and nothing happened, if it can't be."""
        words = line.split()
        match words:
            case ["wait", *span]:
                try:
                    until = self._simulation.after(Span.read(" ".join(span)))
                except ValueError as error:
                    raise Impossible(str(error)) from None
                self._wait(until)
            case ["next"]:
                if not self._simulation.timers:
                    raise Impossible("no deadline is set")
                self._wait(self._simulation.timers[0][0])
            case ["accept", *slots] if len(slots) <= 1:
                self._simulation.accept(slots[0] if slots else self._only("accept"))
            case [event] if event in self._simulation.definition.any_time:
                self._simulation.happens(event)
            case [outcome]:
                self._simulation.answer(self._only(outcome), outcome)
            case [slot, outcome]:
                self._simulation.answer(slot, outcome)
            case _:
                raise Impossible(f"{line!r} is not a known command; ? lists them")
        self.tell()

    def _wait(self, until: datetime) -> None:
        """From deadline to deadline, so that each is told with its time."""
        while not self.over and (due := [at for at, _ in self._simulation.timers if at <= until]):
            self._simulation.wait_until(max(due[0], self._simulation.now))
            self.tell()
        if not self.over:
            self._simulation.wait_until(until)

    def _only(self, outcome: str) -> str:
        """The one order that this can be said of. Raises Impossible if there are none or several."""
        opened = self._open()
        able = [order.opened.slot for order in opened if outcome in (*order.opened.outcomes, "declined", "accept")]
        if len(able) == 1:
            return able[0]
        if able:
            raise Impossible(f"which one? {' or '.join(f'{slot} {outcome}' for slot in able)}")
        known = sorted(
            {one for order in opened for one in order.opened.outcomes} | {*self._simulation.definition.any_time}
        )
        raise Impossible(f"{outcome!r} is not an outcome or event here; valid: {', '.join(known) or 'none'}")

    def _open(self) -> list[PlayedOrder]:
        return [order for order in self._simulation.orders.values() if order.state in OPEN_STATES]

    # What is told

    def tell(self) -> None:
        """Say what is new since the last time."""
        for key, order in self._simulation.orders.items():
            before = self._said.get(key)
            if before != order:
                self._line(_order(key, order, before, self._at))
                self._said[key] = order
        for notice in self._simulation.told[self._told :]:
            about = f" about {notice.key}" if notice.key else ""
            self._line(f"{notice.whom} is notified: {notice.what}{about}")
        self._told = len(self._simulation.told)
        if self._simulation.priority != self._raised:
            self._line(f"the record is more urgent by {self._simulation.priority - self._raised}")
            self._raised = self._simulation.priority
        if self.over:
            self._line(f"the record is closed: {self._simulation.resolution}")

    def stand(self) -> Iterator[str]:
        """Where the process stands: its step, its open orders, and what the clock will do."""
        yield f"step {self._simulation.state.step}"
        for order in self._open():
            can = ", ".join(one for one in order.opened.outcomes if one not in CLOCKED)
            late = ", late" if order.late else ""
            yield f"  {order.opened.slot}: {_whose(order)}, {order.state}{late}; can come to {can}"
        for at, key in self._simulation.timers:
            name, _, kind = key.partition(":")
            kind = kind.partition("@")[0]
            what = _TIMERS.get(kind) or f"a reminder at {kind.removeprefix('remind')} %"
            yield f"  {self._at(at)}  {name}: {what}"
        if events := ", ".join(self._simulation.definition.any_time):
            yield f"  at any time: {events}"

    def _line(self, text: str) -> None:
        self._say(f"{self._at(self._simulation.now)}  {text}")

    def _at(self, moment: datetime) -> str:
        return f"{moment.astimezone(self._zone):%a %Y-%m-%d %H:%M}"


def _order(key: str, order: PlayedOrder, before: PlayedOrder | None, at: Callable[[datetime], str]) -> str:
    if before is not None and order.late and not before.late:
        return f"{key} is late"
    if before is not None:
        return f"{key} is {order.state}"
    opened = order.opened
    when = [
        *([f"planned for {at(opened.planned_at)}"] if opened.planned_at and order.state == "draft" else []),
        *([f"accept by {at(opened.accept_by)}"] if opened.accept_by else []),
        *([f"due {at(opened.due_at)}"] if opened.due_at else []),
    ]
    return f"{key} is made: a {opened.kind} order for {_whose(order)}" + "".join(f", {text}" for text in when)


def _whose(order: PlayedOrder) -> str:
    if order.opened.call is not None:
        return f"the server, which calls with {order.opened.call}"
    return f"the {order.opened.role}" if order.opened.role != "owner" else "the record's owner"


def talk(walk: Walk, read: Callable[[str], str | None]) -> None:
    """Walk until the record is closed, or there are no more lines."""
    _stand(walk)
    while not walk.over and (line := read("> ")) not in (None, "q"):
        if not line:
            _stand(walk)
        elif line == "?":
            click.echo(HELP)
        else:
            try:
                walk.act(line)
            except Impossible as impossible:
                click.secho(f"  {impossible}", fg="yellow")
            else:
                _stand(walk)


def _stand(walk: Walk) -> None:
    if not walk.over:
        for line in walk.stand():
            click.secho(line, dim=True)


def run_script(walk: Walk, lines: list[str], name: str) -> None:
    """Walk as a file says, a line each; ``#`` begins a comment. Raises UserFault at the first that can't be."""
    for number, text in enumerate(lines, 1):
        line = text.partition("#")[0].strip()
        if not line:
            continue
        click.echo(f"> {line}")
        if walk.over:
            raise UserFault(
                "the record is closed already", where=f"{name}:{number}", fix="End the script before this line"
            )
        try:
            walk.act(line)
        except Impossible as impossible:
            raise UserFault(
                str(impossible), where=f"{name}:{number}", fix="See `ctiserver process try` and its ?"
            ) from None
