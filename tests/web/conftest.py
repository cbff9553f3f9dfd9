"""Fixtures of the web ring: the desk on a real port, with one account of each role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ctiserver.model.person import ROLES
from tests.support.desk import Browser, Desk, desk


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Desk]:
    """The desk, with ``agent1``, ``agent2`` and one account of each other role, named like the role."""
    async with desk(tmp_path) as it:
        await it.add_user("agent1", "agent", name="王芳")
        await it.add_user("agent2", "agent", language="en")
        for role in ROLES:
            if role != "agent":
                await it.add_user(role, role)
        yield it


@pytest.fixture
async def browser(running: Desk) -> AsyncIterator[Browser]:
    """A browser in which nobody is logged in."""
    async with Browser(running.url) as it:
        yield it


@pytest.fixture
async def agent(running: Desk) -> AsyncIterator[Browser]:
    """The browser of agent1."""
    async with Browser(running.url) as it:
        await it.log_in("agent1")
        yield it
