"""Real calls' ways, gone again through another version of their flow: who would have ended elsewhere?

What was keyed in is never stored, but which way out of each node a call took is. So a way can be gone again as far as
the other version has the same nodes; where it asks what nobody was asked, the call is *undecided*. Conditions are taken
to come out as they did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.schema import Node

#: The caller was gone, or done with.
_OVER = ("hangup", "served")

Verdict = Literal["same", "elsewhere", "undecided"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a call's way: the node and how it ended."""

    node: str
    outcome: str


@dataclass(frozen=True, slots=True)
class End:
    """Where a way ends: ``queue repair``, ``hung up in language``; ``undecided`` where nobody knows how it goes on."""

    what: str
    undecided: bool = False


@dataclass(frozen=True, slots=True)
class Replayed:
    """One call: where it ended, and where it would have."""

    before: End
    after: End

    @property
    def verdict(self) -> Verdict:
        if self.after.undecided or self.before.undecided:
            return "undecided"
        return "same" if self.before == self.after else "elsewhere"


def replay(steps: Sequence[Step], before: Flow, after: Flow) -> Replayed:
    """Go a call's way through the version that it was on, and through another."""
    return Replayed(end_of(steps, before), end_of(steps, after))


def end_of(steps: Iterable[Step], flow: Flow) -> End:
    """Where a flow leads a call that takes these steps."""
    waiting = list(steps)
    at = flow.file.start
    pressed = False
    for _ in range(flow.file.max_steps):
        node = flow.nodes[at]
        if node.replayed_end is not None:
            return End(node.replayed_end)
        if waiting and waiting[0].node == at:
            outcome = waiting.pop(0).outcome.partition(":")[0]
            if outcome in _OVER:
                return End(f"{'served' if outcome == 'served' else 'hung up'} in {_called(at, node)}")
            following = _following(flow, at, outcome)
            if outcome == "noinput_max" and outcome not in node.on and not pressed:
                # Who has pressed nothing in the whole call is offered a person, and then it is over.
                if not (waiting and waiting[0] == Step(at, "agent wanted")):
                    return End("silent")
                following = at
            pressed = pressed or (node.listens and outcome not in ("noinput_max", "error"))
        elif not waiting:
            return End(_called(at, node))  # it goes on there, or its session was lost there
        elif node.goes_on_alone:
            following = _following(flow, at, "ok")
        else:
            return End(f"at {at}, which asks what this caller was not asked", undecided=True)
        if following is None:
            return End(f"at {at}, which has no such way out", undecided=True)
        at = following
    return End(f"at {at}, after {flow.file.max_steps} steps", undecided=True)


def _called(name: str, node: Node) -> str:
    return f"{node.kind} {node.destination or name}"


def _following(flow: Flow, name: str, outcome: str) -> str | None:
    node = flow.nodes[name]
    edges: Mapping[str, str] = dict(node.edges())
    if outcome == "choice":  # of a menu that keeps what is pressed to itself
        ways = {target for label, target in edges.items() if label not in node.outcomes()}
        return ways.pop() if len(ways) == 1 else None
    found = edges.get(outcome) or node.target(outcome)
    if found is None and outcome == "agent wanted":
        found = flow.file.agent or flow.file.on_error
    if found is None and outcome == "error":
        found = flow.file.on_error
    return found
