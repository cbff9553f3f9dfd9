"""What a supervisor does to agents happens on the PBX that has their phones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import ManualClock
from ctiserver.features.wallboard.steering import AgentActs, Steering
from ctiserver.model.agent import Presence
from ctiserver.model.ids import AgentId, Interface, PbxName, QueueName, UserId
from ctiserver.model.person import Agent
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from ctiserver.store.database import Database
from ctiserver.web.access import Person
from ctiserver.web.problems import Conflict
from tests.support.desk import ObedientPbx

MAIN, BRANCH = PbxName("main"), PbxName("branch")
T0 = datetime(2026, 12, 1, 8, tzinfo=UTC)
PHONE = Interface("PJSIP/agent1")  # one name on both
LI, ZHAO = AgentId("li"), AgentId("zhao")
REPAIR = QueueName("repair")
BOSS = Person(user_id=UserId("u"), login="boss", name="Boss", role="supervisor", language="en", agent_id=LI)


class Floor:
    def __init__(self, database: Database) -> None:
        self.pbxs = {MAIN: ObedientPbx(Bus()), BRANCH: ObedientPbx(Bus(), BRANCH)}
        agent = Agent(id=LI, user_id=None, name="Li", extension="101", interface=PHONE)
        agents = [agent, replace(agent, id=ZHAO, name="Zhao", pbx=BRANCH)]
        unused: Any = None
        acts = AgentActs(
            everybody=lambda: [(one, Presence(agent_id=one.id, since=T0, logged_in=True)) for one in agents],
            log_in=unused,
            log_out=unused,
            pause=unused,
            ready=unused,
            pbx_of=lambda agent_id: BRANCH if agent_id == ZHAO else MAIN,
        )
        site = load_site(shipped("config"))
        self.steering = Steering(database, ManualClock(T0), site, pbxs=cast(Any, self.pbxs), agents=acts)

    def told(self) -> dict[PbxName, list[str]]:
        return {name: pbx.told for name, pbx in self.pbxs.items()}


async def test_an_agent_is_seated_and_unseated_where_their_phone_is(database: Database) -> None:
    floor = Floor(database)
    await floor.steering.seat(BOSS, REPAIR, ZHAO, 3)
    await floor.steering.unseat(BOSS, REPAIR, ZHAO)
    await floor.steering.seat(BOSS, REPAIR, LI, 1)
    assert floor.told() == {
        MAIN: [f"add {REPAIR} {PHONE} 1"],
        BRANCH: [f"add {REPAIR} {PHONE} 3", f"remove {REPAIR} {PHONE}"],
    }


async def test_a_phone_of_another_pbx_can_not_be_listened_to(database: Database) -> None:
    floor = Floor(database)
    with pytest.raises(Conflict, match="Zhao's phone is on another PBX than yours"):
        await floor.steering.monitor(BOSS, LI, ZHAO, "listen", "training")
    assert floor.told() == {MAIN: [], BRANCH: []}
