"""A flow's graph as a picture: SVG that needs nothing, and Mermaid for documents."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

from ctiserver.ivr.graph import Edge, components, edges_of, followers
from ctiserver.ivr.loader import Flow
from ctiserver.ivr.schema import Node

_BOX_W, _BOX_H = 168, 46
_GAP_X, _GAP_Y = 46, 76
_MARGIN = 24
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


@dataclass(frozen=True, slots=True)
class _Spot:
    x: int
    y: int


def to_svg(flow: Flow) -> str:
    """The graph as an SVG picture: one row for each step's distance from the start, handlers below."""
    joined = _joined(_written(flow))
    rows = _rows(flow)
    spots = {
        name: _Spot(_MARGIN + column * (_BOX_W + _GAP_X), _MARGIN + number * (_BOX_H + _GAP_Y))
        for number, row in enumerate(rows)
        for column, name in enumerate(row)
    }
    width = 2 * _MARGIN + max(len(row) for row in rows) * (_BOX_W + _GAP_X)
    height = 2 * _MARGIN + len(rows) * (_BOX_H + _GAP_Y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(flow.file.title or flow.name)} {escape(flow.version)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#64748b"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    parts += [_arrow(spots[source], spots[target], labels) for (source, target), labels in joined.items()]
    parts += [_box(flow, name, spots[name]) for name in flow.nodes]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _rows(flow: Flow) -> list[list[str]]:
    """Each node one row below the lowest that leads to it, loops aside; beside each other near where they come from."""
    edges = _written(flow)
    after = followers(edges)
    groups = components([name for name in (flow.file.start, flow.file.on_hangup, *flow.nodes) if name], after)
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    row_of: dict[str, int] = {}
    for group in reversed(groups):
        for name in sorted(group, key=list(flow.nodes).index):
            row_of.setdefault(name, 0)
            for target in after.get(name, ()):
                same = group_of[target] == group_of[name]
                if not same or target not in row_of:
                    row_of[target] = max(row_of.get(target, 0), row_of[name] + 1)
    rows: list[list[str]] = [[] for _ in range(max(row_of.values()) + 1)]
    for name in flow.nodes:
        rows[row_of[name]].append(name)
    column: dict[str, int] = {}
    for row in rows:
        row.sort(key=lambda name: _mean([column[e.source] for e in edges if e.target == name and e.source in column]))
        column.update({name: number for number, name in enumerate(row)})
    return [row for row in rows if row]


def _mean(values: list[int]) -> float:
    return sum(values) / len(values) if values else 0.0


def _written(flow: Flow) -> list[Edge]:
    """The edges that the author wrote; those that on_error adds would hide them."""
    return [edge for edge in edges_of(flow) if edge.label in {label for label, _ in flow.nodes[edge.source].edges()}]


def _arrow(source: _Spot, target: _Spot, labels: list[str]) -> str:
    x1, y1 = source.x + _BOX_W // 2, source.y + _BOX_H
    x2, y2 = target.x + _BOX_W // 2, target.y
    if y2 <= y1:  # back up, or to itself: round the right side
        x1, y1 = source.x + _BOX_W, source.y + _BOX_H // 2
        x2, y2 = target.x + _BOX_W, target.y + _BOX_H // 2 + (10 if source == target else 0)
        bend = max(x1, x2) + _GAP_X
        path = f"M{x1} {y1} C{bend} {y1 - 14} {bend} {y2 + 14} {x2} {y2}"
        label_x, label_y = bend - 8, (y1 + y2) // 2
    else:
        middle = (y1 + y2) // 2
        path = f"M{x1} {y1} C{x1} {middle} {x2} {middle} {x2} {y2 - 1}"
        label_x, label_y = x1 + (x2 - x1) * 3 // 4, y1 + (y2 - y1) * 3 // 4 - 6
    text = escape(", ".join(labels))
    return (
        f'<path d="{path}" fill="none" stroke="#94a3b8" marker-end="url(#tip)"/>'
        f'<text x="{label_x}" y="{label_y}" text-anchor="middle" fill="#475569" font-size="10">{text}</text>'
    )


def _box(flow: Flow, name: str, spot: _Spot) -> str:
    node = flow.nodes[name]
    stroke = "#0f172a" if name == flow.file.start else "#94a3b8"
    centre = spot.x + _BOX_W // 2
    return (
        f'<g><rect x="{spot.x}" y="{spot.y}" width="{_BOX_W}" height="{_BOX_H}" rx="8" '
        f'fill="{_COLOURS.get(node.kind, "#f8fafc")}" stroke="{stroke}"/>'
        f'<text x="{centre}" y="{spot.y + 20}" text-anchor="middle" fill="#0f172a">{escape(name)}</text>'
        f'<text x="{centre}" y="{spot.y + 35}" text-anchor="middle" fill="#64748b" font-size="10">'
        f"{escape(_subtitle(node))}</text></g>"
    )
