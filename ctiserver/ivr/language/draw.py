"""A flow's graph as a picture: SVG that needs nothing, and Mermaid for documents."""

from __future__ import annotations

from ctiserver.ivr.language.graph import Edge, edges_of
from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.schema import Node
from ctiserver.model.drawing import picture
from ctiserver.model.drawing.picture import Box

_COLOURS = {
    "menu": "#dbeafe", "input": "#dbeafe", "confirm": "#dbeafe", "survey": "#dbeafe",
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
    """The graph as an SVG picture."""
    first = (flow.file.start, flow.file.on_hangup)
    boxes = [
        Box(name, _subtitle(node), _COLOURS.get(node.kind, "#f8fafc"), begins=name in first)
        for name, node in flow.nodes.items()
    ]
    return picture.to_svg(f"{flow.file.title or flow.name} {flow.version}", boxes, _joined(_written(flow)))


def _written(flow: Flow) -> list[Edge]:
    """The edges that the author wrote; those that on_error adds would hide them."""
    return [edge for edge in edges_of(flow) if edge.label in {label for label, _ in flow.nodes[edge.source].edges()}]
