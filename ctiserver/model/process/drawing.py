"""A process as a picture: SVG that needs nothing, Mermaid for documents, BPMN 2.0 XML for modelling tools."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from ctiserver.model.drawing import picture
from ctiserver.model.drawing.picture import Box
from ctiserver.model.process.definition import Order, ProcessFile, Step

_BPMN = "http://www.omg.org/spec/BPMN/20100524/MODEL"


def to_mermaid(definition: ProcessFile) -> str:
    """The graph as a Mermaid flowchart."""
    lines = ["flowchart TD", f"  begin(( )) --> {definition.start}"]
    for name, step in definition.steps.items():
        if step.close is not None:
            lines.append(f'  {name}(["{name}<br/><small>{step.close}</small>"])')
        else:
            lines.append(f'  {name}["{name}<br/><small>{_does(name, step)}</small>"]')
    for (source, target), labels in _joined(definition).items():
        lines.append(f'  {source} -->|"{", ".join(labels)}"| {target}')
    return "\n".join(lines) + "\n"


def to_svg(definition: ProcessFile) -> str:
    """The graph as an SVG picture: what somebody does is blue, an end is grey."""
    boxes = [
        Box(
            name,
            _does(name, step) if step.close is None else step.close,
            "#dbeafe" if step.close is None else "#e5e7eb",
            begins=name == definition.start,
        )
        for name, step in definition.steps.items()
    ]
    return picture.to_svg(f"{definition.process} {definition.version}", boxes, _joined(definition))


def _joined(definition: ProcessFile) -> dict[tuple[str, str], list[str]]:
    joined: dict[tuple[str, str], list[str]] = {}
    for source, target, label in _ways(definition):
        joined.setdefault((source, target), []).append(label)
    return joined


def to_bpmn(definition: ProcessFile) -> str:
    """The graph as BPMN 2.0 XML: an order is a user task, an outcome a conditional flow, a close an end event."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<definitions xmlns="{_BPMN}" targetNamespace="urn:ctiserver:process" exporter="ctiserver">',
        f'  <process id={quoteattr(definition.process)} isExecutable="false">',
        '    <startEvent id="_begin"/>',
        f'    <sequenceFlow id="_way0" sourceRef="_begin" targetRef={quoteattr(definition.start)}/>',
    ]
    for name, step in definition.steps.items():
        if step.close is not None:
            lines.append(f"    <endEvent id={quoteattr(name)} name={quoteattr(step.close)}/>")
        else:
            lines.append(f"    <userTask id={quoteattr(name)} name={quoteattr(_does(name, step))}/>")
    for number, (source, target, label) in enumerate(_ways(definition), 1):
        lines.append(
            f'    <sequenceFlow id="_way{number}" sourceRef={quoteattr(source)} targetRef={quoteattr(target)} '
            f"name={quoteattr(label)}>"
            f"<conditionExpression>{escape(label)}</conditionExpression></sequenceFlow>"
        )
    return "\n".join([*lines, "  </process>", "</definitions>"]) + "\n"


def _does(name: str, step: Step) -> str:
    return ", ".join(f"{order.order} → {_who(order)}" for order in step.orders(name).values())


def _who(order: Order) -> str:
    if order.to is not None:
        return order.to.role
    return " / ".join(f"call {way.call}" if way.call is not None else str(way.person) for way in order.by)


def _ways(definition: ProcessFile) -> Iterator[tuple[str, str, str]]:
    for name, step in definition.steps.items():
        for outcome, move in step.on.items():
            if move.go is None:
                continue
            yield name, move.go, outcome if move.max is None else f"{outcome} (≤ {move.max})"
            if move.then in definition.steps:
                assert move.then is not None
                yield name, move.then, f"{outcome}, then"
