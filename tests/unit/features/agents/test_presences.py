"""Presence follows from seats, calls and time, on the PBX that has the agent's phone; what a PBX lost is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from ctiserver.clock import ManualClock
from ctiserver.errors import PeerLost
from ctiserver.features.agents.orders import Orders, Pause, QueueMembership
from ctiserver.features.agents.presences import NO_ANSWER, WRAP_UP, Presences
from ctiserver.features.agents.seating import Seating
from ctiserver.model.agent import LoggedIn, LoggedOut, WrapUpKept
from ctiserver.model.events import (
    AgentConnected,
    AgentDisconnected,
    AgentRingEnded,
    AgentRinging,
    CallsMerged,
    MemberChanged,
    PbxDown,
    PbxUp,
)
from ctiserver.model.ids import AgentId, CallId, Interface, Linkedid, PbxName, QueueName
from ctiserver.model.person import Agent
from ctiserver.pbx.port import Pbx
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from tests.support.eventually import eventually

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
MAIN, BRANCH = PbxName("main"), PbxName("branch")
REPAIR = QueueName("repair")
LI, ZHAO = AgentId("li"), AgentId("zhao")
PHONE = Interface("PJSIP/agent1")
CALL = {"call_id": CallId("C" * 26), "linkedid": Linkedid("1.1")}


@dataclass
class FakePbx:
    """Notes what it is told, if it is there to be told."""

    up: bool = True
    broken: bool = False
    told: list[str] = field(default_factory=list)
    tried: int = 0

    async def queue_add(self, queue: QueueName, interface: Interface, *, name: str, penalty: int) -> None:
        self._note(f"add {queue} {interface} {name} {penalty}")

    def _note(self, order: str) -> None:
        self.tried += 1
        if self.broken or not self.up:
            raise PeerLost("there is no link")
        self.told.append(order)


class Floor:
    """Two agents, on phones of one name at two PBXs."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.pbxs = {MAIN: FakePbx(), BRANCH: FakePbx()}
        self.seating = Seating(MAIN)
        self.orders = Orders(
            pbx_of=self._pbx_of,
            due=lambda order: self.presences.due(order),  # noqa: PLW0108
            pause=self._pause,
            seated=lambda given: self.presences.seated(given),  # noqa: PLW0108
        )
        site = load_site(shipped("config"))
        self.presences = Presences(self.clock, site, self.seating, self.orders, lambda presence: None)
        self.know(self.agent(LI), self.agent(ZHAO, BRANCH))

    @staticmethod
    def agent(agent_id: AgentId, pbx: PbxName = PbxName("")) -> Agent:  # noqa: B008 - an empty word
        return Agent(id=agent_id, user_id=None, name=agent_id, extension="101", pbx=pbx, interface=PHONE)

    def know(self, *agents: Agent) -> None:
        self.presences.begin(self.seating.know(agents))

    def _pbx_of(self, agent_id: AgentId) -> Pbx | None:
        return cast(Pbx, self.pbxs[self.seating.pbx_of(agent_id)])

    async def _pause(self, order: Pause) -> None:
        self.pbxs[self.seating.pbx_of(order.agent_id)]._note(f"pause {order.paused} {order.reason}".strip())

    def seat(
        self,
        pbx: PbxName = MAIN,
        *,
        present: bool = True,
        paused: bool = False,
        reason: str = "",
        paused_at: datetime | None = None,
        interface: Interface = PHONE,
    ) -> None:
        self.presences.heard(
            MemberChanged(
                pbx=pbx, at=NOW, queue=REPAIR, interface=interface, name="Li", present=present, dynamic=True,
                paused=paused, pause_reason=reason, penalty=2, status="free", in_call=False, paused_at=paused_at,
            )
        )  # fmt: skip

    def call(self, pbx: PbxName = MAIN) -> None:
        """A call of the queue is answered and over."""
        self.presences.heard(AgentConnected(pbx=pbx, at=NOW, **CALL, interface=PHONE, queue=REPAIR))
        self.presences.heard(AgentDisconnected(pbx=pbx, at=NOW, **CALL, interface=PHONE, queue=REPAIR, talk_ms=1))

    def away(self, pbx: PbxName = MAIN) -> None:
        self.pbxs[pbx].up = False
        self.presences.heard(PbxDown(pbx=pbx, at=self.clock.now(), reason="gone"))

    def back(self, pbx: PbxName = MAIN, *, restarted: bool) -> None:
        self.pbxs[pbx].up = True
        self.presences.heard(PbxUp(pbx=pbx, at=NOW, version="22", epoch=NOW, restarted=restarted))

    def state(self, agent_id: AgentId = LI) -> str:
        return self.presences[agent_id].state

    async def becomes(self, state: str, agent_id: AgentId = LI) -> None:
        async def look() -> str:
            return self.state(agent_id)

        await eventually(look, lambda found: found == state)

    async def told(self, *orders: str) -> None:
        async def look() -> tuple[str, ...]:
            return tuple(self.pbxs[MAIN].told)

        await eventually(look, lambda found: found == orders)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Orders are given and deadlines kept."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.orders.run()), group.create_task(self.presences.keep_deadlines())]
            yield
            for task in tasks:
                task.cancel()


@pytest.fixture
def floor() -> Floor:
    return Floor()


def test_phones_of_one_name_are_two_agents(floor: Floor) -> None:
    floor.seat(BRANCH)
    assert (floor.state(LI), floor.state(ZHAO)) == ("logged_out", "available")
    floor.seat(MAIN)
    floor.presences.heard(AgentConnected(pbx=BRANCH, at=NOW, **CALL, interface=PHONE, queue=REPAIR))
    assert (floor.state(LI), floor.state(ZHAO)) == ("available", "talking")


def test_an_agent_who_comes_after_their_seat_has_its_presence() -> None:
    floor = Floor()
    floor.know()
    floor.seat(paused=True, reason="lunch")
    floor.know(floor.agent(LI))
    assert (floor.state(), floor.presences[LI].pause_reason) == ("paused", "lunch")


def test_an_agent_who_moves_to_another_pbx_leaves_the_seat_behind(floor: Floor) -> None:
    floor.seat(MAIN)
    floor.know(floor.agent(LI, PbxName("third")))
    assert floor.state() == "logged_out"


async def test_of_whom_nothing_is_heard_for_a_while_is_unknown(floor: Floor) -> None:
    floor.seat(MAIN)
    floor.seat(BRANCH)
    async with floor.open():
        floor.away(BRANCH)
        assert floor.state(ZHAO) == "available", "a short break says nothing"
        floor.clock.advance(2)
        floor.away(BRANCH)
        await floor.becomes("unknown", ZHAO)
        assert floor.state(LI) == "available"
        floor.back(BRANCH, restarted=False)
        assert floor.state(ZHAO) == "available"


async def test_an_order_that_found_no_pbx_is_given_when_it_is_back(floor: Floor) -> None:
    floor.seat()
    async with floor.open():
        floor.call()
        await floor.told(f"pause True {WRAP_UP}")
        floor.seat(paused=True, reason=WRAP_UP)
        floor.away()
        floor.clock.advance(61)
        floor.presences.unheard(MAIN)
        floor.know(floor.agent(LI), floor.agent(ZHAO, BRANCH))  # anything that makes it look at the time
        await floor.becomes("unknown")
        assert floor.presences[LI].wrap_up_until is None
        floor.back(restarted=False)
        await floor.told(f"pause True {WRAP_UP}", "pause False")
        assert floor.state() == "available"


async def test_a_seat_that_a_pbx_forgot_before_it_told_of_it_is_asked_for_again(floor: Floor) -> None:
    """Killed between its answer to the log-in and the event; then once more, before the event of the second seat."""
    again = f"add {REPAIR} {PHONE} Li 2"
    async with floor.open():
        floor.presences.seated(QueueMembership(LI, REPAIR, PHONE, "Li", 2))
        floor.presences.step(LI, LoggedIn())
        floor.away()
        floor.back(restarted=True)
        await floor.told(again)
        floor.away()
        floor.back(restarted=True)
        await floor.told(again, again)
        floor.seat()
        floor.seat(present=False)  # by the PBX's console: the agent is out, and is not put back
        floor.away()
        floor.back(restarted=True)
        assert floor.state() == "logged_out"
    assert floor.pbxs[MAIN].told == [again, again]


async def test_a_seat_whose_end_was_not_told_before_a_restart_is_not_given_back(floor: Floor) -> None:
    floor.seat()
    async with floor.open():
        floor.presences.step(LI, LoggedOut())
        floor.away()
        floor.seat(present=False)
        floor.back(restarted=True)
        assert floor.state() == "logged_out"
    assert floor.pbxs[MAIN].told == []


async def test_what_a_restarted_pbx_forgot_is_asked_for_again(floor: Floor) -> None:
    floor.seat()
    async with floor.open():
        floor.call()
        until = floor.presences[LI].wrap_up_until
        await floor.told(f"pause True {WRAP_UP}")
        floor.seat(paused=True, reason=WRAP_UP)
        floor.away()
        floor.seat(present=False)
        floor.back(restarted=True)
        assert (floor.state(), floor.presences[LI].wrap_up_until) == ("wrap_up", until)
        await floor.told(f"pause True {WRAP_UP}", f"add repair {PHONE} Li 2", f"pause True {WRAP_UP}")


async def test_who_was_taken_out_while_the_link_was_down_stays_out(floor: Floor) -> None:
    """The same Asterisk: somebody did that on purpose."""
    floor.seat(paused=True, reason="lunch")
    async with floor.open():
        floor.away()
        floor.seat(present=False)
        floor.back(restarted=False)
        assert floor.state() == "logged_out"
    assert floor.pbxs[MAIN].told == []


def test_after_call_work_of_before_lasts_as_long_as_it_was_to_last(floor: Floor) -> None:
    until = NOW + timedelta(seconds=17)
    floor.presences.found_kept([WrapUpKept(agent_id=LI, queue=REPAIR, until=until, extended=True)])
    floor.seat(paused=True, reason=WRAP_UP)
    assert (floor.state(), floor.presences[LI].wrap_up_until) == ("wrap_up", until)
    assert floor.presences[LI].wrap_up_extended


def test_after_call_work_that_nobody_could_write_down_lasts_from_the_pause_on(floor: Floor) -> None:
    older = WrapUpKept(agent_id=LI, queue=REPAIR, until=NOW - timedelta(minutes=5))
    floor.presences.found_kept([older])
    floor.seat(paused=True, reason=WRAP_UP, paused_at=NOW - timedelta(seconds=20))
    assert floor.presences[LI].wrap_up_until == NOW + timedelta(seconds=40)
    floor.seat(BRANCH, paused=True, reason=WRAP_UP)  # an Asterisk that does not say since when
    assert floor.presences[ZHAO].wrap_up_until == NOW + timedelta(seconds=60)


async def test_after_call_work_is_there_to_be_written_down(floor: Floor) -> None:
    floor.seat()
    floor.call()
    async with asyncio.timeout(20):
        kept = await floor.presences.to_keep()
    assert kept == [WrapUpKept(agent_id=LI, queue=REPAIR, until=NOW + timedelta(seconds=60))]


async def test_three_calls_that_ring_out_pause_the_phone_and_a_break_of_the_link_does_not_unpause_it(
    floor: Floor,
) -> None:
    floor.seat()
    async with floor.open():
        floor.pbxs[MAIN].up = False
        for _ in range(3):
            floor.presences.heard(
                AgentRingEnded(
                    pbx=MAIN, at=NOW, **CALL, interface=PHONE, queue=REPAIR, outcome="no_answer", ring_ms=15000
                )
            )
        assert (floor.state(), floor.presences[LI].pause_reason) == ("paused", NO_ANSWER)
        floor.back(restarted=False)
        await floor.told(f"pause True {NO_ANSWER}")


async def test_a_link_that_is_lost_and_does_not_know_it_yet_keeps_nobody_busy(floor: Floor) -> None:
    """The connection is gone, and PbxDown is still on its way."""
    floor.seat()
    main = floor.pbxs[MAIN]
    main.broken = True
    async with floor.open():
        floor.call()
        await asyncio.sleep(0)
        floor.away()
        main.broken = False
        floor.back(restarted=False)
        await floor.told(f"pause True {WRAP_UP}")
    assert main.tried == 2


@pytest.mark.parametrize("answered", [True, False])
def test_who_is_in_a_call_that_became_part_of_another_is_free_when_that_ends(floor: Floor, *, answered: bool) -> None:
    """Asked on a second line, then handed the caller: nothing says that the second line's own call ended."""
    floor.seat()
    kept, here = CallId("K" * 26), {"pbx": MAIN, "at": NOW, "linkedid": Linkedid("1.0")}
    floor.presences.heard(AgentRinging(pbx=MAIN, at=NOW, **CALL, interface=PHONE, queue=None))
    if answered:
        floor.presences.heard(AgentConnected(pbx=MAIN, at=NOW, **CALL, interface=PHONE, queue=None))
    floor.presences.heard(CallsMerged(**here, call_id=kept, absorbed=CALL["call_id"]))
    assert floor.state() == ("talking" if answered else "ringing")
    if answered:
        floor.presences.heard(AgentDisconnected(**here, call_id=kept, interface=PHONE, queue=None, talk_ms=1))
    else:
        floor.presences.heard(
            AgentRingEnded(**here, call_id=kept, interface=PHONE, queue=None, outcome="cancelled", ring_ms=1)
        )
    assert floor.state() == "available"


def test_a_seat_by_a_local_channel_is_that_of_whose_extension_it_leads_to(floor: Floor) -> None:
    local = Interface("Local/101@from-queue/n")
    floor.seat(BRANCH, interface=local)
    assert (floor.state(LI), floor.state(ZHAO)) == ("logged_out", "available")
    assert [seat.interface for seat in floor.seating.of(ZHAO)] == [local]
    floor.seat(BRANCH, interface=local, present=False)
    assert floor.state(ZHAO) == "logged_out"
