"""A channel that waits in a caller's stead goes when nobody needs it any more, and not when its time has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import ManualClock
from ctiserver.errors import PeerLost
from ctiserver.features.callbacks import service
from ctiserver.features.callbacks.service import Callbacks
from ctiserver.model.events import AgentConnected, CallStarted
from ctiserver.model.ids import CallId, Interface, Linkedid, PbxName, RecordId, Uniqueid, WorkOrderId, call_id, new_ulid
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.pbx.port import Pbx
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from ctiserver.store.database import Database
from tests.support.eventually import eventually

MAIN = PbxName("main")
T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
WISHED_IN = CallId(new_ulid(T0))
UNIQUEID = Uniqueid(f"callback-{WISHED_IN}-1795000000.1")
WAITING = call_id(MAIN, UNIQUEID)
CHANNEL = "Local/+8613800138000@cti-callback-0001;1"


@dataclass
class HangingUp:
    """A PBX that can be told to hang up, or not just now."""

    away: bool = False
    tries: int = 0
    hung_up: list[str] = field(default_factory=list)

    async def hangup(self, channel: str) -> None:
        self.tries += 1
        if self.away:
            raise PeerLost("the link broke")
        self.hung_up.append(channel)


@asynccontextmanager
async def waiting(database: Database, pbx: HangingUp) -> AsyncIterator[Callbacks]:
    """One channel waits for a caller."""
    callbacks = Callbacks(
        database, Bus(), ManualClock(T0), load_site(shipped("config")), pbxs={MAIN: cast(Pbx, pbx)}, region="CN"
    )
    await callbacks.heard(
        CallStarted(
            pbx=MAIN, at=T0, call_id=WAITING, linkedid=Linkedid(UNIQUEID), uniqueid=UNIQUEID, channel=CHANNEL,
            direction="outbound", ani="", caller_name="", dnis="+8613800138000", context="cti-callback-queue",
        )
    )  # fmt: skip
    withdrawing = asyncio.create_task(callbacks.withdraw())
    try:
        yield callbacks
    finally:
        withdrawing.cancel()
        await asyncio.wait([withdrawing])


def taken() -> WorkOrder:
    """The order to call back, which somebody does by hand."""
    return WorkOrder(
        id=WorkOrderId("order"), number="C20261123-0001", key="k", kind="callback", record_id=RecordId("record"),
        process_id=None, step="call_back", state="accepted", payload={"call_id": WISHED_IN}, created_at=T0, updated_at=T0,
    )  # fmt: skip


async def test_what_waits_needlessly_is_withdrawn_once_though_the_pbx_is_away_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_AGAIN_S", 0.01)
    pbx = HangingUp(away=True)

    async def tries() -> int:
        return pbx.tries

    async def hung_up() -> list[str]:
        return list(pbx.hung_up)

    async with waiting(database, pbx) as callbacks:
        callbacks.orders_changed([taken()])
        await eventually(tries, lambda times: times > 1)
        pbx.away = False
        assert await eventually(hung_up) == [CHANNEL]
        before = pbx.tries
        callbacks.orders_changed([taken()])
        await asyncio.sleep(0)
        assert pbx.tries == before


async def test_a_talk_that_has_begun_meanwhile_is_not_torn(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_AGAIN_S", 0.0)
    pbx = HangingUp(away=True)

    async def tries() -> int:
        return pbx.tries

    async with waiting(database, pbx) as callbacks:
        callbacks.orders_changed([taken()])
        await eventually(tries)
        await callbacks.heard(
            AgentConnected(
                pbx=MAIN,
                at=T0,
                call_id=WAITING,
                linkedid=Linkedid(UNIQUEID),
                interface=Interface("PJSIP/a"),
                queue=None,
            )
        )
        pbx.away, before = False, pbx.tries
        for _ in range(5):
            await asyncio.sleep(0)  # the next try is due
        assert (pbx.tries, pbx.hung_up) == (before, [])
