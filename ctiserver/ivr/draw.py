"""A flow's graph as a picture: SVG that needs nothing, and Mermaid for documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

from ctiserver.ivr.graph import Edge, components, edges_of, followers
from ctiserver.ivr.layout import BOX_H, BOX_W, layout
from ctiserver.ivr.loader import Flow
from ctiserver.ivr.schema import Node

_BACK = 40  #: between the rails of arrows that lead back
_COLOURS = {
    "menu": "#dbeafe", "input": "#dbeafe", "confirm": "#dbeafe",
    "queue": "#dcfce7", "dial": "#dcfce7", "transfer": "#dcfce7", "callback": "#dcfce7", "voicemail": "#fef3c7",
    "hangup": "#e5e7eb", "service_record": "#fce7f3", "lookup": "#ede9fe", "hours": "#ede9fe", "branch": "#ede9fe",
}  # fmt: skip


def to_mermaid(flow: Flow) -> str:
    """The graph as a Mermaid flowchart."""
    lines = ["flowchart TD"]
    for name, node in flow.nodes.items():
        open_, close = ("{{", "}}") if node.kind in ("branch", "hours", "lookup") else ("[", "]")
        lines.append(f'  {name}{open_}"{name}<br/><small>{_subtitle(node)}</small>"{close}')
    for (source, target), labels in _joined(_written(flow)).items():
        lines.append(f'  {source} -->|"{", ".join(labels)}"| {target}')
    lines += [f"  begin(( )) --> {flow.file.start}"]
    if flow.file.on_hangup is not None:
        lines.append(f'  gone(("hung up")) -.-> {flow.file.on_hangup}')
    return "\n".join(lines) + "\n"


def _joined(edges: list[Edge]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for edge in edges:
        found.setdefault((edge.source, edge.target), []).append(edge.label)
    return found


def _subtitle(node: Node) -> str:
    named = next(
        (str(value) for key in ("queue", "calendar", "type", "find") if (value := getattr(node, key, None))), ""
    )
    return f"{node.kind} {named}".strip()


def to_svg(flow: Flow) -> str:
    """The graph as an SVG picture: each node below those that lead to it, arrows beside the boxes."""
    joined = _joined(_written(flow))
    placed = layout(_rows(flow), joined)
    back = [(source, target) for source, target in joined if (source, target) not in placed.through]
    width = placed.width + (_BACK * (len(back) + 1) if back else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {placed.height}" width="{width}" '
        f'height="{placed.height}" font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(flow.file.title or flow.name)} {escape(flow.version)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#64748b"/></marker></defs>',
        f'<rect width="{width}" height="{placed.height}" fill="#ffffff"/>',
    ]
    arrows = {pair: _onward(points) for pair, points in placed.through.items()}
    for number, (source, target) in enumerate(back, 1):
        rail = placed.width + _BACK * number - _BACK // 2
        arrows[source, target] = _backward(placed.centre[source], placed.centre[target], rail)
    parts += [f'<path d="{path}" fill="none" stroke="#94a3b8" marker-end="url(#tip)"/>' for path, _ in arrows.values()]
    parts += [_box(flow, name, placed.centre[name]) for name in flow.nodes]
    parts += _labels({spot: ", ".join(joined[pair]) for pair, (_, spot) in arrows.items()})
    return "\n".join([*parts, "</svg>"]) + "\n"


def _rows(flow: Flow) -> dict[str, int]:
    """Each node one row below the lowest that leads to it, loops aside."""
    after = followers(_written(flow))
    groups = components([name for name in (flow.file.start, flow.file.on_hangup, *flow.nodes) if name], after)
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    order = list(flow.nodes)
    row_of: dict[str, int] = {}
    for group in reversed(groups):
        for name in sorted(group, key=order.index):
            row_of.setdefault(name, 0)
            for target in after.get(name, ()):
                same = group_of[target] == group_of[name]
                if not same or target not in row_of:
                    row_of[target] = max(row_of.get(target, 0), row_of[name] + 1)
    used = {row: number for number, row in enumerate(sorted(set(row_of.values())))}
    return {name: used[row_of[name]] for name in flow.nodes}


def _written(flow: Flow) -> list[Edge]:
    """The edges that the author wrote; those that on_error adds would hide them."""
    return [edge for edge in edges_of(flow) if edge.label in {label for label, _ in flow.nodes[edge.source].edges()}]


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


def _labels(texts: Mapping[Spot, str]) -> Iterator[str]:
    """Each label on its arrow, a line lower where another stands already."""
    taken: list[tuple[float, float, float]] = []
    for (x, y), text in sorted(texts.items()):
        half = len(text) * 2.9 + 3
        while any(abs(x - other_x) < half + other and abs(y - other_y) < 12 for other_x, other_y, other in taken):
            y += 12
        taken.append((x, y, half))
        yield (
            f'<text x="{x:.0f}" y="{y + 3:.0f}" text-anchor="middle" fill="#334155" font-size="10" stroke="#ffffff" '
            f'stroke-width="4" paint-order="stroke">{escape(text)}</text>'
        )


def _box(flow: Flow, name: str, centre: Spot) -> str:
    node = flow.nodes[name]
    stroke = "#0f172a" if name == flow.file.start else "#94a3b8"
    x, y = centre
    return (
        f'<g><rect x="{x - BOX_W / 2:.0f}" y="{y - BOX_H / 2:.0f}" width="{BOX_W}" height="{BOX_H}" rx="8" '
        f'fill="{_COLOURS.get(node.kind, "#f8fafc")}" stroke="{stroke}"/>'
        f'<text x="{x:.0f}" y="{y - 3:.0f}" text-anchor="middle" fill="#0f172a">{escape(name)}</text>'
        f'<text x="{x:.0f}" y="{y + 12:.0f}" text-anchor="middle" fill="#64748b" font-size="10">'
        f"{escape(_subtitle(node))}</text></g>"
    )
