"""Where a caller's way leads: the queue ahead of each node, known without running the flow.

The runner tells it the channel, so that the caller of a server that is killed in the middle of a menu waits in the
queue that was chosen, though the flow had not got there yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from ctiserver.ivr.language.node_base import ELSEWHERE, EXHAUSTION
from ctiserver.ivr.language.schema import Node
from ctiserver.model.drawing.layout import components

#: Outcomes by which something has failed, or by which there is nobody left to serve.
_ASTRAY = frozenset({"error", "caller_hung_up", "bye"})
_EXHAUSTED = frozenset({*EXHAUSTION, "exhausted"})


def queues_ahead(nodes: Mapping[str, Node], *, served: bool = False) -> Mapping[str, str]:
    """node → the queue that a caller there is on the way to; nodes of whom that can't be said are not in it.

    ``served``: of callers who may as well hang up, such as after a talk; to them the end of a call is a place to go to.

    It is the first queue on every normal way ahead, if that is one and the same. What is not a normal way: an outcome
    ``error``; giving up on an input or a survey, which are to be answered. Silence in a menu may be an answer ("or stay
    on the line"), so it counts. A way that ends with a hang-up counts for nothing, since nobody waits there; one that
    ends with a message, a transfer or a callback leads elsewhere. A dial leads where it goes when nobody answers.
    """
    after = {name: _onward(node, nodes) for name, node in nodes.items()}
    ends: dict[str, frozenset[str]] = {}
    for group in components(nodes, after):  # each before those that lead to it
        found = {end for name in group for target in after[name] for end in ends.get(target, ())}
        found.update(end for name in group if (end := nodes[name].destination) is not None)
        if served and any(not after[name] and nodes[name].destination is None for name in group):
            found.add(ELSEWHERE)
        if not found and any(nodes[name].reaches_somebody for name in group):
            found = {ELSEWHERE}
        ends.update(dict.fromkeys(group, frozenset(found)))
    return {name: next(iter(found)) for name, found in ends.items() if len(found) == 1 and ELSEWHERE not in found}


def _onward(node: Node, nodes: Mapping[str, Node]) -> list[str]:
    """The nodes that the normal way leads to from here."""
    if node.destination is not None:
        return []
    astray = _ASTRAY | _EXHAUSTED if node.main_outcome is not None else _ASTRAY
    return [target for label, target in node.edges() if label not in astray and target in nodes]
