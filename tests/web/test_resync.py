"""Services that fell behind show what a server shows that was started just now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ctiserver.app.features import Features
from ctiserver.bus import Bus
from ctiserver.model.calls.tracking.standing import ChannelState
from ctiserver.model.events import (
    AgentConnected,
    AgentRinging,
    CallerEnteredQueue,
    CallEvent,
    CallStarted,
    PbxUp,
    RecordingBegan,
)
from ctiserver.model.ids import AgentId, CallId, Interface, Linkedid, QueueName, Uniqueid, call_id
from ctiserver.store.setting_aside import SettingAside
from ctiserver.web.hub import Hub
from tests.support.desk import PBX, REPAIR, Desk, desk
from tests.support.eventually import eventually

LIMIT = 50
LI, WU = AgentId("li"), AgentId("wu")


@dataclass(frozen=True)
class Line:
    """One call, as events of it."""

    number: int
    begin: datetime
    prefix: str = ""

    @property
    def uniqueid(self) -> Uniqueid:
        return Uniqueid(f"{self.prefix}1763{self.number:06d}.{self.number}")

    @property
    def id(self) -> CallId:
        return call_id(PBX, self.uniqueid)

    @property
    def _call(self) -> dict[str, Any]:
        return {"pbx": PBX, "at": self.begin, "call_id": self.id, "linkedid": Linkedid(self.uniqueid)}

    def started(self) -> CallStarted:
        return CallStarted(
            **self._call, uniqueid=self.uniqueid, channel=f"PJSIP/trunk-{self.number:08d}", direction="inbound",
            ani=f"1380000{self.number:04d}", caller_name="", dnis="4008001234", context="cti-inbound",
        )  # fmt: skip

    def entered(self) -> CallerEnteredQueue:
        return CallerEnteredQueue(**self._call, uniqueid=self.uniqueid, queue=REPAIR, position=1)

    def ringing(self, interface: Interface) -> AgentRinging:
        return AgentRinging(**self._call, interface=interface, queue=REPAIR)

    def connected(self, interface: Interface) -> AgentConnected:
        return AgentConnected(**self._call, interface=interface, queue=REPAIR)

    def recorded(self) -> RecordingBegan:
        return RecordingBegan(
            **self._call, channel="PJSIP/trunk", file=f"20261123/{self.uniqueid}-1.wav", talk_only=False
        )


class Lagging:
    """A desk that misses everything between two states of the PBX."""

    def __init__(self, running: Desk) -> None:
        self.desk = running
        self.now = datetime.now(UTC)

    def line(self, number: int, prefix: str = "") -> Line:
        return Line(number, self.now, prefix)

    async def hear(self, *events: CallEvent) -> None:
        """The PBX's state is that of these events, and every service has taken them in."""
        self.desk.pbx.calls = list(events)
        for event in events:
            self.desk.bus.publish(event)
        await self.desk.features.calls.caught_up()

    def miss_until(self, *events: CallEvent) -> None:
        """The PBX's state is that of these events, and every service has missed how it became so."""
        self.desk.pbx.calls = list(events)
        lost = self.line(9999)
        for _ in range(LIMIT + 1):
            self.desk.bus.publish(lost.started())
            self.desk.bus.publish(lost.connected(Interface("PJSIP/nobody")))
            self.desk.bus.publish(PbxUp(pbx=PBX, at=self.now, version="22", epoch=self.now))

    async def fresh(self) -> Features:
        """The features of a server that is started now, on the same database and PBX."""
        context = self.desk.context
        bus, hub = Bus(), Hub(context.clock)
        aside = SettingAside(context.database, context.clock)
        features = Features(replace(context, bus=bus, hub=hub, aside=aside))
        hub.add([topic for one in features.contributions for topic in one.topics])
        await features.agents.load()
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for one in features.contributions:
                for run in one.services.values():
                    group.create_task(run())
            await asyncio.sleep(0)
            for event in self.desk.pbx.current_events():
                bus.publish(event)
            bus.close()
        return features


@pytest.fixture
async def lagging(tmp_path: Path) -> AsyncIterator[Lagging]:
    async with desk(tmp_path, bus=Bus(limit=LIMIT)) as running:
        for agent in ("li", "wu"):
            await running.add_user(agent, "agent", interface=f"PJSIP/{agent}")
            await running.features.agents.log_in(AgentId(agent))
        yield Lagging(running)


def _phone(agent: AgentId) -> Interface:
    return Interface(f"PJSIP/{agent}")


async def test_lagged_queues_keep_no_caller_who_has_gone(lagging: Lagging) -> None:
    queues = lagging.desk.features.queues
    gone, waits = lagging.line(1), lagging.line(2)
    await lagging.hear(gone.started(), gone.entered())

    async def state() -> Any:
        return queues.state(REPAIR)

    await eventually(state, lambda it: it.waiting == 1)
    for seat in [key for key in lagging.desk.pbx.seats if key[1] == _phone(WU)]:
        del lagging.desk.pbx.seats[seat]
    lagging.miss_until(replace(waits.started(), at=lagging.now), waits.entered())
    await eventually(state, lambda it: it.members == 1)
    fresh = await lagging.fresh()
    assert queues.states() == fresh.queues.states()
    assert set(queues._queues[REPAIR].entered) == {(PBX, waits.id)}


async def test_lagged_agents_have_the_presence_of_a_fresh_start(lagging: Lagging) -> None:
    agents = lagging.desk.features.agents
    over, talk, rings = (lagging.line(number) for number in (1, 2, 3))
    await lagging.hear(over.started(), over.connected(_phone(LI)))

    async def seen() -> list[tuple[Any, ...]]:
        return _presences(lagging.desk.features)

    await eventually(seen, lambda _: agents.presence(LI).state == "talking")
    for key, seat in list(lagging.desk.pbx.seats.items()):
        if key[1] == _phone(LI):
            lagging.desk.pbx.seats[key] = replace(seat, paused=True, pause_reason="lunch")
    lagging.miss_until(
        talk.started(), talk.connected(_phone(WU)), rings.started(), rings.entered(), rings.ringing(_phone(WU))
    )
    await eventually(seen, lambda _: agents.presence(WU).state == "talking")
    assert _presences(lagging.desk.features) == _presences(await lagging.fresh())
    assert agents.presence(LI).state == "paused"


def _presences(features: Features) -> list[tuple[Any, ...]]:
    return [
        (agent.id, it.state, it.logged_in, it.pause_reason, it.ringing, it.talking, features.agents.queues(agent.id))
        for agent, it in features.agents.everybody()
    ]


async def test_lagged_pops_show_the_calls_of_a_fresh_start(lagging: Lagging) -> None:
    pops = lagging.desk.features.pops
    rang, over, talk = (lagging.line(number) for number in (1, 2, 3))
    await lagging.hear(rang.started(), rang.ringing(_phone(LI)), over.started(), over.connected(_phone(WU)))

    async def shown() -> Any:
        return _shown(lagging.desk.features)

    await eventually(shown, lambda it: it == [(rang.id, "ringing"), (over.id, "talking")])
    lagging.miss_until(talk.started(), talk.connected(_phone(LI)))
    await eventually(shown, lambda it: it[0] == (talk.id, "talking"))
    assert _shown(lagging.desk.features)[1] == (over.id, "ended")  # what the agent writes of it stays on the screen
    pops.dismiss(WU)
    assert _shown(lagging.desk.features) == _shown(await lagging.fresh()) == [(talk.id, "talking"), None]
    assert pops.shown_to(LI).ani == talk.started().ani  # type: ignore[union-attr]


def _shown(features: Features) -> list[tuple[CallId, str] | None]:
    found = [features.pops.shown_to(agent) for agent in (LI, WU)]
    return [None if it is None else (it.call_id, it.phase) for it in found]


async def test_the_lagged_board_counts_what_a_fresh_start_counts(lagging: Lagging) -> None:
    board = lagging.desk.features.board
    gone, waits, waits_too = (lagging.line(number) for number in (1, 2, 3))
    await lagging.hear(gone.started(), gone.entered())

    async def calls() -> set[CallId]:
        return set(board._visits)

    await eventually(calls, lambda it: it == {gone.id})
    lagging.miss_until(waits.started(), waits.entered(), waits_too.started(), waits_too.entered())
    await eventually(calls, lambda it: it == {waits.id, waits_too.id})
    assert board.everything() == (await lagging.fresh()).board.everything()


async def test_lagged_records_have_the_owner_who_talks(lagging: Lagging) -> None:
    records = lagging.desk.features.records
    talk = lagging.line(1)
    opened = (await records.open("repair", actor="user:x", call_id=talk.id)).record
    lagging.miss_until(talk.started(), talk.connected(_phone(WU)))

    async def owner() -> AgentId | None:
        async with lagging.desk.database.reading() as uow:
            return (await uow.records.get(opened.id)).owner

    assert await eventually(owner) == WU


async def test_the_lagged_call_log_has_the_calls_that_began_and_closes_those_that_ended(lagging: Lagging) -> None:
    over, goes_on = lagging.line(1), lagging.line(2)
    await lagging.hear(over.started())
    lagging.miss_until(goes_on.started(), goes_on.entered())

    async def entries() -> dict[CallId, tuple[bool, str]]:
        async with lagging.desk.database.reading() as uow:
            return {entry.id: (entry.complete, entry.queue) for entry in await uow.calls.page()}

    await eventually(entries, lambda it: it == {over.id: (True, ""), goes_on.id: (False, QueueName("repair"))})


async def test_lagged_recordings_of_calls_that_ended_are_stopped(lagging: Lagging) -> None:
    over, goes_on = lagging.line(1), lagging.line(2)
    await lagging.hear(over.started(), over.recorded(), goes_on.started(), goes_on.recorded())

    async def stopped() -> list[bool]:
        found = [await lagging.desk.features.recordings.of_call(call.id) for call in (over, goes_on)]
        return [it.stopped_at is not None for recordings in found for it in recordings]

    await eventually(stopped, lambda it: it == [False, False])
    lagging.miss_until(goes_on.started())
    await eventually(stopped, lambda it: it == [True, False])


async def test_lagged_callbacks_know_the_channels_that_wait(lagging: Lagging) -> None:
    callbacks = lagging.desk.features.callbacks
    over, waits = (lagging.line(number, f"callback-WISH{number}-") for number in (1, 2))
    await lagging.hear(over.started())

    async def waiting() -> dict[CallId, CallId]:
        return dict(callbacks._waiting)

    await eventually(waiting, lambda it: it == {over.id: CallId("WISH1")})
    lagging.miss_until(waits.started())
    await eventually(waiting, lambda it: it == {waits.id: CallId("WISH2")})
    fresh = (await lagging.fresh()).callbacks
    assert (callbacks._waiting, callbacks._channels) == (fresh._waiting, fresh._channels)


async def test_lagged_telephony_recalls_who_is_muted(lagging: Lagging) -> None:
    telephony, pbx, talk = lagging.desk.features.telephony, lagging.desk.pbx, lagging.line(1)
    pbx.stands[_phone(LI)] = [
        ChannelState(
            call_id=talk.id, channel="PJSIP/li-1", uniqueid=Uniqueid("1.1"), talking=True, others=("x",), waiting=()
        )
    ]
    pbx.variables["CTI_MUTED"] = "1"

    async def muted() -> bool:
        call = telephony.call(LI)
        return call is not None and call.muted

    assert not await muted()
    lagging.miss_until(talk.started(), talk.connected(_phone(LI)))
    await eventually(muted)


async def test_lagged_missed_calls_find_who_left_in_the_log_and_who_talks_on_the_pbx(lagging: Lagging) -> None:
    missed, gone = lagging.desk.features.missed, lagging.line(1)
    line = lagging.desk.line(ani=gone.started().ani)
    line.start()
    line.end("abandoned")

    async def states() -> list[str]:
        return [it.state for it, _ in await missed.page()]

    await eventually(states, lambda it: it == ["open"])
    lagging.miss_until(gone.started(), gone.connected(_phone(LI)))  # the same caller calls again, and is answered
    await eventually(states, lambda it: it == ["recovered"])
