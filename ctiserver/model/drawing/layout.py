"""Where the boxes and arrows of a graph go: layer by layer, arrows beside boxes and never behind them.

Sugiyama's way: an arrow over several rows gets a waypoint in each row between, which keeps room like a narrow box; rows
are sorted by the mean place of their neighbours, a few times up and down, and then pulled straight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

BOX_W, BOX_H = 168, 46
GAP_Y = 84
_GAP_X = 34
_WAY_W = 22
_MARGIN = 28
_SWEEPS = 12
_PULLS = 40

Way = tuple[str, str, int]  #: a waypoint of the arrow source → target, in a row
Thing = str | Way


@dataclass(slots=True)
class Layout:
    """Centres of boxes and the points that arrows go through, in pixels."""

    width: int
    height: int
    centre: Mapping[str, tuple[float, float]]
    through: Mapping[tuple[str, str], Sequence[tuple[float, float]]]
    """Each forward arrow: from below its source to above its target. Arrows that lead back are not here."""


@dataclass(slots=True)
class _Rows:
    rows: list[list[Thing]]
    above: dict[Thing, list[Thing]] = field(default_factory=dict)
    below: dict[Thing, list[Thing]] = field(default_factory=dict)

    def join(self, one: Thing, other: Thing) -> None:
        self.below.setdefault(one, []).append(other)
        self.above.setdefault(other, []).append(one)


def layout(row_of: Mapping[str, int], arrows: Iterable[tuple[str, str]]) -> Layout:
    """Place things whose rows are known."""
    forward = [(source, target) for source, target in arrows if row_of[target] > row_of[source]]
    rows = _Rows([[] for _ in range(max(row_of.values()) + 1)])
    for name, row in row_of.items():
        rows.rows[row].append(name)
    for source, target in forward:
        before: Thing = source
        for row in range(row_of[source] + 1, row_of[target]):
            way = (source, target, row)
            rows.rows[row].append(way)
            rows.join(before, way)
            before = way
        rows.join(before, target)
    _sort(rows)
    x = _pulled_straight(rows)
    left = min(x[thing] - _width(thing) / 2 for row in rows.rows for thing in row)
    x = {thing: at - left + _MARGIN for thing, at in x.items()}
    centre = {name: (x[name], _y(row)) for name, row in row_of.items()}
    return Layout(
        width=round(max(x[thing] + _width(thing) / 2 for row in rows.rows for thing in row)) + _MARGIN,
        height=2 * _MARGIN + len(rows.rows) * (BOX_H + GAP_Y) - GAP_Y,
        centre=centre,
        through=_through(forward, row_of, x),
    )


def _y(row: int) -> float:
    return _MARGIN + BOX_H / 2 + row * (BOX_H + GAP_Y)


def _width(thing: Thing) -> int:
    return BOX_W if isinstance(thing, str) else _WAY_W


def _sort(rows: _Rows) -> None:
    """Neighbours near each other: each row by the mean place of what it is joined to, down and up again."""
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours = rows.above if down else rows.below
        for row in rows.rows if down else reversed(rows.rows):
            place = {thing: number for other in rows.rows for number, thing in enumerate(other)}
            here = {thing: number for number, thing in enumerate(row)}
            row.sort(key=lambda thing: _mean([place[n] for n in neighbours.get(thing, ())], here[thing]))


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _pulled_straight(rows: _Rows) -> dict[Thing, float]:
    """Each thing as near to the middle of its neighbours as those beside it allow."""
    x: dict[Thing, float] = {}
    for row in rows.rows:
        at = 0.0
        for thing in row:
            x[thing] = at + _width(thing) / 2
            at += _width(thing) + _GAP_X
    for _ in range(_PULLS):
        for row in (*rows.rows, *reversed(rows.rows)):
            wanted = [_mean([x[n] for n in (*rows.above.get(t, ()), *rows.below.get(t, ()))], x[t]) for t in row]
            for thing, place in zip(row, _apart(row, wanted), strict=True):
                x[thing] = place
    return x


def _apart(row: Sequence[Thing], wanted: Sequence[float]) -> list[float]:
    """The places nearest to those wanted at which nothing overlaps: the mean of packing from the left and the right."""

    def packed(things: Sequence[Thing], places: Sequence[float], sign: int) -> list[float]:
        found: list[float] = []
        for number, thing in enumerate(things):
            place = places[number] * sign
            if found:
                least = found[-1] + (_width(things[number - 1]) + _width(thing)) / 2 + _GAP_X
                place = max(place, least)
            found.append(place)
        return [place * sign for place in found]

    right = packed(row, wanted, 1)
    left = packed(row[::-1], wanted[::-1], -1)[::-1]
    return [(one + other) / 2 for one, other in zip(right, left, strict=True)]


def _through(
    forward: Sequence[tuple[str, str]], row_of: Mapping[str, int], x: Mapping[Thing, float]
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Arrows leave and enter a box beside each other, in the order in which they come from and go to."""
    ways = {
        (source, target): [x[source, target, row] for row in range(row_of[source] + 1, row_of[target])]
        for source, target in forward
    }
    leaving = _spread(forward, x, key=0, toward=lambda arrow: (ways[arrow] or [x[arrow[1]]])[0])
    entering = _spread(forward, x, key=1, toward=lambda arrow: (ways[arrow] or [x[arrow[0]]])[-1])
    found = {}
    for source, target in forward:
        points = [(leaving[source, target], _y(row_of[source]) + BOX_H / 2)]
        for number, at in enumerate(ways[source, target], row_of[source] + 1):
            points += [(at, _y(number) - BOX_H / 2), (at, _y(number) + BOX_H / 2)]
        found[source, target] = [*points, (entering[source, target], _y(row_of[target]) - BOX_H / 2)]
    return found


def _spread(
    arrows: Sequence[tuple[str, str]],
    x: Mapping[Thing, float],
    *,
    key: int,
    toward: Callable[[tuple[str, str]], float],
) -> dict[tuple[str, str], float]:
    found = {}
    for name in dict.fromkeys(arrow[key] for arrow in arrows):
        own = sorted((arrow for arrow in arrows if arrow[key] == name), key=toward)
        step = min(34.0, (BOX_W - 30) / max(1, len(own) - 1))
        for number, arrow in enumerate(own):
            found[arrow] = x[name] + step * (number - (len(own) - 1) / 2)
    return found


def rows(names: Sequence[str], first: Iterable[str], after: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Each thing one row below the lowest that leads to it, loops aside; ``first``: where ways begin."""
    groups = components((*first, *names), after)
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    order = list(names)
    row_of: dict[str, int] = {}
    for group in reversed(groups):
        for name in sorted(group, key=order.index):
            row_of.setdefault(name, 0)
            for target in after.get(name, ()):
                same = group_of[target] == group_of[name]
                if not same or target not in row_of:
                    row_of[target] = max(row_of.get(target, 0), row_of[name] + 1)
    used = {row: number for number, row in enumerate(sorted(set(row_of.values())))}
    return {name: used[row_of[name]] for name in names}


def components(names: Iterable[str], after: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Strongly connected components (Tarjan's, without recursion), each before those that lead to it."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[list[str]] = []
    for root in names:
        if root in order:
            continue
        work: list[tuple[str, Iterator[str]]] = [(root, iter(after.get(root, ())))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while work:
            name, rest = work[-1]
            for target in rest:
                if target not in order:
                    order[target] = low[target] = len(order)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(after.get(target, ()))))
                    break
                if target in on_stack:
                    low[name] = min(low[name], order[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == order[name]:
                    cut = stack.index(name)
                    found.append(stack[cut:])
                    on_stack.difference_update(stack[cut:])
                    del stack[cut:]
    return found
