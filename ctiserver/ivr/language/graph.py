"""A flow as a graph: what leads where, what nobody reaches, what never ends, what keeps a caller longest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.node_base import EXHAUSTION, Cost, Need, Prompt
from ctiserver.ivr.language.sentences import spoken_length_s
from ctiserver.model.drawing.layout import components


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from a node to another."""

    source: str
    label: str
    target: str
    voluntary: bool  #: only a key that the caller presses leads here


def edges_of(flow: Flow) -> list[Edge]:
    """Every edge, those that on_error adds included; targets that do not exist are left out."""
    found: list[Edge] = []
    for name, node in flow.nodes.items():
        written = list(node.edges())
        for label, target in written:
            if target in flow.nodes:
                forced = label in (*EXHAUSTION, "exhausted", "error")
                found.append(Edge(name, label, target, node.listens and not forced))
        error = flow.file.on_error
        may_fail = node.outcomes().get("error") is Need.ERROR and "error" not in node.on
        if may_fail and error in flow.nodes and error != name and error is not None:
            found.append(Edge(name, "error", error, voluntary=False))
    return found


def followers(edges: Iterable[Edge]) -> dict[str, list[str]]:
    """node → nodes that its edges lead to."""
    found: dict[str, list[str]] = {}
    for edge in edges:
        found.setdefault(edge.source, []).append(edge.target)
    return found


def reachable(starts: Iterable[str], after: Mapping[str, list[str]]) -> set[str]:
    """Every node that can be reached from ``starts``, those included."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += after.get(name, ())
    return seen


def endless(flow: Flow, edges: Iterable[Edge]) -> list[list[str]]:
    """Cycles that go on without a key pressed, a person called, or a bound."""
    forced = [edge for edge in edges if not edge.voluntary and not flow.nodes[edge.source].hands_over]
    after = followers(forced)
    own = {edge.source for edge in forced if edge.source == edge.target}
    return [sorted(group) for group in components(flow.nodes, after) if len(group) > 1 or group[0] in own]


@dataclass(frozen=True, slots=True)
class WorstPath:
    """The way on which a caller hears and waits most before reaching somebody or the end."""

    nodes: tuple[str, ...]
    cost: Cost


def worst_path(flow: Flow, edges: Iterable[Edge]) -> WorstPath:
    """The worst way from the start. A loop by choice counts once: states are searched, not paths."""
    edges = [edge for edge in edges if not flow.nodes[edge.source].hands_over]
    after = followers(edges)
    groups = components([flow.file.start], after)
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    best: list[tuple[Cost, int | None]] = []
    for number, group in enumerate(groups):
        own = Cost()
        for name in group:
            own += cost_of(flow, name)
        onward = {group_of[target] for name in group for target in after.get(name, ())} - {number}
        worst = max(onward, key=lambda other: best[other][0].seconds, default=None)
        best.append((own + best[worst][0] if worst is not None else own, worst))
    here: int | None = group_of[flow.file.start]
    nodes: list[str] = []
    cost = best[here][0] if here is not None else Cost()
    while here is not None:
        nodes += reversed(groups[here])
        here = best[here][1]
    return WorstPath(tuple(nodes), cost)


def cost_of(flow: Flow, name: str) -> Cost:
    """The most that one visit of a node takes, in the slowest language."""
    return flow.nodes[name].cost(_slowest(flow), len(flow.file.languages))


def _slowest(flow: Flow) -> Callable[[Prompt], float]:
    def length(prompt: Prompt) -> float:
        texts = [(language, template.text) for language, template in prompt.items() if language != "file"]
        return max((spoken_length_s(language, text) for language, text in texts), default=5.0)

    return length
