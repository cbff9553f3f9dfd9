"""The agent asks a colleague before passing the caller on, by the PBX's own feature (AMI's Atxfer presses its keys)."""

from __future__ import annotations

import pytest

from tests.support.scenario import AGENT1, AGENT2, REPAIR, Floor, kinds


@pytest.mark.parametrize("answered_first", [True, False], ids=["attended", "blonde"])
async def test_transfer_once_or_before_the_other_answered(floor: Floor, answered_first: bool) -> None:
    first, second, caller = await floor.agent("agent1", REPAIR), await floor.agent("agent2"), await floor.caller()
    await caller.dial("7001")
    await first.ringing()
    await first.answer()
    await floor.talk()
    await floor.seen.link.attended_transfer(await floor.channel(AGENT1), context="cti-phones", exten="102")
    await second.ringing()
    if answered_first:
        await second.answer()
        await floor.talk(0.5)
        await first.hang_up()
    else:
        await floor.talk(0.5)
        await first.hang_up()
        await second.answer()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.over()
    kind = "attended" if answered_first else "blonde"
    assert [(t.kind, t.by, t.to) for t in call.transfers] == [(kind, AGENT1, AGENT2)]
    assert call.answered_by == (AGENT1, AGENT2)
    assert kinds(call, AGENT1) == ["ring", "talk", "hold", "consult"]
