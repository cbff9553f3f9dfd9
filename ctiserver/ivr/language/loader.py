"""From a file to a flow that can be run: parsed, defaults filled in, digested."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ctiserver.errors import FileFault, Problem
from ctiserver.ivr.language.destination import queues_ahead
from ctiserver.ivr.language.node_base import written_in
from ctiserver.ivr.language.schema import FlowFile, Node
from ctiserver.ivr.language.visit import FixedPrompts
from ctiserver.model.expression.expression import Expression, Template
from ctiserver.strict_yaml import Document, load, parse

FLOW_SUFFIX = ".flow.yaml"


@dataclass(frozen=True, slots=True)
class Flow:
    """One version of a flow, ready to be checked and run."""

    file: FlowFile
    digest: str  #: of its text: what makes a version that version
    text: str
    document: Document
    nodes: Mapping[str, Node]
    queues_read: Mapping[str, tuple[str, ...]]  #: node → queues whose state its expressions read
    queues_ahead: Mapping[str, str]  #: node → the queue that a caller there is on the way to, where that is one
    queues_wanted: Mapping[str, str]  #: the same of a caller who was served before, and may as well hang up
    fixed_prompts: FixedPrompts = field(default_factory=dict)
    is_sensitive: bool = False  #: one of its nodes listens for keys that are confidential
    sensitive: frozenset[str] = frozenset()  #: variables that such a node sets

    @property
    def name(self) -> str:
        """The flow's name."""
        return self.file.flow

    @property
    def version(self) -> str:
        """The version that its author gave it."""
        return self.file.version


def load_flow(source: Path | str, *, file: str | None = None) -> Flow:
    """Read a flow from a file or a text. Types, keys and node kinds are right then; ``check`` proves the rest.

    Raises FileFault with each problem and its place (YA-… for YAML itself, CF-001 to CF-006 for the schema).
    """
    document = load(source, file=file)
    parsed = parse(document, FlowFile, prefix="CF")
    if isinstance(source, Path) and source.name != f"{parsed.flow}{FLOW_SUFFIX}":
        problem = Problem(
            document.place(("flow",)),
            "CF-007",
            f"the flow {parsed.flow!r} must be in a file of its name",
            f"rename the file to {parsed.flow}{FLOW_SUFFIX}",
        )
        raise FileFault([problem])
    text = source.read_text(encoding="utf-8-sig") if isinstance(source, Path) else source
    defaults = parsed.defaults.input
    nodes = {name: node.inheriting(defaults) for name, node in parsed.nodes.items()}
    return Flow(
        file=parsed,
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
        text=text,
        document=document,
        nodes=nodes,
        queues_read={name: queues for name, node in nodes.items() if (queues := _queues_read(node))},
        queues_ahead=queues_ahead(nodes),
        queues_wanted=queues_ahead(nodes, served=True),
        is_sensitive=any(node.is_sensitive for node in nodes.values()),
        sensitive=frozenset(
            stored.name
            for node in nodes.values()
            if node.is_sensitive
            for stored in node.stored()
            if stored.name != "language"
        ),
    )


def expressions_of(node: object) -> list[Expression]:
    """Every expression written in a node, those inside prompts too."""
    found = [expression for _, expression in written_in(node, Expression)]
    for _, template in written_in(node, Template):
        found.extend(template.expressions())
    return found


def _queues_read(node: Node) -> tuple[str, ...]:
    names = {str(name) for expression in expressions_of(node) for name in expression.calls("queue")}
    return tuple(sorted(names))
