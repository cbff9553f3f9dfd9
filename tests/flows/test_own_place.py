"""Callers on a real Asterisk hear their own place in the queue, and come back to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctiserver.ivr.language.requests import Request, Said, Speak
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from tests.support.eventually import eventually
from tests.support.flow_server import flow_server

FLOW = """\
schema: callflow/1
flow: waiting
version: "1"
languages: [en]
start: wait
on_error: bye
nodes:
  wait:
    kind: queue
    queue: repair
    max_wait: 15s
    every: {10s: position}
    on: {timeout: bye, empty: bye, full: bye}
  bye: {kind: hangup, prompt: {en: Goodbye.}}
"""


def place(request: Request) -> int | None:
    """The place that is told."""
    if not (isinstance(request, Speak) and request.slot == "position"):
        return None
    (said,) = [piece for piece in request.phrases[0].pieces if isinstance(piece, Said)]
    assert isinstance(said.value, int)
    return said.value


@pytest.mark.pbx
async def test_each_hears_the_own_place_and_keeps_it(pbx: PrivatePbx, programs: Programs, tmp_path: Path) -> None:
    flows = tmp_path / "site"
    flows.mkdir()
    (flows / "waiting.flow.yaml").write_text(FLOW, encoding="utf-8")
    port = int(pbx.agi.rpartition(":")[2])
    async with (
        flow_server(tmp_path, flow="waiting", flows=flows, port=port) as server,
        SipPhone.agent(programs, pbx, "agent1"),
        SipPhone.caller(programs, pbx, "13800138001") as first,
        SipPhone.caller(programs, pbx, "13800138002") as second,
    ):
        await pbx.cli("queue add member PJSIP/agent1 to repair")
        await pbx.cli("queue pause member PJSIP/agent1")

        async def waiting() -> list[str]:
            lines = (await pbx.cli("queue show repair")).partition("Callers:")[2].splitlines()
            return [line.split()[1] for line in lines if "PJSIP/trunk" in line]

        channels: list[str] = []
        for number, phone in enumerate((first, second), 1):
            await phone.dial("4008001234")
            channels = await eventually(waiting, lambda seen, number=number: len(seen) == number, within_s=10.0)

        async def told() -> list[int]:
            return [at for _, request in server.service.asked if (at := place(request)) is not None]

        assert await eventually(told, lambda seen: len(seen) == 2, within_s=25.0) in ([1, 2], [1, 1])
        assert await eventually(waiting, lambda seen: len(seen) == 2, within_s=10.0) == channels
        for phone in (first, second):
            await phone.ended(20.0)
        assert server.server.counts.failed == 0
