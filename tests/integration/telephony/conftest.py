"""A whole server on the session's Asterisk, once for all tests here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from tests.support.asterisk import pbx, programs, session_pbx
from tests.support.telephony import Exchange, exchange

__all__ = ["pbx", "programs", "session_pbx"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving(session_pbx: PrivatePbx, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Exchange]:
    """A server with agents at desk phones."""
    async with exchange(session_pbx, tmp_path_factory.mktemp("exchange")) as it:
        await it.add_agent("wang", phone="agent1", extension="101", name="王芳")
        await it.add_agent("lee", phone="agent2", extension="102", name="Ann Lee")
        yield it


@pytest_asyncio.fixture(loop_scope="module")
async def centre(serving: Exchange, pbx: PrivatePbx) -> Exchange:
    """The server, on a PBX without calls and members."""
    return serving
