"""Anyone who first talks with the caller answers for the record."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import ManualClock
from ctiserver.features.records.service import Records
from ctiserver.model.events import AgentConnected
from ctiserver.model.ids import AgentId, CallId, Interface, Linkedid, PbxName, RecordId, new_ulid
from ctiserver.model.person import Agent
from ctiserver.model.work.record import Record
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from ctiserver.store.database import Database

MAIN, BRANCH = PbxName("main"), PbxName("branch")
T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
PHONE = Interface("PJSIP/101")


class Desk:
    """The use cases, with two agents whose phones have the same name on two PBXs."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.changed: list[Record] = []
        self.records = Records(
            database, Bus(), ManualClock(T0), load_site(shipped("config")), time_zone="Asia/Shanghai",
            pbxs={}, changed=self.changed.append, first_pbx=MAIN,
        )  # fmt: skip

    async def opened(self, call: CallId) -> RecordId:
        return (await self.records.open("repair", actor=f"call:{call}", call_id=call)).record.id

    async def owner(self, record: RecordId) -> AgentId | None:
        async with self.database.reading() as uow:
            return (await uow.records.get(record)).owner


@pytest.fixture
async def desk(database: Database) -> Desk:
    async with database.unit_of_work() as uow:
        for agent, pbx in (("li", PbxName("")), ("wu", BRANCH)):
            await uow.agents.add(
                Agent(id=AgentId(agent), user_id=None, name=agent, extension="101", interface=PHONE, pbx=pbx)
            )
    return Desk(database)


def connected(call: CallId, pbx: PbxName, interface: Interface = PHONE) -> AgentConnected:
    return AgentConnected(pbx=pbx, at=T0, call_id=call, linkedid=Linkedid(""), interface=interface, queue=None)


async def test_a_phone_of_another_pbx_is_somebody_elses(desk: Desk) -> None:
    for pbx, owner in ((MAIN, "li"), (BRANCH, "wu")):
        call = CallId(new_ulid(T0))
        record = await desk.opened(call)
        await desk.records.answered(connected(call, pbx))
        assert await desk.owner(record) == owner


async def test_it_stays_with_the_first(desk: Desk) -> None:
    call = CallId(new_ulid(T0))
    record = await desk.opened(call)
    await desk.records.answered(connected(call, MAIN, Interface("PJSIP/nobody")))
    assert await desk.owner(record) is None
    desk.changed.clear()
    for pbx in (BRANCH, MAIN):
        await desk.records.answered(connected(call, pbx))
    assert await desk.owner(record) == "wu"
    assert [record.owner for record in desk.changed] == ["wu"]
