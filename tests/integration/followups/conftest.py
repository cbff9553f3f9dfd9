"""A site with a customer outside who can be called: its own Asterisk, whose trunk leads to a SIP phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctiserver.lab.privatepbx.ports import free_port
from tests.support.asterisk import programs
from tests.support.customers import CustomerSite

__all__ = ["programs"]


@pytest.fixture
def customers(tmp_path: Path) -> CustomerSite:
    return CustomerSite.write(tmp_path / "site", trunk_port=free_port(), agi_port=free_port())
