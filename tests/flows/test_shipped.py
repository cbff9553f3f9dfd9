"""Shipped flows: each test beside them passes in the simulator, and together they go over every edge."""

import json
from pathlib import Path

import pytest

from ctiserver.ivr.language.draw import to_svg
from ctiserver.ivr.language.library import flow_files
from ctiserver.ivr.language.loader import FLOW_SUFFIX, load_flow
from ctiserver.ivr.language.schema import json_schema
from ctiserver.ivr.simulation.scripted import TEST_SUFFIX, coverage, load_tests, play
from ctiserver.resources import shipped
from tests.support.flows import shipped_world

HERE = Path(__file__).parent
FILES = [*flow_files(shipped("ivr_flows")), HERE / "corner.flow.yaml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(FLOW_SUFFIX))
def test_every_call_comes_out_as_written_and_no_edge_is_left_out(path: Path) -> None:
    flow = load_flow(path)
    world, _ = shipped_world()
    results = [play(flow, world, test) for test in load_tests(path.with_name(flow.name + TEST_SUFFIX), flow)]
    assert [(result.test.name, result.failures) for result in results if result.failures] == []
    if path.parent != HERE:
        covered = coverage(flow, results)
        assert covered.edges == ()
        assert covered.nodes == ()


def test_a_test_that_is_not_as_written_says_what_came_instead() -> None:
    flow = load_flow(shipped("ivr_flows", "front_desk.flow.yaml"))
    world, _ = shipped_world()
    path = shipped("ivr_flows", "front_desk.test.yaml")
    good = load_tests(path, flow)[0]
    for change, says in (
        ({"ends": "voicemail"}, "ends: voicemail is wanted, the call ended in queue"),
        ({"queue": "operators"}, "queue: operators is wanted"),
        ({"language": "zh-CN"}, "language: zh-CN is wanted, it is en"),
        ({"event": "x"}, "event: x is wanted"),
        ({"reason": "x"}, "reason: x is wanted"),
    ):
        wrong = good.model_copy(update={"then": good.then.model_copy(update=change)})
        assert any(says in failure for failure in play(flow, world, wrong).failures), says
    deaf = good.model_copy(update={"steps": (good.steps[0].model_copy(update={"hear": "message"}), *good.steps[1:])})
    assert "waits to hear message" in play(flow, world, deaf).failures[0]


def test_the_schema_that_flows_point_to_is_the_schema() -> None:
    kept = json.loads(shipped("ivr_flows", "callflow-1.schema.json").read_text(encoding="utf-8"))
    assert kept == json_schema(), "write it again: ctiserver flow schema > ivr_flows/callflow-1.schema.json"
    for path in flow_files(shipped("ivr_flows")):
        assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=./callflow-1.schema.json")


def test_shipped_flows_fit_the_schema() -> None:
    import jsonschema

    from ctiserver.strict_yaml import load

    validator = jsonschema.Draft202012Validator(json_schema())
    for path in FILES:
        errors = [error.message for error in validator.iter_errors(load(path).data)]
        assert errors == [], path


def test_the_menu_in_the_readme_is_drawn_from_the_shipped_flow() -> None:
    drawn = to_svg(load_flow(shipped("ivr_flows", "front_desk.flow.yaml")))
    assert (HERE.parents[1] / "docs/images/menu.svg").read_text(encoding="utf-8") == drawn
