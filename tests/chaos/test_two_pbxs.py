"""One of two real PBXs is cut off with calls on both: the other is not affected, its agents are unknown, nothing mixes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from ctiserver.lab.drill.finding import Finding
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.ids import AgentId
from tests.chaos import results
from tests.support.asterisk import journal, programs
from tests.support.desk import Browser
from tests.support.eventually import eventually
from tests.support.pair import BRANCH, LI, MAIN, NUMBER, QIAN, ZHAO, desk, pair, state_of

__all__ = ["programs"]

HOME = {LI: (MAIN, "agent1"), ZHAO: (BRANCH, "agent1"), QIAN: (BRANCH, "agent2")}
#: Who calls where. The first of the branch talks when it is cut off; the others call while it is.
AT_MAIN, IN_MENU, TALKS, CALLS_UNSEEN, WAITS = (
    "13800000001", "13800000002", "13800000011", "13800000012", "13800000013",
)  # fmt: skip
MENU = "4008001234"


class Watch:
    """What one agent's desk has shown of that agent, and when."""

    def __init__(self) -> None:
        self.shown: list[tuple[float, str]] = []

    def states(self) -> set[str]:
        return {state for _, state in self.shown}

    async def since(self, at: float, state: str, *, after: int = 0, within_s: float = 20.0) -> float:
        """Seconds from ``at`` until this state was shown; not what was among the first ``after`` that were shown."""

        async def look() -> float | None:
            return next((when for when, one in self.shown[after:] if when >= at and one == state), None)

        found = await eventually(look, lambda when: when is not None, within_s=within_s)
        assert found is not None
        return found - at


@asynccontextmanager
async def watched(browser: Browser, agent: AgentId) -> AsyncIterator[Watch]:
    """The agent's desk as it stands open: a socket that follows the agent's own presence."""
    watch = Watch()
    async with browser.socket() as socket, asyncio.TaskGroup() as group:
        await socket.send_json({"op": "subscribe", "topic": f"presence:{agent}"})

        async def follow() -> None:
            async for message in socket:
                data = message.json()["data"]
                watch.shown.append((time.monotonic(), data["state"]))

        task = group.create_task(follow())
        yield watch
        task.cancel()


@pytest.mark.pbx
@pytest.mark.timeout(400)
@pytest.mark.parametrize("cut_s", [pytest.param(4, id="short"), pytest.param(60, id="long", marks=pytest.mark.chaos)])
async def test_one_is_cut_off_and_the_other_is_not_affected(programs: Programs, tmp_path: Path, cut_s: int) -> None:
    # The short form runs beside other tests, which want the same two cores.
    slow_s = 0.0 if cut_s > 10 else 4.0
    finding = Finding(
        "two-pbxs", f"One of two PBXs is cut off (what is sent vanishes) for {cut_s} s, with calls on both"
    )
    results.begin(finding.fault, finding.what, long=cut_s > 10)
    async with AsyncExitStack() as stack:
        two = await stack.enter_async_context(pair(programs, tmp_path))
        desks = {login: await stack.enter_async_context(desk(two, login)) for login in HOME}
        watches = {login: await stack.enter_async_context(watched(desks[login], login)) for login in HOME}
        phones = {
            login: await stack.enter_async_context(SipPhone.agent(programs, two.pbxs[pbx], name))
            for login, (pbx, name) in HOME.items()
        }
        callers = {
            ani: await stack.enter_async_context(SipPhone.caller(programs, two.pbxs[pbx], ani))
            for ani, pbx in {AT_MAIN: MAIN, IN_MENU: MAIN, TALKS: BRANCH, CALLS_UNSEEN: BRANCH, WAITS: BRANCH}.items()
        }
        await desks[LI].json("POST", "/api/v1/agents/me/login")
        await desks[ZHAO].json("POST", "/api/v1/agents/me/login")
        await callers[TALKS].dial(NUMBER)
        await phones[ZHAO].ringing()
        await phones[ZHAO].answer()
        await eventually(lambda: state_of(desks[ZHAO]), lambda state: state == "talking")
        await desks[QIAN].json("POST", "/api/v1/agents/me/login")
        connections = two.lines[MAIN].connections

        # The branch is cut off: nobody is told, and everything over there goes on.
        two.lines[BRANCH].freeze()
        cut_at = time.monotonic()
        await callers[CALLS_UNSEEN].dial(NUMBER)
        await phones[QIAN].ringing()
        await phones[QIAN].answer()
        noticed = [await watches[login].since(cut_at, "unknown") for login in (ZHAO, QIAN)]
        finding.at_most("branch_agents_unknown_on_their_desks_after_s", max(noticed), 5.0 + slow_s)
        await callers[TALKS].hang_up()
        await phones[ZHAO].ended()
        await callers[WAITS].dial(NUMBER)
        await callers[IN_MENU].dial(MENU)
        await callers[IN_MENU].answered()
        await callers[IN_MENU].press("1")

        async def walked() -> list[str]:
            # By day a second menu comes, and what was walked is kept from the queue on. In that of the operators is nobody;
            # again and again, since a key that comes before the PBX listens is lost.
            await callers[IN_MENU].press("2")
            async with two.app.database.reading() as uow:
                found = [one for one in await uow.calls.page(500) if one.ani == IN_MENU]
                return [step.node for one in found for step in await uow.calls.path(one.id)]

        await eventually(walked, within_s=20.0)
        await callers[IN_MENU].hang_up()
        taken_over = [entry for entry in (await journal(two.pbxs[MAIN])).values() if entry[1] != "voicemail"]
        finding.none("calls_of_the_other_that_fell_back", taken_over)  # by day there is a queue, by night a message
        calls, shown_s = 0, [0.0]
        while not calls or time.monotonic() < cut_at + cut_s:
            before, dialled_at = len(watches[LI].shown), time.monotonic()
            await callers[AT_MAIN].dial(NUMBER)
            await phones[LI].ringing(40.0)
            rang_s = time.monotonic() - dialled_at
            shown_s.append(await watches[LI].since(dialled_at, "ringing", after=before) - rang_s)
            await phones[LI].answer()
            await eventually(lambda: state_of(desks[LI]), lambda state: state == "talking")
            await callers[AT_MAIN].hang_up()
            await phones[LI].ended()
            await eventually(lambda: state_of(desks[LI]), lambda state: state == "wrap_up")
            await desks[LI].json("POST", "/api/v1/agents/me/unpause")
            calls += 1
        finding.figures["calls_at_the_other_meanwhile"] = calls
        finding.at_most("ring_to_the_others_desk_worst_s", max(shown_s), 1.0 + slow_s)
        finding.must("the other's agent was never shown as unknown", "unknown" not in watches[LI].states())
        kept = two.lines[MAIN].connections == connections and two.app.links[MAIN].up
        finding.must("the other's link stood all the time", kept)

        # It heals: what was held back arrives late, and the server asks what is.
        two.lines[BRANCH].thaw()
        healed_at = time.monotonic()
        talks_s = await watches[QIAN].since(healed_at, "talking")
        finding.at_most("who_talks_over_there_is_known_after_s", talks_s, 10.0)
        if not phones[ZHAO].talking and await state_of(desks[ZHAO]) == "wrap_up":
            await desks[ZHAO].json("POST", "/api/v1/agents/me/unpause")
        await phones[ZHAO].ringing(40.0)
        await phones[ZHAO].answer()
        # Who waits rings a free phone again and again until it is answered; from then on nobody may.
        offers = phones[ZHAO].rung
        for login in (ZHAO, QIAN):
            seen = await eventually(
                lambda login=login: desks[login].json("GET", "/api/v1/agents/me"),
                lambda me: me["state"] == "talking" and me["calls"],
                within_s=15.0,
            )
            finding.must(f"{login} has one call", len(seen["calls"]) == 1)
        offered = {login: phone.rung for login, phone in phones.items()}
        once = offered == {LI: calls, ZHAO: offers, QIAN: 1} and offers >= 2
        other = "" if once else f" ({offered})"
        finding.must(f"no agent was offered a second call while one was there{other}", once)
        for ani in (CALLS_UNSEEN, WAITS):
            await callers[ani].hang_up()

        def said_of(ani: str) -> str:
            return "li.min" if ani == AT_MAIN else {TALKS: ZHAO, CALLS_UNSEEN: QIAN, WAITS: ZHAO}[ani]

        async def logged() -> list[tuple[str, str, str | None, bool]]:
            async with two.app.database.reading() as uow:
                found = await uow.calls.page(500)
            return sorted(((one.pbx, one.ani, one.agent_id, one.complete) for one in found), key=str)

        wanted = sorted(
            [(MAIN, AT_MAIN, str(LI), True)] * calls
            + [(MAIN, IN_MENU, None, True)]
            + [(BRANCH, ani, said_of(ani), True) for ani in (TALKS, CALLS_UNSEEN, WAITS)],
            key=str,
        )
        try:
            written = await eventually(logged, lambda found: found == wanted, within_s=20.0)
        except AssertionError:
            written = await logged()
        finding.none("calls_that_are_not_logged_once_under_their_pbx_and_agent", [*set(written) ^ set(wanted)])
        finding.must("as many entries as calls", len(written) == len(wanted))
    results.keep(
        finding.fault, finding.what, long=cut_s > 10, figures=finding.figures, held=finding.held, broken=finding.broken
    )
    assert finding.broken == []
