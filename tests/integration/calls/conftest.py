"""Each folder here is a scenario: calls on a real Asterisk that must come to what its own queue_log and CDRs say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.tree import Programs
from tests.support.asterisk import pbx, programs, session_pbx
from tests.support.scenario import Floor, open_floor, scenario_numbers

__all__ = ["pbx", "programs", "session_pbx"]


@pytest.fixture(scope="package")
def numbers(session_pbx: PrivatePbx) -> Iterator[PrivatePbx]:
    with scenario_numbers(session_pbx):
        yield session_pbx


@pytest_asyncio.fixture
async def floor(numbers: PrivatePbx, pbx: PrivatePbx, programs: Programs) -> AsyncIterator[Floor]:
    async with open_floor(pbx, programs) as floor:
        yield floor
