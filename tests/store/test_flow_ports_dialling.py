"""What a flow may dial to outside: by dialling.yaml, by a roster, and never whom does not want to be called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctiserver.app.flow_ports import StoreFlowPorts
from ctiserver.clock import SystemClock
from ctiserver.features.contacts.dialling import FlowDialling
from ctiserver.features.contacts.service import Contacts
from ctiserver.model.ids import PbxName
from ctiserver.site.files import Outbound
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from tests.support.rows import a_contact

REFUSED = "+8616812345678"


@pytest.fixture
async def ports(database: Database) -> StoreFlowPorts:
    async with database.unit_of_work() as uow:
        await uow.contacts.add(replace(a_contact(numbers=("+8613900000002",)), do_not_call=True))
    site = Site(directory=Path("/nonexistent"), outbound=Outbound(allow=("+86",), refuse=("+8616",)))
    contacts = Contacts(database, SystemClock(), region="CN")
    unused: Any = None
    others = dict.fromkeys(
        (
            "agents",
            "calls",
            "paths",
            "lookups",
            "queues",
            "call_records",
            "followups",
            "recordings",
            "promises",
            "http",
        ),
        unused,
    )
    dialling = FlowDialling(contacts, site, region="CN")
    return StoreFlowPorts(SystemClock(), pbx=PbxName("main"), dialling=dialling, **others)


@pytest.mark.parametrize(
    ("number", "rostered", "dialled"),
    [
        ("13800000001", False, "+8613800000001"),
        ("+8613800000001", False, "+8613800000001"),
        ("16812345678", False, None),
        ("0019005551234", False, None),
        ("110", False, None),
        ("110", True, None),
        ("13900000002", False, None),
        ("13900000002", True, "+8613900000002"),
        ("+442079460000", False, None),
        ("+442079460000", True, "+442079460000"),
        (REFUSED, True, None),
        ("", False, None),
    ],
)
async def test_what_a_flow_may_dial(ports: StoreFlowPorts, number: str, rostered: bool, dialled: str | None) -> None:
    assert await ports.dialable(number, rostered=rostered) == dialled
