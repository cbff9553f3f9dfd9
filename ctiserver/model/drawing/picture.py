"""A graph as an SVG picture that needs nothing: boxes layer by layer, arrows beside them, ways back by own rails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from ctiserver.model.drawing.layout import BOX_H, BOX_W, layout, rows

_BACK = 40  #: between the rails of arrows that lead back


@dataclass(frozen=True, slots=True)
class Box:
    """One thing in the picture."""

    name: str
    subtitle: str
    colour: str = "#f8fafc"
    begins: bool = False  #: ways begin here


def to_svg(title: str, boxes: Sequence[Box], arrows: Mapping[tuple[str, str], Sequence[str]]) -> str:
    """The picture. ``arrows``: from and to, with what stands at each."""
    after: dict[str, list[str]] = {}
    for source, target in arrows:
        after.setdefault(source, []).append(target)
    row_of = rows([box.name for box in boxes], [box.name for box in boxes if box.begins], after)
    placed = layout(row_of, arrows)
    back = [(source, target) for source, target in arrows if (source, target) not in placed.through]
    rails = {pair: placed.width + _BACK * number - _BACK // 2 for number, pair in enumerate(back, 1)}
    width = round(max([placed.width, *(rail + max(_BACK, _half(arrows[pair])) for pair, rail in rails.items())]))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {placed.height}" width="{width}" '
        f'height="{placed.height}" font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#64748b"/></marker></defs>',
        f'<rect width="{width}" height="{placed.height}" fill="#ffffff"/>',
    ]
    drawn = {pair: _onward(points) for pair, points in placed.through.items()}
    for (source, target), rail in rails.items():
        drawn[source, target] = _backward(placed.centre[source], placed.centre[target], rail)
    parts += [f'<path d="{path}" fill="none" stroke="#94a3b8" marker-end="url(#tip)"/>' for path, _ in drawn.values()]
    parts += [_box(box, placed.centre[box.name]) for box in boxes]
    parts += _labels({spot: arrows[pair] for pair, (_, spot) in drawn.items()})
    return "\n".join([*parts, "</svg>"]) + "\n"


Spot = tuple[float, float]


def _onward(points: Sequence[Spot]) -> tuple[str, Spot]:
    """An arrow down through its waypoints, and where its label stands: on the first stretch."""
    (x, y), *rest = points
    path = f"M{x:.0f} {y:.0f}"
    down = True  # from a row to the next, then past a row
    for next_x, next_y in rest:
        if down:
            middle = (y + next_y) / 2
            path += f" C{x:.0f} {middle:.0f} {next_x:.0f} {middle:.0f} {next_x:.0f} {next_y:.0f}"
        else:
            path += f" L{next_x:.0f} {next_y:.0f}"
        x, y, down = next_x, next_y, not down
    (x1, y1), (x2, y2) = points[0], points[1]
    return path, (x1 + (x2 - x1) * 0.5, y1 + (y2 - y1) * 0.5)


def _backward(source: Spot, target: Spot, rail: float) -> tuple[str, Spot]:
    """An arrow up again, or to the same node, by a rail of its own on the right."""
    x1, y1, x2, y2 = source[0] + BOX_W / 2, source[1] + 8, target[0] + BOX_W / 2, target[1] - 8
    path = f"M{x1:.0f} {y1:.0f} L{rail:.0f} {y1:.0f} L{rail:.0f} {y2:.0f} L{x2:.0f} {y2:.0f}"
    return path, (rail, (y1 + y2) / 2)


def _labels(texts: Mapping[Spot, Sequence[str]]) -> Iterator[str]:
    """What stands at each arrow, a line each; lower where something else stands already."""
    taken: list[tuple[float, float, float]] = []
    for (x, y), labels in sorted(texts.items()):
        half = _half(labels)
        height = 12 * len(labels)
        y -= (height - 12) / 2
        while any(
            abs(x - other_x) < half + other and y - 12 < other_y < y + height for other_x, other_y, other in taken
        ):
            y += 12
        taken += [(x, y + 12 * line, half) for line in range(len(labels))]
        lines = "".join(
            f'<tspan x="{x:.0f}" y="{y + 3 + 12 * line:.0f}">{escape(label)}</tspan>'
            for line, label in enumerate(labels)
        )
        yield (
            f'<text text-anchor="middle" fill="#334155" font-size="10" stroke="#ffffff" stroke-width="4" '
            f'paint-order="stroke">{lines}</text>'
        )


def _half(labels: Sequence[str]) -> float:
    """Half the width of the longest, in pixels."""
    return max(len(label) for label in labels) * 2.9 + 3


def _box(box: Box, centre: Spot) -> str:
    stroke = "#0f172a" if box.begins else "#94a3b8"
    x, y = centre
    return (
        f'<g><rect x="{x - BOX_W / 2:.0f}" y="{y - BOX_H / 2:.0f}" width="{BOX_W}" height="{BOX_H}" rx="8" '
        f'fill="{box.colour}" stroke="{stroke}"/>'
        f'<text x="{x:.0f}" y="{y - 3:.0f}" text-anchor="middle" fill="#0f172a">{escape(box.name)}</text>'
        f'<text x="{x:.0f}" y="{y + 12:.0f}" text-anchor="middle" fill="#64748b" font-size="10">'
        f"{escape(box.subtitle)}</text></g>"
    )
