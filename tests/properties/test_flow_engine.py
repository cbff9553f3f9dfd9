"""Whatever flow passes the check, and whatever its caller does, the call ends at a declared outcome."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ctiserver.ivr.language.check import check
from ctiserver.ivr.language.loader import Flow, load_flow
from ctiserver.ivr.language.requests import Finish, HandedBack, HandOver, Listen, Speak
from ctiserver.ivr.language.state import FlowState
from ctiserver.ivr.simulation.simulate import Given, Simulation
from tests.support.drawn_flows import flows, pruned
from tests.support.flows import NAMES, WORLD

RESULTS = {
    "queue": ["timeout", "empty", "full", "agent_hung_up", "error"],
    "dial": ["bye", "nobody", "error"],
    "voicemail": ["ok", "error"],
}


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
