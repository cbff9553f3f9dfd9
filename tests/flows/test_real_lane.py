"""The same tests beside the same flows, by a real telephone on a real Asterisk: RTP audio, RFC 4733 digits.

Each call must take the very path that it takes in the simulator.
"""

from pathlib import Path

import pytest

from ctiserver.ivr.language.loader import load_flow
from ctiserver.ivr.language.requests import Listen, Request, Speak
from ctiserver.ivr.simulation.scripted import FlowTest, Player, load_tests
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from tests.support.eventually import eventually
from tests.support.flow_server import FlowServer, flow_server
from tests.support.flows import shipped_world

HERE = Path(__file__).parent
CORNER = load_flow(HERE / "corner.flow.yaml")
TESTS = load_tests(HERE / "corner.test.yaml", CORNER)


def simulated(test: FlowTest) -> list[str]:
    player = Player(CORNER, shipped_world()[0], test)
    player.play()
    assert player.result().failures == ()
    return [f"{step.node} {step.outcome}" for step in player.simulation.path]


async def act(test: FlowTest, server: FlowServer, phone: SipPhone) -> None:
    """What the script says, by telephone."""
    at = 0
    asked = server.service.until
    for step in test.steps:
        if step.hear is not None:
            name, _, slot = step.hear.partition(".")

            def prompted(node: str, request: Request, name: str = name, slot: str = slot) -> bool:
                return node == name and isinstance(request, Speak) and slot in ("", request.slot)

            at = await asked(prompted, after=at)
        elif step.press is not None:
            at = await asked(lambda _, request: isinstance(request, Listen), after=at)
            await phone.press(step.press)
        elif step.interrupt is not None:
            await phone.press(step.interrupt)
        elif step.hang_up:
            await phone.hang_up()
        # silence needs nobody to do anything


@pytest.mark.pbx
@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name)
async def test_a_real_telephone_takes_the_simulated_path(
    test: FlowTest, pbx: PrivatePbx, programs: Programs, tmp_path: Path
) -> None:
    port = int(pbx.agi.rpartition(":")[2])
    async with (
        flow_server(tmp_path, flow="corner", flows=HERE, port=port, tone_s=1.0) as server,
        SipPhone.caller(programs, pbx, "13800138000") as phone,
    ):
        await phone.dial(test.given.dialled)
        await act(test, server, phone)

        async def path() -> list[str]:
            return [f"{step.node} {step.outcome}" for steps in server.ports.path.values() for step in steps]

        assert await eventually(path, within_s=20.0) == simulated(test)
        if test.then.event:
            assert [event for event, _ in server.ports.events] == [test.then.event]
        assert server.server.counts.failed == 0
