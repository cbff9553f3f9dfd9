"""One of two PBXs is cut off: the other is not affected, what is shown of the first is old, and nothing mixes."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from ctiserver.app.composition import running
from ctiserver.drill.finding import Finding
from ctiserver.drill.proxy import line
from ctiserver.model.events import CallEvent
from ctiserver.model.ids import PbxName
from ctiserver.resources import shipped
from ctiserver.settings import AgiSettings, PbxSettings, Settings, WebSettings
from tests.chaos import results
from tests.support.ami import FakeAmi, channel, event, fake_ami
from tests.support.eventually import eventually

MAIN, BRANCH = PbxName("main"), PbxName("branch")


def rings(uniqueid: str) -> bytes:
    return event("Newchannel", **channel(uniqueid))


@pytest.mark.parametrize("cut_s", [pytest.param(3, id="short"), pytest.param(60, id="long", marks=pytest.mark.chaos)])
async def test_one_is_cut_off_and_the_other_is_not_affected(tmp_path: Path, cut_s: int) -> None:
    finding = Finding("two-pbxs", f"One of two PBXs is cut off (half-open) for {cut_s} s and more")
    async with AsyncExitStack() as stack:
        pbxs: dict[PbxName, FakeAmi] = {name: await stack.enter_async_context(fake_ami()) for name in (MAIN, BRANCH)}
        cuts = {name: await stack.enter_async_context(line("127.0.0.1", pbx.port)) for name, pbx in pbxs.items()}
        settings = Settings(
            data_dir=tmp_path / "data",
            config_dir=shipped("config"),
            pbxs={
                name: PbxSettings(port=cuts[name].listens_at, secret=SecretStr(pbx.secret))
                for name, pbx in pbxs.items()
            },
            agi=AgiSettings(port=0),
            web=WebSettings(port=0),
        )
        app = await stack.enter_async_context(running(settings))
        await app.ready(20)
        heard = stack.enter_context(app.bus.subscribe(CallEvent))
        for pbx in pbxs.values():
            await pbx.say(rings("1.1"))  # of the same uniqueid on both: two calls all the same

        async def calls() -> dict[PbxName, int]:
            return {name: link.calls_now for name, link in app.links.items()}

        await eventually(calls, lambda seen: seen == {MAIN: 1, BRANCH: 1})
        before = pbxs[MAIN].connections

        cuts[BRANCH].freeze()
        cut_at = time.monotonic()
        await pbxs[BRANCH].say(event("Hangup", **channel("1.1"), Cause="16"))  # nobody hears it

        async def up() -> bool:
            return app.links[BRANCH].up

        await eventually(up, lambda seen: not seen, within_s=15.0)
        finding.at_most("noticed_s", time.monotonic() - cut_at, 5.0)
        worst_s, number = 0.0, 1
        while time.monotonic() < cut_at + cut_s:
            number += 1
            said_at = time.monotonic()
            await pbxs[MAIN].say(rings(f"1.{number}"))
            await eventually(calls, lambda seen, wanted=number: seen[MAIN] == wanted)
            worst_s = max(worst_s, time.monotonic() - said_at)
            await asyncio.sleep(0.2)
        finding.at_most("the_others_events_worst_s", worst_s, 1.0)
        finding.must("the other's link stood all the time", pbxs[MAIN].connections == before and app.links[MAIN].up)

        pbxs[BRANCH].channels = [channel("7.7")]  # one call ended meanwhile, another has begun
        cuts[BRANCH].reset()
        cuts[BRANCH].thaw()
        healed_at = time.monotonic()
        await eventually(up, bool, within_s=20.0)
        finding.figures["healed_s"] = round(time.monotonic() - healed_at, 2)
        await eventually(calls, lambda seen: seen == {MAIN: number, BRANCH: 1})
        [going_on] = app.links[BRANCH].calls()
        finding.must("what went on meanwhile is known", going_on.linkedids == ("7.7",))

        async def entries() -> dict[tuple[str, bool], int]:
            found: dict[tuple[str, bool], int] = {}
            async with app.database.reading() as uow:
                for entry in await uow.calls.page(500):
                    key = (entry.pbx, entry.complete)
                    found[key] = found.get(key, 0) + 1
            return found

        wanted = {(MAIN, False): number, (BRANCH, True): 1, (BRANCH, False): 1}
        seen = await eventually(entries, lambda found: found == wanted, within_s=15.0)
        finding.must("each PBX's calls are logged under its name, once", seen == wanted)
        app.bus.close()
        mixed = [one async for one in heard if one.pbx == MAIN and "7.7" in str(one)]
        finding.none("events_of_one_under_the_others_name", mixed)
    results.keep(
        finding.fault, finding.what, long=cut_s > 10, figures=finding.figures, held=finding.held, broken=finding.broken
    )
    assert finding.broken == []
