"""Flows that hypothesis wrote, with callers that it made up, on a real Asterisk: they end where the simulator says.

``tests/properties/test_flow_engine.py`` lives many more of such calls in the simulator; this is a sample of them, each
of which goes through kinds of nodes that those before it did not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ctiserver.ivr.language.check import check
from ctiserver.ivr.language.loader import Flow, load_flow
from ctiserver.ivr.language.requests import CallerGone, Finish, HandedBack, HandOver, Listen, Pressed, Request, Speak
from ctiserver.ivr.simulation.simulate import Given
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.resources import shipped
from ctiserver.site.files import NumberConfig
from ctiserver.site.load import load_site
from tests.support.drawn_flows import flows, pruned
from tests.support.eventually import eventually
from tests.support.flow_server import FlowServer, flow_server
from tests.support.flows import shipped_world
from tests.support.socket_lane import Noted, left

#: What becomes of a hand-over on a PBX where nobody is logged in, and a message may last a second.
AWAY = {"queue": "empty", "dial": "nobody", "voicemail": "ok"}
WANTED = 6
SHORTEST, LONGEST = 6, 16  #: requests
SILENCES = 2  #: each takes its time-out on a real line


@dataclass(frozen=True)
class Drawn:
    """A flow, and a call of it as the simulator lived it."""

    flow: Flow
    call: Noted

    @property
    def kinds(self) -> set[str]:
        """The kinds of nodes that it goes through, and how it ends."""
        ended = self.call.request
        assert isinstance(ended, Finish)
        return {step.kind for step in self.call.path} | {f"ends: {ended.reason}"}


def lived(flow: Flow, keys: str) -> Noted:
    """A caller who lets prompts play, and presses, waits (-) or hangs up (!) when asked; until the call is over."""
    call = Noted(flow, shipped_world()[0], Given(calendar="always"))
    while not isinstance(call.request, Finish) and len(call.asked) <= LONGEST:
        match call.request:
            case Speak():
                call.heard()
            case Listen():
                key, keys = keys[0], keys[1:]
                if key == "-":
                    call.silent()
                elif key == "!":
                    call.hung_up()
                else:
                    call.pressed(key)
            case HandOver(do=do):
                call.answer(HandedBack(AWAY[do]), 1.0)
    return call


def on_a_line(call: Noted) -> bool:
    """Whether a real line can do the same in a few seconds."""
    silences = sum(isinstance(request, Listen) and not _answered(answer) for _, request, answer in call.asked)
    outside = any(
        isinstance(request, HandOver) and request.options.get("as") == "number" for _, request, _ in call.asked
    )
    return (
        isinstance(call.request, Finish)
        and SHORTEST <= len(call.asked) <= LONGEST
        and silences <= SILENCES
        and not outside
    )


def _answered(answer: object) -> bool:
    return isinstance(answer, Pressed | CallerGone)


def drawn() -> list[Drawn]:
    """A sample, the same each time."""
    names = shipped_world()[1]
    found: list[Drawn] = []
    seen: set[str] = set()

    @settings(
        max_examples=150,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(text=flows(onward=True), keys=st.text("12*9-!", min_size=LONGEST, max_size=LONGEST))
    def draw(text: str, keys: str) -> None:
        if len(found) == WANTED:
            return
        written = json.loads(pruned(text))
        written["flow"] = f"drawn{len(found)}"
        written["defaults"] = {"input": {"initial_timeout": "2s", "inter_digit_timeout": "1s"}}
        flow = load_flow(json.dumps(written), file="drawn")
        if any(not problem.warning for problem in check(flow, names)):
            return
        one = Drawn(flow, lived(flow, keys))
        if on_a_line(one.call) and not one.kinds <= seen:
            seen.update(one.kinds)
            found.append(one)

    draw()
    return found


async def live(one: Drawn, number: str, server: FlowServer, phone: SipPhone) -> None:
    """Do by telephone what the caller did in the simulator, each time when the server asks the same."""
    began = len(server.service.asked)
    await phone.dial(number)
    for count, (node, request, answer) in enumerate(one.call.asked, began):

        def same(asked_at: str, asked: Request, node: str = node, request: object = request) -> bool:
            return asked_at == node and type(asked) is type(request)

        assert await server.service.until(lambda *_: True, after=count, within_s=20.0)
        assert same(*server.service.asked[count]), f"{one.flow.text}: {request} at {node} is wanted"
        if isinstance(answer, CallerGone):
            await phone.hang_up()
        elif isinstance(answer, Pressed):
            await phone.press(answer.key)


@pytest.mark.pbx
async def test_drawn_flows_end_on_a_real_line_where_they_end_in_the_simulator(
    pbx: PrivatePbx, programs: Programs, tmp_path: Path
) -> None:
    sample = drawn()
    assert len(sample) == WANTED
    site = tmp_path / "site"
    site.mkdir()
    for one in sample:
        (site / f"{one.flow.name}.flow.yaml").write_text(one.flow.text, encoding="utf-8")
    port = int(pbx.agi.rpartition(":")[2])
    async with (
        flow_server(tmp_path, flow="drawn0", flows=site, port=port, tone_s=0.1) as server,
        SipPhone.caller(programs, pbx, "13800138000") as phone,
    ):
        numbers = {f"900{at}": one for at, one in enumerate(sample)}
        entries = {number: NumberConfig(flow=one.flow.name, calendar="always") for number, one in numbers.items()}
        server.service.configure(replace(load_site(shipped("config")), numbers=entries), shipped_world()[0])
        for number, one in numbers.items():
            before = set(server.ports.path)
            for name in ("records", "events", "callbacks", "audio"):
                getattr(server.ports, name).clear()
            await live(one, number, server, phone)

            async def path() -> list[str]:
                new = [call for call in server.ports.path if call not in before]  # noqa: B023 - used at once
                return left(server.ports, server.ports.path[new[0]])["path"] if new else []  # type: ignore[return-value]

            wanted = left(one.call.ports, one.call.path)
            await eventually(path, lambda seen, wanted=wanted: seen == wanted["path"], within_s=20.0)
            await phone.ended(20.0)
            for name in ("records", "events", "callbacks", "audio"):
                assert getattr(server.ports, name) == wanted[name], f"{name} of {one.flow.text}"
        assert server.server.counts.failed == 0
