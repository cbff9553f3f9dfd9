"""A flow file's schema, ``callflow/1``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from ctiserver.ivr.language.node_base import NodeBase, NodeName, VariableName
from ctiserver.ivr.language.nodes.deciding import Branch, Callback, Event, Hours, Lookup, ServiceRecord, Set
from ctiserver.ivr.language.nodes.leaving import Dial, Queue, Transfer, Voicemail
from ctiserver.ivr.language.nodes.listening import Confirm, Input, InputDefaults, Menu, Survey
from ctiserver.ivr.language.nodes.speaking import AnswerNode, Audio, Hangup, Play, Say
from ctiserver.strict_yaml import Duration, Name, Written

Node = Annotated[
    AnswerNode
    | Play
    | Say
    | Menu
    | Input
    | Confirm
    | Survey
    | Set
    | Branch
    | Hours
    | Lookup
    | Queue
    | Callback
    | Dial
    | Transfer
    | Voicemail
    | Audio
    | ServiceRecord
    | Event
    | Hangup,
    Field(discriminator="kind"),
]
NODE_KINDS: tuple[type[NodeBase], ...] = get_args(get_args(Node)[0])


def kind_of(node: type[NodeBase]) -> str:
    """A node class's kind, as files write it."""
    return str(get_args(node.model_fields["kind"].annotation)[0])


class Variable(Written):
    """A variable's type."""

    type: Literal["text", "integer", "decimal", "boolean", "date", "contact", "record", "device", "answer"]


class Defaults(Written):
    """What nodes have unless they say otherwise."""

    input: InputDefaults = InputDefaults()


class FlowFile(Written):
    """``NAME.flow.yaml``"""

    schema_: Annotated[Literal["callflow/1"], Field(alias="schema")]
    flow: Name
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,39}$")]
    title: Annotated[str, Field(max_length=200)] = ""
    languages: Annotated[tuple[str, ...], Field(min_length=1, max_length=10)]
    vars: dict[VariableName, Variable] = {}  # noqa: RUF012
    defaults: Defaults = Defaults()
    start: NodeName
    on_error: NodeName | None = None  #: where outcomes named error go that lead nowhere themselves
    on_hangup: NodeName | None = None  #: runs without audio when the caller is gone before being served
    agent: NodeName | None = None  #: where a caller is sent who accepts the offer of a person; none: on_error
    max_steps: Annotated[int, Field(ge=10, le=10_000)] = 1000
    max_duration: Duration = timedelta(minutes=30)  #: of menu time; queue, dial, talk and message don't count
    nodes: Annotated[dict[NodeName, Node], Field(min_length=1)]


def json_schema() -> dict[str, Any]:
    """The JSON Schema that editors complete and check from."""
    schema = FlowFile.model_json_schema(by_alias=True, mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ctiserver call flow (callflow/1)",
        **{key: value for key, value in schema.items() if key != "title"},
    }
