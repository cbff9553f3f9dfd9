"""A call whose end was not seen is announced on the bus once the PBX's journal has told of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from ctiserver.model.events import CallKnownLater
from ctiserver.model.ids import PbxName, Uniqueid, call_id
from ctiserver.pbx.port import Pbx
from tests.support.desk import PBX, Desk

_UNIQUEID = "1795295764.7"


class _Journal:
    """A PBX of which only the journal is read."""

    name: PbxName = PBX
    up = True
    since = datetime(2026, 11, 21, tzinfo=UTC)

    def __init__(self) -> None:
        self.tree = {_UNIQUEID: f"1795295764|FAILURE|13800138000|4008001234|menu|repair|zh-CN|{_UNIQUEID}"}

    async def read_tree(self, _family: str) -> dict[str, str]:
        return dict(self.tree)

    async def delete_key(self, _family: str, key: str) -> None:
        del self.tree[key]


async def test_a_call_from_the_journal_is_in_the_log_and_announced(running: Desk) -> None:
    journal = _Journal()
    with running.bus.subscribe(CallKnownLater) as events:
        await running.features.catching_up.catch_up(cast(Pbx, journal), None)
        assert journal.tree == {}
        [event] = events.waiting(10)
    assert event.call_id == call_id(PBX, Uniqueid(_UNIQUEID))
    async with running.database.reading() as uow:
        assert await uow.calls.find(event.call_id) is not None
