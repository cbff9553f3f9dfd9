"""Real calls' ways, gone again: through the same version they end where they did, through another where it leads."""

from __future__ import annotations

import pytest

from ctiserver.ivr.language.library import flow_files
from ctiserver.ivr.language.loader import Flow, load_flow
from ctiserver.ivr.language.requests import Finish, HandOver
from ctiserver.ivr.simulation.replay import End, Step, end_of, replay
from ctiserver.ivr.simulation.scripted import FlowTest, Player, load_tests
from ctiserver.resources import shipped
from tests.support.flows import shipped_world

FLOWS = [load_flow(path) for path in flow_files(shipped("ivr_flows"))]
CALLS = [
    (flow, test)
    for flow in FLOWS
    for test in load_tests(shipped("ivr_flows", f"{flow.name}.test.yaml"), flow)
]  # fmt: skip
FRONT_DESK = next(flow for flow in FLOWS if flow.name == "front_desk")


def lived(flow: Flow, test: FlowTest) -> tuple[list[Step], Finish | HandOver]:
    player = Player(flow, shipped_world()[0], test)
    player.play()
    assert player.result().failures == ()
    assert player.end is not None
    return [Step(step.node, step.outcome) for step in player.simulation.path], player.end


@pytest.mark.parametrize(("flow", "test"), CALLS, ids=lambda value: getattr(value, "name", ""))
def test_every_shipped_call_ends_where_it_ended(flow: Flow, test: FlowTest) -> None:
    steps, ended = lived(flow, test)
    found = replay(steps, flow, flow)
    assert found.verdict == "same"
    match ended:
        case HandOver(do="queue", target=queue):
            assert found.after == End(f"queue {queue}")
        case HandOver(do=do):
            assert found.after.what.startswith(do)
        case Finish(reason=reason, hang_up=True, go_to="") if not steps or reason not in ("silent", "served"):
            assert found.after == End(f"hangup {reason}")


def changed(*edits: tuple[str, str]) -> Flow:
    text = FRONT_DESK.text
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return load_flow(text, file="draft")


WAY = [
    Step("language", "2"),
    Step("opening", "open"),
    Step("service", "1"),
    Step("open_repair", "ok"),
    Step("repair_greeting", "ok"),
    Step("repair", "timeout"),
    Step("message", "ok"),
]


def test_another_version_leads_elsewhere() -> None:
    before = end_of(WAY, FRONT_DESK)
    assert before.what.startswith("hangup")
    straight = changed(("queue: repair\n", "queue: operators\n"))
    assert replay(WAY[:5], FRONT_DESK, straight).verdict == "elsewhere"
    assert end_of(WAY[:5], straight) == End("queue operators")


def test_what_nobody_was_asked_can_t_be_told() -> None:
    asks = changed(
        ("  repair_greeting:\n", "  sure:\n    kind: confirm\n    prompt: {zh-CN: 确定吗, en: Sure?}\n"
         "    on: {\"yes\": repair_greeting, \"no\": repair_greeting, exhausted: repair_greeting}\n  repair_greeting:\n"),
        ("next: repair_greeting", "next: sure"),
    )  # fmt: skip
    assert replay(WAY, FRONT_DESK, asks).verdict == "undecided"
    assert end_of(WAY, asks) == End("at sure, which asks what this caller was not asked", undecided=True)


def test_a_key_that_is_nothing_any_more_can_t_be_told() -> None:
    steps = [Step("language", "9")]
    assert end_of(steps, FRONT_DESK) == End("at language, which has no such way out", undecided=True)


def test_a_caller_who_hangs_up_hung_up_there() -> None:
    assert end_of([Step("language", "hangup"), Step("left", "ok")], FRONT_DESK) == End("hung up in menu language")
