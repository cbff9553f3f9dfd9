"""A caller may hang up anywhere: every node of every shipped flow, at every command that Asterisk is given there."""

from pathlib import Path

import pytest

from ctiserver.ivr.language.library import flow_files
from ctiserver.ivr.language.loader import load_flow
from ctiserver.ivr.language.requests import Listen, Speak
from ctiserver.ivr.simulation.scripted import FlowTest, load_tests
from ctiserver.ivr.simulation.simulate import DEFAULT_CLOCK
from ctiserver.resources import shipped
from tests.support.flow_server import flow_server
from tests.support.flows import shipped_world
from tests.support.socket_lane import Command, Line, SetClock, left, simulated

#: How Asterisk says it; ``-1`` is the answer of a command that plays or listens, and costs one question more.
#: ``EOF`` alone it never is: the connection broke, the caller may be in the fallback's queue, and on_hangup waits for
#: the PBX's word that the call has ended.
HOW = ("HANGUP", "511", "EOF")


@pytest.mark.parametrize("path", flow_files(shipped("ivr_flows")), ids=lambda path: path.name.partition(".")[0])
async def test_a_hang_up_at_every_node_ends_the_session_and_leaves_what_the_simulator_leaves(
    path: Path, tmp_path: Path
) -> None:
    """No command follows the hang-up, on_hangup has run once, and path, records and events are the simulator's."""
    flow, (world, _) = load_flow(path), shipped_world()
    clock = SetClock(DEFAULT_CLOCK)
    audible: set[str] = set()
    points: dict[tuple[str, ...], tuple[FlowTest, Command]] = {}
    async with flow_server(tmp_path, flow=flow.name, clock=clock) as server:
        line = Line(server, flow, world, clock)
        for test in load_tests(path.with_name(f"{flow.name}.test.yaml"), flow):
            whole = simulated(flow, world, test)
            await line.call(test, whole)  # its prompts are spoken now, which takes commands of its own
            called = await line.call(test, whole)
            assert left(server.ports, server.ports.path.get(called.id, [])) == left(whole.ports, whole.path), test.name
            audible |= {node for node, request, _ in whole.asked if isinstance(request, Speak | Listen)}
            for command in called.commands:
                points.setdefault((command.node, *command.words[:2]), (test, command))
        assert audible <= {node for node, *_ in points}
        for number, (test, command) in enumerate(points.values()):
            plays = command.words[0] in ("STREAM", "WAIT")
            how = (*HOW, "-1")[number % 4] if plays else HOW[number % 3]
            place = f"{test.name}: {how} at {command}"
            called = await line.call(test, simulated(flow, world, test), hang_up_at=command.number, how=how)
            after = [" ".join(one.words) for one in called.commands[command.number :]]
            assert after == [], place
            stored = left(server.ports, server.ports.path.get(called.id, []))
            begun = command.request >= 0
            unsaid = how == "EOF" or called.resuming or (how == "HANGUP" and called.unanswered)
            assert called.waits is (begun and unsaid), place
            if not begun:
                assert stored["path"] == stored["events"] == [], place  # the flow had not begun
            else:
                cut = simulated(flow, world, test, cut_at=command.request)
                assert stored == left(cut.ports, cut.path), place
            assert server.ports.states == {}, place
        assert server.server.counts.failed == 0
