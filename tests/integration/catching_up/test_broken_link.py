"""The link to the PBX breaks, and calls go on over there: what nobody saw is told by queue_log when it is back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from ctiserver.app.composition import App, running
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.resources import shipped
from ctiserver.settings import AgiSettings, PbxSettings, Settings, WebSettings
from tests.support.desk import PASSWORD
from tests.support.eventually import eventually
from tests.support.relay import Relay, relay

pytestmark = pytest.mark.pbx

NUMBER = "7055"
CALLERS = SEEN_TO_BEGIN, NOT_SEEN, SEEN_TO_END = "13800000011", "13800000012", "13800000013"


async def calls(app: App) -> dict[str, CallEntry]:
    """Of this test's callers: queue_log is read with some overlap, and others have called this PBX before."""
    async with app.database.reading() as uow:
        found = [entry for entry in await uow.calls.page() if entry.ani in CALLERS]
    assert len({entry.ani for entry in found}) == len(found), "one entry each"
    return {entry.ani: entry for entry in found}


async def missed(app: App) -> set[str]:
    """Who is to be called back."""
    async with app.database.reading() as uow:
        return {record.caller_number for record in await uow.records.recent()} & {*CALLERS}


async def watched(app: App) -> datetime | None:
    async with app.database.reading() as uow:
        return await uow.catching_up.watched_until(next(iter(app.links)))


async def up(app: App, between: Relay, *, so: bool) -> None:
    """Cut or heal, and wait until the server knows."""
    between.heal() if so else between.cut()
    link = next(iter(app.links.values()))

    async def state() -> bool:
        return link.up

    await eventually(state, lambda found: found is so, within_s=10)


async def test_calls_of_a_time_without_a_link_are_told_by_queue_log(
    pbx: PrivatePbx, programs: Programs, tmp_path: Path
) -> None:
    for step in (f"{NUMBER},1,Answer()", f"{NUMBER},2,Queue(repair)"):
        await pbx.cli(f"dialplan add extension {step} into cti-inbound")
    async with relay(pbx.ami_port) as between:
        main = PbxSettings(
            port=between.port,
            secret=SecretStr(pbx.ami_secret),
            queue_log=pbx.queue_log_path,
            reconnect_longest_s=0.5,
        )
        settings = Settings(
            data_dir=tmp_path / "data",
            config_dir=shipped("config"),
            pbxs={"main": main},
            agi=AgiSettings(port=0),
            web=WebSettings(port=0),
        )
        async with (
            running(settings) as app,
            SipPhone.agent(programs, pbx, "agent1") as agent,
            SipPhone.caller(programs, pbx, SEEN_TO_BEGIN) as first,
            SipPhone.caller(programs, pbx, NOT_SEEN) as second,
            SipPhone.caller(programs, pbx, SEEN_TO_END) as third,
        ):
            await app.features.users.add(
                "li.min", name="李敏", role="agent", password=PASSWORD, extension="101", interface="PJSIP/agent1"
            )
            await app.ready(10)
            await eventually(lambda: watched(app), lambda until: until is not None, within_s=10)
            await pbx.cli("queue add member PJSIP/agent1 to repair")
            # The first waits when the link breaks; agent1 talks with it, then a second comes and goes, unseen.
            await first.dial(NUMBER)
            await agent.ringing()
            await eventually(lambda: calls(app), lambda found: SEEN_TO_BEGIN in found)
            await up(app, between, so=False)
            await agent.answer()
            await second.dial(NUMBER)
            await eventually(lambda: pbx.cli("queue show repair"), lambda shown: "(wait:" in shown)
            await second.hang_up()
            await first.hang_up()
            await agent.ended()
            await third.dial(NUMBER)
            await agent.ringing()
            await agent.answer()
            await up(app, between, so=True)
            told = await eventually(
                lambda: calls(app),
                lambda found: found.keys() >= {SEEN_TO_BEGIN, NOT_SEEN} and found[SEEN_TO_BEGIN].outcome == "answered",
                within_s=15,
            )
            assert (told[SEEN_TO_BEGIN].agent_id, told[SEEN_TO_BEGIN].hangup_by) == ("li.min", "caller")
            assert (told[NOT_SEEN].outcome, told[NOT_SEEN].agent_id) == ("abandoned", None)
            # a callback for who was not served, and for nobody else
            assert await eventually(lambda: missed(app)) == {NOT_SEEN}
            assert all(told[ani].detail["reconstructed"] for ani in (SEEN_TO_BEGIN, NOT_SEEN))
            # The third goes on: it is left alone, then its wait, which nobody saw, is added to what was seen of it.
            assert not told[SEEN_TO_END].complete
            await third.hang_up()
            told = await eventually(
                lambda: calls(app), lambda found: bool(found[SEEN_TO_END].detail.get("queue_visits")), within_s=15
            )
            [visit] = told[SEEN_TO_END].detail["queue_visits"]  # type: ignore[misc]
            assert (visit["queue"], visit["outcome"], visit["agent"]) == ("repair", "answered", "PJSIP/agent1")  # type: ignore[index, call-overload]
            assert (told[SEEN_TO_END].outcome, told[SEEN_TO_END].agent_id) == ("answered", "li.min")
            assert await missed(app) == {NOT_SEEN}
            await agent.ended()
    await pbx.cli(f"dialplan remove extension {NUMBER}@cti-inbound")
