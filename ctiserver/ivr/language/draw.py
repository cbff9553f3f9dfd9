"""A flow's graph as a picture: SVG that needs nothing, and Mermaid for documents."""

from __future__ import annotations

from ctiserver.ivr.language.graph import Edge, edges_of
from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.node_base import Look
from ctiserver.ivr.language.schema import Node
from ctiserver.model.drawing import picture
from ctiserver.model.drawing.picture import Box

_COLOURS = {
    Look.PLAIN: "#f8fafc",
    Look.ASKS: "#dbeafe",
    Look.DECIDES: "#ede9fe",
    Look.PERSON: "#dcfce7",
    Look.MESSAGE: "#fef3c7",
    Look.RECORD: "#fce7f3",
    Look.END: "#e5e7eb",
}


def to_mermaid(flow: Flow) -> str:
    """The graph as a Mermaid flowchart."""
    lines = ["flowchart TD"]
    for name, node in flow.nodes.items():
        open_, close = ("{{", "}}") if node.look is Look.DECIDES else ("[", "]")
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
    return f"{node.kind} {node.caption}".strip()


def to_svg(flow: Flow) -> str:
    """The graph as an SVG picture."""
    first = (flow.file.start, flow.file.on_hangup)
    boxes = [Box(name, _subtitle(node), _COLOURS[node.look], begins=name in first) for name, node in flow.nodes.items()]
    return picture.to_svg(f"{flow.file.title or flow.name} {flow.version}", boxes, _joined(_written(flow)))


def _written(flow: Flow) -> list[Edge]:
    """The edges that the author wrote; those that on_error adds would hide them."""
    return [edge for edge in edges_of(flow) if edge.label in {label for label, _ in flow.nodes[edge.source].edges()}]
