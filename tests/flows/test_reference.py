"""docs/reference/flow-language.md says what is so: its samples pass, its lists are whole."""

import re
import typing
from pathlib import Path

import pytest

from ctiserver.ivr.language.check import check
from ctiserver.ivr.language.loader import load_flow
from ctiserver.ivr.language.names import FLOW_FUNCTIONS, GIVEN
from ctiserver.ivr.language.nodes.listening import InputDefaults
from ctiserver.ivr.language.schema import FlowFile, Node
from ctiserver.ivr.simulation.scripted import TestFile
from ctiserver.model.expression.expression import FUNCTIONS, Object
from ctiserver.strict_yaml import load, parse
from tests.support.flows import shipped_world

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "flow-language.md").read_text(encoding="utf-8")
SAMPLES = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
KINDS = {kind.model_fields["kind"].annotation.__args__[0]: kind for kind in typing.get_args(typing.get_args(Node)[0])}


def section(title: str) -> str:
    return TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_flow_passes_the_check() -> None:
    assert check(load_flow(SAMPLES[0], file="hotline.flow.yaml"), shipped_world()[1]) == []


def test_the_tests_are_tests() -> None:
    assert parse(load(SAMPLES[1]), TestFile).tests[0].name == "in warranty"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_with_its_keys_and_outcomes(kind: str) -> None:
    row = re.search(rf"^\| {kind} \|(.*)$", section("Node kinds"), re.MULTILINE)
    assert row is not None
    common = {"kind", "note", "next", "on", "reprompt", "sensitive", *InputDefaults.model_fields}
    for name, info in KINDS[kind].model_fields.items():
        key = info.alias or name
        if key not in common or (key == "barge_in" and kind in ("play", "say")):
            assert re.search(rf"\b{key}\b", row[1]) or key in ("speak", "barge_in"), (kind, key)


def test_every_name_and_function() -> None:
    text = section("Expressions")
    for name, kind in GIVEN.items():
        assert isinstance(kind, Object)
        row = re.search(rf"^\| {name} \|(.*)$", text, re.MULTILINE)
        assert row is not None
        for field in kind.fields:
            assert re.search(rf"\b{field}\b", row[1]), (name, field)
    for function in {**FUNCTIONS, **FLOW_FUNCTIONS}:
        assert re.search(rf"\b{function}\b", text), function


def test_every_key_of_the_file_and_of_input() -> None:
    for name, info in FlowFile.model_fields.items():
        assert re.search(rf"\b{info.alias or name}\b", section("The file")), name
    for name in InputDefaults.model_fields:
        assert f"{name}" in section("Input"), name
