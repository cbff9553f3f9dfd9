"""Whatever flow passes the check, and whatever its caller does, the call ends at a declared outcome."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ctiserver.ivr.check import check
from ctiserver.ivr.loader import Flow, load_flow
from ctiserver.ivr.requests import Finish, HandedBack, HandOver, Listen, Speak
from ctiserver.ivr.simulate import Given, Simulation
from ctiserver.ivr.state import FlowState
from tests.support.flows import NAMES, WORLD

PROMPT = {"en": "some words"}
RESULTS = {
    "queue": ["timeout", "empty", "full", "agent_hung_up", "error"],
    "dial": ["bye", "nobody", "error"],
    "voicemail": ["ok", "error"],
}


@st.composite
def flows(draw: st.DrawFn) -> str:
    """The text of a flow: nodes of every kind, wired at random, all outcomes leading somewhere."""
    names = [f"n{i}" for i in range(draw(st.integers(2, 8)))]
    target = st.sampled_from([*names, "goodbye", "people"])
    nodes: dict[str, Any] = {
        "goodbye": {"kind": "hangup", "prompt": PROMPT},
        "people": {
            "kind": "queue",
            "queue": "operators",
            "on": {"empty": "goodbye", "full": "goodbye", "error": "goodbye"},
        },
    }
    for name in names:
        nodes[name] = draw(node(target))
    return json.dumps(
        {
            "schema": "callflow/1",
            "flow": "drawn",
            "version": "1",
            "languages": ["en"],
            "vars": {"typed": {"type": "text"}, "device": {"type": "device"}},
            "start": names[0],
            "on_error": "people",
            "agent": "people",
            "nodes": nodes,
        },
    )


@st.composite
def node(draw: st.DrawFn, target: st.SearchStrategy[str]) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(
            ["menu", "input", "confirm", "play", "branch", "set", "queue", "dial", "voicemail", "record", "lookup"]
        )
    )
    go = lambda: draw(target)  # noqa: E731
    match kind:
        case "menu":
            keys = draw(st.lists(st.sampled_from(["1", "12", "2", "star", "hash", "99"]), min_size=1, unique=True))
            choices = {
                key: draw(st.one_of(target, st.builds(dict, go=target, set=st.just({"typed": "x"})))) for key in keys
            }
            timing = {"barge_in": draw(st.sampled_from(["dtmf", "none"])), "flush": draw(st.booleans())}
            return {"kind": "menu", "prompt": PROMPT, "choices": choices, "on": {"exhausted": go()}, **timing}
        case "input":
            return {"kind": "input", "prompt": PROMPT, "min_digits": 1, "max_digits": draw(st.integers(1, 4)),
                    "store": "typed", "on": {"ok": go(), "exhausted": go()}}  # fmt: skip
        case "confirm":
            return {"kind": "confirm", "prompt": PROMPT, "on": {"yes": go(), "no": go(), "exhausted": go()}}
        case "play":
            return {"kind": "play", "prompt": {"en": "{{ call.ani }} and {{ len(call.name) }}"}, "next": go()}
        case "branch":
            return {"kind": "branch", "when": [{"if": "=contact.open_records > 0", "go": go()}], "else": go()}
        case "set":
            return {"kind": "set", "values": {"typed": "=call.ani"}, "next": go()}
        case "queue":
            every = draw(st.sampled_from([{}, {"30s": "position"}, {"60s": "offer_callback"}]))
            on = {"empty": go(), "full": go(), "timeout": go(), **({"callback": go()} if "60s" in every else {})}
            return {"kind": "queue", "queue": "repair", "max_wait": "3m", "every": every, "on": on}
        case "dial":
            to = draw(st.sampled_from([{"number": "10086"}, {"person": "agent1"}]))
            return {"kind": "dial", "to": to, "rounds": draw(st.integers(1, 3)), "on": {"bye": go(), "nobody": go()}}
        case "voicemail":
            return {"kind": "voicemail", "prompt": PROMPT, "next": go()}
        case "record":
            return {"kind": "service_record", "type": "repair", "fields": {"fault": "=call.name"}, "next": go()}
        case _:
            on = {"found": go(), "several": go(), "none": go()}
            return {"kind": "lookup", "find": "device", "by": {"serial_ends": "=call.ani"}, "store": "device", "on": on}


def pruned(text: str) -> str:
    """The flow without the nodes that nothing leads to, and without outcomes that its limits make impossible."""
    data = json.loads(text)
    while True:
        problems = check(load_flow(json.dumps(data), file="drawn"), NAMES)
        unreachable = [problem.message.split("'")[1] for problem in problems if problem.code == "CF-011"]
        if not unreachable:
            return json.dumps(data)
        for name in unreachable:
            del data["nodes"][name]


def ends(call: Simulation, data: st.DataObject) -> Finish:
    """Live as a caller who does anything at all, until the call is over."""
    for _ in range(20_000):
        match call.request:
            case Finish() as end:
                return end
            case Speak():
                call.heard(data.draw(st.sampled_from(["", "", "", "1", "2", "12"])))
            case Listen():
                key = data.draw(st.sampled_from([*"12*#90", "-"]))
                call.silent() if key == "-" else call.pressed(key)
            case HandOver(do=do):
                if data.draw(st.integers(0, 9)) == 0:
                    call.hung_up(served=data.draw(st.booleans()))
                else:
                    call.answer(HandedBack(data.draw(st.sampled_from(RESULTS[do]))), 20.0)
        assert FlowState.from_json(call.state.to_json()) == FlowState.from_json(
            FlowState.from_json(call.state.to_json()).to_json()
        )
    raise AssertionError("the call went on for ever")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(text=flows(), data=st.data())
def test_every_call_ends_at_a_declared_outcome(text: str, data: st.DataObject) -> None:
    text = pruned(text)
    flow: Flow = load_flow(text, file="drawn")
    assume(not [problem for problem in check(flow, NAMES) if not problem.warning])
    call = Simulation(flow, WORLD, Given())
    end = ends(call, data)
    declared = {"goodbye", "served", "hung_up", "silent", "error: loop", "error: max_steps", "error: max_duration"}
    assert end.reason in declared, end
    assert not (end.failed and not end.reason.startswith("error: ")), end
    for step in call.path:
        outcome = step.outcome.partition(":")[0]
        written = {label for label, _ in flow.nodes[step.node].edges()} | set(flow.nodes[step.node].outcomes())
        assert outcome in written | {"hangup", "served", "agent wanted", "timeout", "error"}, step
